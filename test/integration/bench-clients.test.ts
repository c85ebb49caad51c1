import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClientsResults } from '../../bench/clients/results.ts';

const program = fileURLToPath(new URL('../../bench/clients.ts', import.meta.url));
const briefly = ['--clients', '60', '--logins', '40', '--busy', '4', '--seconds', '1'];

describe('npm run bench:clients', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'));
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('logs clients in, measures what they take, and how the busy ones are served', async () => {
    const output = join(folder, 'results');
    const args = ['--import', 'tsx', program, ...briefly];
    // With so few clients the memory of each says nothing: the aim may be missed.
    const { stdout } = await promisify(execFile)(process.execPath, [
      ...args,
      ...['--settle', '0', '--source', '--fsync', 'off', '--output', output],
    ]).catch((error: { stdout: string }) => error);
    const results = JSON.parse(await readFile(`${output}.json`, 'utf8')) as ClientsResults;
    expect(results.storm).toMatchObject({ failures: [], logins: { count: 40 } });
    expect(results.others).toMatchObject({ failures: [], logins: { count: 20 } });
    expect(results.base.rss).toBeGreaterThan(20_000_000);
    expect(results.settled.heapUsed).toBeGreaterThan(1_000_000);
    expect(results.loads.map(({ load }) => load)).toEqual(['reads', 'writes']);
    for (const { alone, among } of results.loads) {
      for (const { failures, statementsByClient, waits } of [alone, among]) {
        expect(failures).toEqual([]);
        expect(statementsByClient).toHaveLength(4);
        expect(Math.min(...statementsByClient)).toBeGreaterThan(0);
        expect(waits.p99Ms).toBeGreaterThan(0);
      }
    }
    expect(stdout).toContain('60 idle clients');
    expect(await readFile(`${output}.md`, 'utf8')).toContain('| 60 idle clients |');
  });
});
