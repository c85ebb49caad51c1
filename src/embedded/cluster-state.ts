import { randomBytes } from 'node:crypto';
import { chown, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { EmbeddedError } from './embedded-error.ts';
import { statePath } from './home-folder.ts';

const stateSchema = z.object({
  password: z.string().min(1),
  /** Node name to port. Kept, so that a restart is found under the same addresses. */
  ports: z.record(z.string(), z.number().int().min(1).max(65535)),
});

/** What the program itself remembers of a cluster between starts. */
export type ClusterState = z.infer<typeof stateSchema>;

/**
 * Reads the state, or makes that of a new cluster: written before anything else, it also marks
 * the folder as one that this program may use.
 *
 * @throws EmbeddedError when the file is damaged
 */
export async function openState(home: string): Promise<ClusterState> {
  let text: string;
  try {
    text = await readFile(statePath(home), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    const fresh = { password: randomBytes(18).toString('base64url'), ports: {} };
    await saveState(home, fresh);
    return fresh;
  }
  try {
    return stateSchema.parse(JSON.parse(text));
  } catch {
    throw new EmbeddedError(
      `${statePath(home)} is damaged: restore it (it holds the password of the servers) or remove ${home} to begin anew`,
    );
  }
}

export async function saveState(home: string, state: ClusterState): Promise<void> {
  const path = statePath(home);
  // Rename is atomic: a kill between the two leaves the old state, never half a file.
  await writeFile(`${path}.new`, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  // Started as root for once, in a user's folder: the user must be able to start it again.
  const { uid, gid } = await stat(home);
  if (process.getuid?.() === 0) await chown(`${path}.new`, uid, gid);
  await rename(`${path}.new`, path);
}
