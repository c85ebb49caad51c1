import {
  access,
  appendFile,
  chmod,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { type Account, giveTo } from './account.ts';
import { EmbeddedError } from './embedded-error.ts';
import type { Installation } from './installation.ts';
import { runCommand } from './run-command.ts';

/** Included at the end of postgresql.conf, rewritten at every start. ALTER SYSTEM overrides it. */
const settingsFile = 'tidemark.conf';

/** Built in C.UTF-8: Unicode case and character classes, the same on every system. */
const builtinLocaleSince = 17;

/** Left out of a copy, as pg_basebackup does: they belong to the server copied from. */
const notForCopies = ['postmaster.pid', 'postmaster.opts', 'pg_replslot', 'pg_stat_tmp'];

/** DBState of src/include/catalog/pg_control.h: shut down as a primary. */
const stateShutDown = 1;

export interface Superuser {
  readonly user: string;
  readonly password: string;
}

/** Makes the data directory of a new cluster. Killed half-way it leaves none. */
export async function initialise(
  installation: Installation,
  account: Account,
  dataDir: string,
  superuser: Superuser,
): Promise<void> {
  const draft = await makeDraft(account, dataDir);
  const passwordFile = `${dataDir}.password`;
  await writeFile(passwordFile, `${superuser.password}\n`, { mode: 0o600 });
  await giveTo(account, passwordFile);
  const locale =
    installation.majorVersion >= builtinLocaleSince
      ? ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
      : ['--locale=C'];
  const result = await runCommand(account, join(installation.binDir, 'initdb'), [
    `--pgdata=${draft}`,
    `--username=${superuser.user}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    // All directories of the cluster are synced together at the end.
    '--no-sync',
    ...locale,
  ]);
  await rm(passwordFile, { force: true });
  if (result.code !== 0) throw new EmbeddedError(`initdb failed: ${result.output}`);
  await appendFile(join(draft, 'postgresql.conf'), `include '${settingsFile}'\n`);
  await rename(draft, dataDir);
}

/** Copies the directory of a server that is not running and makes the copy a standby. */
export async function copyAsStandby(account: Account, from: string, to: string): Promise<void> {
  const draft = await makeDraft(account, to);
  const result = await runCommand(account, 'cp', ['-Rp', `${from}/.`, draft]);
  if (result.code !== 0) throw new EmbeddedError(`copying ${from} failed: ${result.output}`);
  for (const name of notForCopies) await rm(join(draft, name), { recursive: true, force: true });
  for (const name of ['pg_replslot', 'pg_stat_tmp']) {
    await mkdir(join(draft, name), { mode: 0o700 });
    await giveTo(account, join(draft, name));
  }
  await writeFile(join(draft, 'standby.signal'), '', { mode: 0o600 });
  await giveTo(account, join(draft, 'standby.signal'));
  await rm(to, { recursive: true, force: true });
  await rename(draft, to);
}

async function makeDraft(account: Account, dataDir: string): Promise<string> {
  const draft = `${dataDir}.partial`;
  // Retried: an initdb of a program killed a moment ago may still be writing there.
  await rm(draft, { recursive: true, force: true, maxRetries: 10 });
  await mkdir(draft, { mode: 0o700 });
  await chmod(draft, 0o700);
  await giveTo(account, draft);
  return draft;
}

/** Writes the settings that the server runs with from its next start or reload on. */
export async function writeSettings(
  account: Account,
  dataDir: string,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  const lines = Object.entries(settings).map(
    ([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`,
  );
  const path = join(dataDir, settingsFile);
  // A file that the account owns is replaced, so that its old mode and owner do not stay.
  await unlink(path).catch(() => undefined);
  await writeFile(path, lines.join(''), { mode: 0o600 });
  await giveTo(account, path);
}

/** True when the directory is one that a server can be started on. */
export function isInitialised(dataDir: string): Promise<boolean> {
  return exists(join(dataDir, 'PG_VERSION'));
}

/** What the server will be, which is what is on disk: promotions made by others stay. */
export async function roleOnDisk(dataDir: string): Promise<'primary' | 'replica'> {
  return (await exists(join(dataDir, 'standby.signal'))) ? 'replica' : 'primary';
}

/** True when ALTER SYSTEM gave the server an upstream of its own, which is then not touched. */
export async function hasOwnUpstream(dataDir: string): Promise<boolean> {
  const text = await readFile(join(dataDir, 'postgresql.auto.conf'), 'utf8').catch(() => '');
  return /^\s*primary_conninfo\s*=/m.test(text);
}

/** @throws EmbeddedError when the data was written by another major version */
export async function checkVersion(dataDir: string, installation: Installation): Promise<void> {
  const written = Number((await readFile(join(dataDir, 'PG_VERSION'), 'utf8')).trim());
  if (written === installation.majorVersion) return;
  throw new EmbeddedError(
    `the data in ${dataDir} was written by PostgreSQL ${written}, the programs are version ${installation.majorVersion}: dump it with the old version and move the data folder away`,
  );
}

interface ControlFile {
  readonly systemIdentifier: bigint;
  /** Shut down cleanly while a primary: a copy of the directory is complete as it stands. */
  readonly shutDown: boolean;
}

/** The head of global/pg_control (struct ControlFileData), whose layout has been the same since 8.x. */
export async function readControlFile(dataDir: string): Promise<ControlFile> {
  const file = await open(join(dataDir, 'global', 'pg_control'));
  try {
    const head = Buffer.alloc(20);
    await file.read(head, 0, head.length, 0);
    // Written in the byte order of the machine; all platforms with binaries are little-endian but
    // big-endian ones differ only in that identifiers are compared, not shown.
    return {
      systemIdentifier: head.readBigUInt64LE(0),
      shutDown: head.readInt32LE(16) === stateShutDown,
    };
  } finally {
    await file.close();
  }
}

/** Brings what was written below the folder to the disk, so that a power cut leaves no half cluster. */
export async function syncFolder(account: Account, folder: string): Promise<void> {
  const result = await runCommand(account, 'sync', ['-f', folder]);
  // Not every system's sync takes a path.
  if (result.code !== 0) await runCommand(account, 'sync', []);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
