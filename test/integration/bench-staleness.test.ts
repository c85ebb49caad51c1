import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StalenessResults } from '../../bench/staleness/results.ts';

const program = fileURLToPath(new URL('../../bench/staleness.ts', import.meta.url));

describe('bench:staleness, with replicas 500 ms behind', () => {
  let folder: string;
  let printed: string;
  let results: StalenessResults;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'));
    const output = join(folder, 'results');
    const { stdout } = await promisify(execFile)(process.execPath, [
      ...['--import', 'tsx', program, '--source', '--fsync', 'off', '--output', output],
      ...['--seconds', '1', '--rounds', '1', '--sessions', '4', '--delays', '500'],
      ...['--targets', 'primary-only,two-dsns,tidemark-eventual,tidemark-session'],
    ]);
    printed = stdout;
    results = JSON.parse(await readFile(`${output}.json`, 'utf8')) as StalenessResults;
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  const outcome = (key: string) => {
    const found = results.delays[0]?.outcomes.find((one) => one.key === key);
    if (found === undefined) throw new Error(`no outcome of ${key}`);
    return found;
  };

  it('finds the stale reads of two DSNs and of the eventual level', () => {
    for (const key of ['two-dsns', 'tidemark-eventual']) {
      const { ownReads, shareStale, shareOnReplicas, oldestMs } = outcome(key);
      expect(ownReads, key).toBeGreaterThan(10);
      expect(shareStale, key).toBeGreaterThan(0.5);
      expect(shareOnReplicas, key).toBeGreaterThan(0.5);
      expect(oldestMs, key).toBeGreaterThan(50);
    }
  });

  it('finds none at the session level and on the primary', () => {
    for (const key of ['primary-only', 'tidemark-session']) {
      expect(outcome(key).ownReads, key).toBeGreaterThan(10);
      expect(outcome(key), key).toMatchObject({ staleReads: 0, wentBack: 0, broken: [] });
    }
  });

  it('measures where reads were served, and takes Tidemark at its word for the reason', () => {
    expect(outcome('primary-only').shareOnReplicas).toBe(0);
    const { reasons, writes, reads } = outcome('tidemark-session');
    expect(Object.keys(reasons)).toContain('primary write');
    expect(writes.p50Ms).toBeGreaterThan(0);
    expect(reads.p99Ms).toBeGreaterThanOrEqual(reads.p50Ms!);
  });

  it('has no errors, and prints and plots all it was asked for', async () => {
    for (const { name, errors } of results.delays[0]!.outcomes) {
      expect(errors, name).toEqual({});
      expect(printed).toContain(name);
      expect(await readFile(join(folder, 'results.svg'), 'utf8')).toContain(name);
      expect(await readFile(join(folder, 'results.md'), 'utf8')).toContain(`| ${name} |`);
    }
    expect(printed).toContain('fsync off');
  });
});
