import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EmbeddedError } from './embedded-error.ts';
import { processIdentity } from './processes.ts';

/** Attempts to take over a dead holder's lock while others try the same. */
const attemptsMax = 10;

/** Held while a program uses the folder. A holder that died does not block. */
export interface FolderLock {
  release(): Promise<void>;
}

/**
 * Takes the lock of the folder. The file names the holder by pid and start time, so that neither
 * a dead holder nor a stranger who was given its pid counts.
 *
 * @throws EmbeddedError naming the pid of the program that uses the folder
 */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const path = join(folder, 'lock');
  const own = `${process.pid} ${await processIdentity(process.pid)}\n`;
  const draft = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  // For everybody to read: the next to ask may be another user.
  await writeFile(draft, own, { mode: 0o644 });
  try {
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      // link fails when the name exists, and shows nobody a half-written file.
      if (await succeeds(link(draft, path), 'EEXIST')) {
        return {
          release: async () => {
            if ((await readIfThere(path)) === own) await rm(path, { force: true });
          },
        };
      }
      const held = await readIfThere(path);
      if (held === undefined) continue;
      const pid = await livingHolder(held);
      if (pid !== undefined) {
        throw new EmbeddedError(
          `${folder} is in use by another Tidemark (pid ${pid}): stop it, or choose another data folder`,
        );
      }
      await removeDead(path, held, `${draft}.dead`);
    }
  } finally {
    await rm(draft, { force: true });
  }
  throw new EmbeddedError(`cannot lock ${folder}: others are locking it at the same time`);
}

/** The holder's pid while it lives; undefined when it died or the file is not a lock's. */
async function livingHolder(content: string): Promise<number | undefined> {
  const [, pid, identity] = /^(\d+) (.*)\n$/.exec(content) ?? [];
  if (pid === undefined) return undefined;
  return (await processIdentity(Number(pid))) === identity ? Number(pid) : undefined;
}

/** Two may find the same dead lock: the slower one must not remove what the faster one put there. */
async function removeDead(path: string, dead: string, aside: string): Promise<void> {
  if (!(await succeeds(rename(path, aside), 'ENOENT'))) return;
  if ((await readIfThere(aside)) !== dead) await succeeds(link(aside, path), 'EEXIST');
  await rm(aside, { force: true });
}

async function succeeds(action: Promise<unknown>, expectedCode: string): Promise<boolean> {
  try {
    await action;
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === expectedCode) return false;
    throw error;
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
}
