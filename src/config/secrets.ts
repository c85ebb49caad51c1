import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { dotted, type Entry, type Source } from './source.ts';

/** Where secrets outside of the file are found. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What relative paths in the file start from: its own folder. */
  readonly folder: string;
}

/**
 * Reads a secret given as `<key>: text`, `<key>_env: NAME` or `<key>_file: path`.
 * @returns undefined where none of them is given, '' where it could not be had (and was reported)
 */
export function readSecret(
  source: Source,
  entries: ReadonlyMap<string, Entry>,
  path: string,
  key: string,
  surroundings: Surroundings,
): string | undefined {
  const names = [key, `${key}_env`, `${key}_file`].filter((name) => entries.has(name));
  const name = names[0];
  if (name === undefined) {
    return undefined;
  }
  const entry = entries.get(name)!;
  for (const other of names.slice(1)) {
    source.report(
      entries.get(other)!.key,
      `${dotted(path, other)}: ${name} is given as well: keep one of them`,
    );
  }
  const reject = (message: string) => {
    source.report(entry.value ?? entry.key, `${dotted(path, name)}: ${message}`);
    return '';
  };
  const value = source.scalar(entry.value);
  if (typeof value !== 'string' || value === '') {
    return reject(
      typeof value === 'number' || typeof value === 'boolean'
        ? 'expected text: put it in quotes'
        : 'no value: write text (in quotes where it has : # or begins with * & ! @), or remove the key',
    );
  }
  if (name === `${key}_env`) {
    return fromEnvironment(value, surroundings, reject);
  }
  return name === key ? value : fromFile(value, surroundings, reject);
}

function fromEnvironment(
  name: string,
  { env }: Surroundings,
  reject: (message: string) => string,
): string {
  const secret = env[name];
  if (secret !== undefined && secret !== '') {
    return secret;
  }
  // What does not look like a variable is not repeated: it may be the password itself.
  const shown = /^[A-Z_][A-Z0-9_]*$/.test(name) ? name : 'that it names';
  const state = secret === undefined ? 'not set' : 'empty';
  return reject(
    `the environment variable ${shown} is ${state}: set it before the start (export NAME=...)`,
  );
}

function fromFile(
  path: string,
  { folder }: Surroundings,
  reject: (message: string) => string,
): string {
  try {
    const secret = readFileSync(resolve(folder, path), 'utf8').replace(/\r?\n$/, '');
    return secret === ''
      ? reject('the file is empty: write the password on its first line')
      : secret;
  } catch (error) {
    return reject(`${unreadable(error)} (looked in the folder of the configuration)`);
  }
}

/** Why a file cannot be read, in words. */
export function unreadable(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return 'no such file: check the path';
    case 'EACCES':
    case 'EPERM':
      return 'no permission to read the file: make it readable for the user that runs Tidemark';
    case 'EISDIR':
      return 'this is a folder: name a file in it';
    default:
      return `the file cannot be read (${code ?? 'unknown reason'})`;
  }
}
