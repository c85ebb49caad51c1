import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

export interface InstalledProgram {
  readonly path: string;
  /** For example `4.3.5`. */
  readonly version: string;
}

/** Debian keeps servers where ordinary users' PATH does not lead. */
const extraFolders = ['/usr/sbin', '/usr/local/sbin'];

/**
 * The first program of that name that tells its version, or null.
 *
 * @param versionPattern its first group is the version in what `--version` prints
 */
export async function findProgram(
  name: string,
  versionPattern: RegExp,
): Promise<InstalledProgram | null> {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...extraFolders];
  for (const folder of folders) {
    const path = join(folder, name);
    try {
      await access(path);
      // Pgpool-II prints it on standard error.
      const { stdout, stderr } = await promisify(execFile)(path, ['--version']);
      const version = versionPattern.exec(stdout + stderr)?.[1];
      if (version !== undefined) return { path, version };
    } catch {}
  }
  return null;
}
