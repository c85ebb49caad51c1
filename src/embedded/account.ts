import { execFile } from 'node:child_process';
import { chown, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { EmbeddedError } from './embedded-error.ts';
import { runCommand } from './run-command.ts';

const execFileAsync = promisify(execFile);

/** Who the servers run as. */
export interface Account {
  readonly name: string;
  /** What to switch to; empty when the servers run as this program's own user. */
  readonly ids: { readonly uid?: number; readonly gid?: number };
}

/** In the order of preference; nearly every system has one of them. */
const unprivilegedNames = ['postgres', 'nobody'];

/**
 * PostgreSQL refuses to run as root (check_root in src/backend/main/main.c): root's servers run
 * as the owner of the folder or its data or, where that is root too, as an unprivileged account.
 *
 * @param home the folder of the cluster, which exists
 * @throws EmbeddedError when root has no account to switch to, or the data belongs to another user
 */
export async function chooseAccount(home: string): Promise<Account> {
  const owners = [await ownerOf(join(home, 'primary')), await ownerOf(home)];
  const ownUid = process.getuid?.() ?? 0;
  if (ownUid !== 0) {
    const other = owners.find((owner) => owner !== undefined && owner.uid !== ownUid);
    if (other === undefined) return { name: `uid ${ownUid}`, ids: {} };
    throw new EmbeddedError(
      `the data in ${home} belongs to another user (uid ${other.uid}): start as that user or as root, or choose another data folder`,
    );
  }
  const owner = owners.find((one) => one !== undefined);
  if (owner !== undefined && owner.uid !== 0) return { name: `uid ${owner.uid}`, ids: owner };
  let obstacle = 'no such account';
  for (const name of unprivilegedNames) {
    const [uid, gid] = await Promise.all([numericId('-u', name), numericId('-g', name)]);
    if (uid === undefined || gid === undefined || uid === 0) continue;
    const account = { name, ids: { uid, gid } };
    // A container may have taken the right to switch users away.
    const trial = await runCommand(account, '/bin/sh', ['-c', ':']);
    if (trial.code === 0) return account;
    obstacle = trial.output;
  }
  throw new EmbeddedError(
    `PostgreSQL refuses to run as root, and cannot be run as ${unprivilegedNames.join(' or ')} here (${obstacle}): start as an ordinary user`,
  );
}

async function ownerOf(path: string): Promise<{ uid: number; gid: number } | undefined> {
  try {
    const { uid, gid } = await stat(path);
    return { uid, gid };
  } catch {
    return undefined;
  }
}

async function numericId(option: '-u' | '-g', name: string): Promise<number | undefined> {
  try {
    const { stdout } = await execFileAsync('id', [option, name]);
    return Number(stdout.trim());
  } catch {
    return undefined;
  }
}

/** True when the account can enter the folder: asked of the kernel, which knows ACLs too. */
export async function canEnter(account: Account, folder: string): Promise<boolean> {
  const result = await runCommand(account, '/bin/sh', ['-c', 'cd "$1"', 'sh', folder]);
  return result.code === 0;
}

/** Gives the path to the account; nothing to do when the servers run as this program's user. */
export async function giveTo(account: Account, path: string): Promise<void> {
  const { uid, gid } = account.ids;
  if (uid !== undefined && gid !== undefined) await chown(path, uid, gid);
}
