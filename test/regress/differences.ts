import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What two runs on equal servers need not have in common. */
const variable: readonly (readonly [RegExp, string])[] = [
  [/\bPID \d+/g, 'PID 0'],
  [/\bprocess \d+/gi, 'process 0'],
  [/\bpg_(toast_)?temp_\d+/g, 'pg_$1temp_0'],
  [/\bpg_toast_\d+/g, 'pg_toast_0'],
  // Of the tables' OIDs.
  [/\bQuery Identifier: -?\d+/g, 'Query Identifier: 0'],
  // Of the port.
  [/\.s\.PGSQL\.\d+/g, '.s.PGSQL.0'],
];

export function normalised(output: string): string {
  return variable.reduce((text, [pattern, stands]) => text.replaceAll(pattern, stands), output);
}

/** The unified difference of two outputs, or null when there is none. */
export async function difference(
  test: string,
  folder: string,
  [byPrimary, byProxy]: readonly [string, string],
): Promise<string | null> {
  if (byPrimary === byProxy) return null;
  const files = [join(folder, `${test}.primary`), join(folder, `${test}.tidemark`)] as const;
  await writeFile(files[0], byPrimary, 'latin1');
  await writeFile(files[1], byProxy, 'latin1');
  const labels = ['--label', `${test} directly`, '--label', `${test} through Tidemark`];
  return run('diff', ['-a', '-U5', ...labels, ...files], {
    encoding: 'latin1',
    maxBuffer: 1 << 28,
  }).then(
    () => null,
    // 1 is a difference, not a failure.
    (error: { code: unknown; stdout: string }) => {
      if (error.code !== 1) throw error;
      return error.stdout;
    },
  );
}

/** Lines that stand on one side only. */
export function countLines(diff: string): number {
  return diff.split('\n').filter((line) => /^[-+](?![-+]{2} )/.test(line)).length;
}

/** One of the outputs that PostgreSQL's own developers expect. */
export async function isExpected(source: string, test: string, output: string): Promise<boolean> {
  const variants = ['', ...Array.from({ length: 10 }, (_, index) => `_${index}`)];
  for (const variant of variants) {
    const file = join(source, 'expected', `${test}${variant}.out`);
    const expected = await readFile(file, 'latin1').catch(() => null);
    if (expected === output) return true;
  }
  return false;
}
