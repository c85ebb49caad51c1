import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SoakResults } from '../../bench/soak/results.ts';

const program = fileURLToPath(new URL('../../bench/soak.ts', import.meta.url));

describe('npm run bench:soak', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'));
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('lets clients do all they can, and finds nothing left behind', async () => {
    const output = join(folder, 'results');
    const briefly = ['--source', '--minutes', '0.2', '--players', '12', '--pool-size', '5'];
    await promisify(execFile)(process.execPath, [
      ...['--import', 'tsx', program],
      ...[...briefly, '--output', output],
    ]).catch((error: unknown) => error);
    const results = JSON.parse(await readFile(`${output}.json`, 'utf8')) as SoakResults;
    // In so short a time RSS is still growing: it says nothing.
    expect(results.problems.filter((problem) => !problem.startsWith('RSS'))).toEqual([]);
    expect(results.connects).toBeGreaterThan(0);
    expect(results.samples.length).toBeGreaterThan(2);
    expect(Math.max(...results.samples.map(({ clients }) => clients))).toBeGreaterThan(0);
    expect(results.after).toMatchObject({ clients: 0, activeConnections: 0, busyBackends: 0 });
    expect(await readFile(`${output}.md`, 'utf8')).toContain('| when the last client is gone |');
    expect(await readFile(`${output}.svg`, 'utf8')).toContain('<polyline');
  });
});
