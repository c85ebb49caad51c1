import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir, readdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Account, canEnter } from './account.ts';
import { EmbeddedError } from './embedded-error.ts';
import { lockFileName } from './folder-lock.ts';

/** In the data folder, names the folder that holds the data when the data folder cannot. */
const locationFile = 'location';
const stateFile = 'cluster.json';

/**
 * The folder that holds the cluster: the data folder itself, unless the servers' account cannot
 * enter it. That is so when root runs a checkout below /root: the unprivileged account that the
 * servers drop to has no way in, and opening /root for it is not this program's to do. The data
 * then lies in /var/lib/tidemark (or the temp folder where that cannot be made), and the file
 * `location` in the data folder says so.
 *
 * @throws EmbeddedError when no place can be used, or the data folder holds something else
 */
export async function openHome(
  dataDir: string,
  account: Account,
  progress: (line: string) => void,
): Promise<string> {
  const home = await existingHome(dataDir);
  try {
    await makeFolder(home);
  } catch (error) {
    throw new EmbeddedError(`cannot use the data folder ${home}: ${(error as Error).message}`);
  }
  if (await canEnter(account, home)) {
    await refuseForeignContent(home);
    return home;
  }
  const dataPath = await realpath(dataDir);
  const key = createHash('sha256').update(dataPath).digest('hex').slice(0, 12);
  for (const place of [`/var/lib/tidemark/${key}`, join(tmpdir(), `tidemark-${key}`)]) {
    if (!(await tryPlace(place, account))) continue;
    await writeFile(join(dataDir, locationFile), `${place}\n`);
    progress(`the account ${account.name} cannot enter ${dataPath}: keeping the data in ${place}`);
    return realpath(place);
  }
  throw new EmbeddedError(
    `the servers run as ${account.name}, who cannot enter ${dataPath}: choose a data folder that this account can reach`,
  );
}

/**
 * Where the data of an earlier start lies, or would lie: the data folder, which is made, or the
 * folder that its file `location` names.
 *
 * @throws EmbeddedError when the data folder cannot be made
 */
export async function existingHome(dataDir: string): Promise<string> {
  try {
    await mkdir(dataDir, { recursive: true });
  } catch (error) {
    throw new EmbeddedError(`cannot make the data folder: ${(error as Error).message}`);
  }
  try {
    return (await readFile(join(dataDir, locationFile), 'utf8')).trim();
  } catch {
    return realpath(dataDir);
  }
}

async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  // Root's own files in it are 0600; the servers' account needs only the way through.
  await chmod(folder, process.getuid?.() === 0 ? 0o711 : 0o700);
}

async function tryPlace(place: string, account: Account): Promise<boolean> {
  const parent = join(place, '..');
  try {
    // Only a parent that was made here gets its mode set here.
    if ((await mkdir(parent, { recursive: true })) !== undefined) await chmod(parent, 0o711);
    await makeFolder(place);
    // In a shared temp folder anybody could have put a folder or a link of this name.
    const made = await lstat(place);
    if (!made.isDirectory() || made.uid !== process.getuid?.()) return false;
  } catch {
    return false;
  }
  return canEnter(account, place);
}

async function refuseForeignContent(home: string): Promise<void> {
  const names = await readdir(home);
  const foreign = names.some((name) => name !== locationFile && !lockFileName.test(name));
  if (names.includes(stateFile) || !foreign) return;
  throw new EmbeddedError(
    `${home} is not empty and holds no Tidemark cluster: choose another data folder or empty it`,
  );
}

/** The path of the file that keeps the password and the ports. */
export function statePath(home: string): string {
  return join(home, stateFile);
}
