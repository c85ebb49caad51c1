import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findPgbouncer } from '../../bench/support/pgbouncer.ts';
import { requirePgbench } from '../../bench/throughput/pgbench.ts';
import type { ThroughputResults } from '../../bench/throughput/results.ts';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';

const program = fileURLToPath(new URL('../../bench/throughput.ts', import.meta.url));

const hasPgbench = await requirePgbench().then(
  () => true,
  () => false,
);
const hasPgbouncer = (await findPgbouncer()) !== null;
const hasProc = process.platform === 'linux';

const briefly = ['--clients', '4', '--seconds', '1', '--repetitions', '1', '--scale', '1'];

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function bench(...args: readonly string[]): Promise<Ended> {
  const all = ['--import', 'tsx', program, ...briefly, ...args];
  return await promisify(execFile)(process.execPath, all).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: Ended) => error,
  );
}

describe.skipIf(!hasPgbench)('npm run bench', () => {
  let folder: string;
  let output: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'));
    output = join(folder, 'results');
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  const readResults = async () =>
    JSON.parse(await readFile(`${output}.json`, 'utf8')) as ThroughputResults;

  it('measures and compares throughput, latency, CPU, memory and where reads went', async () => {
    const { code, stdout, stderr } = await bench(
      ...['--source', '--fsync', 'off', '--output', output, '--workloads', 'mixed'],
      ...['--protocols', 'prepared', '--targets', 'direct,pgbouncer,tidemark'],
    );
    expect(stderr).not.toMatch(/error/i);
    expect(code).toBe(0);
    const { points, targets } = await readResults();
    expect(targets.map(({ key }) => key)).toEqual(
      hasPgbouncer ? ['direct', 'pgbouncer', 'tidemark'] : ['direct', 'tidemark'],
    );
    const { outcomes } = points[0]!;
    for (const outcome of outcomes) {
      const { key, transactionsPerSecond, p50Ms, p99Ms } = outcome;
      expect(outcome, key).toMatchObject({ errors: [], failedTransactions: 0, staleReads: 0 });
      // A client tells of its reads with its next write, which a slow machine may never come to.
      expect(outcome.ownReads, key).not.toBeNull();
      expect(transactionsPerSecond!.median, key).toBeGreaterThan(1);
      expect(p50Ms!.median, key).toBeGreaterThan(0);
      expect(p99Ms!.median, key).toBeGreaterThanOrEqual(p50Ms!.median);
      if (key === 'direct' || !hasProc) continue;
      expect(outcome.memoryMib!.median, key).toBeGreaterThan(0.5);
      expect(outcome.throughputTo.direct, key).toBeGreaterThan(0);
    }
    const ours = outcomes.find(({ key }) => key === 'tidemark')!;
    expect(ours.shareOnReplicas!.median).toBeGreaterThan(0);
    expect(ours.memoryMib!.median).toBeGreaterThan(20);
    for (const { name } of targets) {
      expect(stdout).toContain(name);
      expect(await readFile(`${output}.svg`, 'utf8')).toContain(name);
      expect(await readFile(`${output}.md`, 'utf8')).toContain(`| ${name} |`);
    }
  });

  describe('with --url', () => {
    let cluster: TestCluster;
    const password = 'do not print: s/ecret';
    const user = 'bencher';
    const schemas = async () =>
      (
        await cluster.primary.query<{ name: string }>(
          `select nspname as name from pg_namespace where nspname = 'tidemark_bench'`,
        )
      ).length;

    beforeAll(async () => {
      cluster = await startTestCluster({ replicas: 0 });
      await cluster.primary.query(
        `create role ${user} login password '${password}'; grant create on database postgres to ${user}`,
      );
    });

    afterAll(() => cluster?.stop());

    const prints: string[] = [];
    async function benchUrl(...args: readonly string[]): Promise<Ended> {
      const url = cluster.primary.url({ user, password, database: 'postgres' });
      const ended = await bench(
        ...['--url', `one=${url}`, '--url', `two=${url}`, '--output', output],
        ...['--workloads', 'select-only', '--protocols', 'simple', ...args],
      );
      prints.push(ended.stdout, ended.stderr);
      return ended;
    }

    it('makes tables only when it is asked to, and removes them', async () => {
      const refused = await benchUrl();
      expect(refused.stderr).toContain('--init');
      expect(refused.code).toBe(1);
      expect(await schemas()).toBe(0);

      const ended = await benchUrl('--init');
      expect(ended.stderr).toContain('making the schema tidemark_bench');
      expect(ended.code).toBe(0);
      const { targets, points } = await readResults();
      expect(targets.map(({ name }) => name)).toEqual(['one', 'two']);
      const { outcomes } = points[0]!;
      for (const { transactionsPerSecond, errors } of outcomes) {
        expect(errors).toEqual([]);
        expect(transactionsPerSecond!.median).toBeGreaterThan(1);
      }
      expect(outcomes.map(({ throughputTo }) => Object.keys(throughputTo))).toEqual([[], ['one']]);
      prints.push(JSON.stringify(await readResults()));

      const dropped = await benchUrl('--drop');
      expect(dropped.code).toBe(0);
      expect(await schemas()).toBe(0);
      for (const printed of prints) {
        expect(printed).not.toContain('ecret');
        expect(printed).not.toContain('do%20not');
      }
    });
  });
});
