import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Tests that may run at the same time. */
export type TestGroup = readonly string[];

/**
 * The tests of a folder, in their order: of src/test/regress from its schedule, of an extension from
 * the REGRESS variable of its Makefile, one by one.
 */
export async function readSchedule(source: string): Promise<TestGroup[]> {
  const schedule = await readText(join(source, 'parallel_schedule'));
  if (schedule !== null) {
    const groups = schedule.split('\n').map(namesOn);
    return groups.filter((names) => names.length > 0);
  }
  const makefile = await readText(join(source, 'Makefile'));
  const line = makefile?.replaceAll('\\\n', ' ').match(/^REGRESS\s*=(.*)$/m)?.[1];
  if (line === undefined) throw new Error(`${source} names no tests`);
  return words(line).map((name) => [name]);
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
