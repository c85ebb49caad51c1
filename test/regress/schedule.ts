import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Names of the tests of a folder, in their order: of src/test/regress from its schedule, of an
 * extension from the REGRESS variable of its Makefile.
 */
export async function readSchedule(source: string): Promise<string[]> {
  const schedule = await readText(join(source, 'parallel_schedule'));
  if (schedule !== null) return schedule.split('\n').flatMap(namesOn);
  const makefile = await readText(join(source, 'Makefile'));
  const line = makefile?.replaceAll('\\\n', ' ').match(/^REGRESS\s*=(.*)$/m)?.[1];
  if (line === undefined) throw new Error(`${source} names no tests`);
  return words(line);
}

/** Lines of the kind `ignore:` only mark tests as unreliable. */
function namesOn(line: string): string[] {
  const names = /^test:(.*)$/.exec(line)?.[1];
  return names === undefined ? [] : words(names);
}

/** Without variables, which depend on how PostgreSQL was built. */
const words = (text: string) => text.split(/\s+/).filter((word) => /^[^$]+$/.test(word));

function readText(file: string): Promise<string | null> {
  return readFile(file, 'utf8').catch(() => null);
}
