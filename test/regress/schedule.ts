import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Names of the tests in PostgreSQL's order; `ignore` lines only mark tests as unreliable. */
export async function readSchedule(source: string): Promise<string[]> {
  const text = await readFile(join(source, 'parallel_schedule'), 'utf8');
  return text
    .split('\n')
    .map((line) => /^test:\s*(.*)$/.exec(line)?.[1])
    .flatMap((names) => (names === undefined ? [] : names.trim().split(/\s+/)));
}
