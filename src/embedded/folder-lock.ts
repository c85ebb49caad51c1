import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EmbeddedError } from './embedded-error.ts';
import { processIdentity } from './processes.ts';

/** Attempts while others, of whom none holds the lock yet, try the same. */
const attemptsMax = 50;
const pauseMaxMs = 50;
const held = 'held\n';

/** Held while a program uses the folder. A holder that died does not block. */
export interface FolderLock {
  release(): Promise<void>;
}

/** The files of the lock, whoever they belong to. */
export const lockFileName = /^lock\.(\d+)\.([0-9a-f]+)\.[0-9a-f]+$/;

/**
 * Takes the lock of the folder.
 *
 * Everybody who wants it puts a file of a name never used again beside those of the others, then
 * looks at them: who sees a living other one steps back. Of two, the one that looks last sees the
 * first, so never do both go on; and removing a dead one's file can never hit a living one's,
 * which a single lock file that is taken over cannot promise. The name tells the pid and, for the
 * case that a stranger was given that pid, a digest of its start time.
 *
 * @throws EmbeddedError naming the pid of the program that uses the folder
 */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const identity = digest((await processIdentity(process.pid)) ?? '');
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const name = `lock.${process.pid}.${identity}.${randomBytes(6).toString('hex')}`;
    const path = join(folder, name);
    await writeFile(path, '', { mode: 0o644 });
    const others = await livingOthers(folder, name);
    if (others.length === 0) {
      await writeFile(path, held);
      return { release: () => rm(path, { force: true }) };
    }
    await rm(path, { force: true });
    for (const other of others) {
      if ((await readIfThere(join(folder, other))) !== held) continue;
      throw new EmbeddedError(
        `${folder} is in use by another Tidemark (pid ${pidIn(other)}): stop it, or choose another data folder`,
      );
    }
    await sleep(Math.random() * pauseMaxMs);
  }
  throw new EmbeddedError(`cannot lock ${folder}: others are locking it at the same time`);
}

/** The files of the living; those of the dead are removed. */
async function livingOthers(folder: string, own: string): Promise<string[]> {
  const living: string[] = [];
  for (const name of await readdir(folder)) {
    const [, pid, identity] = lockFileName.exec(name) ?? [];
    if (pid === undefined || name === own) continue;
    const now = await processIdentity(Number(pid));
    if (now !== null && digest(now) === identity) living.push(name);
    else await rm(join(folder, name), { force: true });
  }
  return living;
}

function pidIn(name: string): string {
  return lockFileName.exec(name)?.[1] ?? '?';
}

function digest(identity: string): string {
  return createHash('sha256').update(identity).digest('hex').slice(0, 12);
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
}
