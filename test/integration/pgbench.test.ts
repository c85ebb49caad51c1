import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { startTestProxy, type TestProxy } from '../support/proxy.ts';

const run = promisify(execFile);

const hasPgbench = await run('pgbench', ['--version']).then(
  () => true,
  () => false,
);

/** What it asked for is what it must get: a lost or misplaced reply breaks the script. */
const echoScript = `
\\set wanted random(1, 1000000)
SELECT :wanted + 0 AS got, repeat('x', 1 + :wanted % 3000) AS filler \\gset
\\if :got != :wanted
SELECT misplaced_reply();
\\endif
`;

const poolSize = 10;
const modes = ['simple', 'extended', 'prepared'] as const;
/** Clients, and transactions of each. */
const loads = [
  [1, 200],
  [32, 20],
  [200, 5],
] as const;

describe.skipIf(!hasPgbench)('pgbench on pools of 10', () => {
  let cluster: TestCluster;
  let proxy: TestProxy;
  let folder: string;
  let echoFile: string;

  beforeAll(async () => {
    cluster = await startTestCluster({ replicas: 2 });
    proxy = await startTestProxy(cluster, { pool: { size: poolSize, waitTimeoutMs: 60_000 } });
    folder = await mkdtemp(join(tmpdir(), 'tidemark-pgbench-'));
    echoFile = join(folder, 'echo.sql');
    await writeFile(echoFile, echoScript);
    await run('pgbench', ['-i', '-q', '-s', '1', '-n', proxy.url]);
  });

  afterAll(async () => {
    await proxy?.stop();
    await cluster?.stop();
    if (folder !== undefined) await rm(folder, { recursive: true });
  });

  /** Fails when pgbench exits with an error, which it does when any client was aborted. */
  async function pgbench(...options: readonly string[]): Promise<number> {
    const { stdout, stderr } = await run('pgbench', ['-n', '-j', '2', ...options, proxy.url]);
    expect(stderr).not.toMatch(/error/i);
    expect(stdout).toMatch(/number of failed transactions: 0 /);
    return Number(/transactions actually processed: (\d+)/.exec(stdout)?.[1]);
  }

  for (const mode of modes) {
    for (const [clients, transactions] of loads) {
      const load = ['-M', mode, '-c', `${clients}`, '-t', `${transactions}`];

      test(`select-only, ${mode}, ${clients} clients: every reply reaches who asked`, async () => {
        expect(await pgbench('-S', ...load)).toBe(clients * transactions);
        expect(await pgbench('-f', echoFile, ...load)).toBe(clients * transactions);
      });

      test(`TPC-B-like, ${mode}, ${clients} clients: every transaction is applied once`, async () => {
        const balances = `SELECT (SELECT sum(abalance) FROM pgbench_accounts)::text AS accounts,
                                 (SELECT sum(tbalance) FROM pgbench_tellers)::text AS tellers,
                                 (SELECT sum(bbalance) FROM pgbench_branches)::text AS branches,
                                 (SELECT coalesce(sum(delta), 0) FROM pgbench_history)::text AS history,
                                 (SELECT count(*) FROM pgbench_history)::int AS transactions`;
        const primary = cluster.nodes[0]!;
        const [before] = await primary.query(balances);
        const processed = await pgbench('-b', 'tpcb-like', ...load);
        expect(processed).toBe(clients * transactions);
        const [after] = await primary.query(balances);
        expect(after!.transactions - before!.transactions).toBe(processed);
        expect(after!.accounts).toBe(after!.history);
        expect(after!.tellers).toBe(after!.history);
        expect(after!.branches).toBe(after!.history);
      });
    }
  }

  test('the reads went to the replicas, on no more connections than the pools allow', async () => {
    const metrics = await (await fetch(`${proxy.httpUrl}/metrics`)).text();
    const reads = (node: string) =>
      Number(
        new RegExp(
          `tidemark_requests_total\\{node="${node}",role="replica",reason="read"\\} (\\d+)`,
        ).exec(metrics)?.[1] ?? 0,
      );
    expect(reads('replica1')).toBeGreaterThan(1000);
    expect(reads('replica2')).toBeGreaterThan(1000);
    for (const node of cluster.nodes) {
      const [row] = await node.query(
        `SELECT count(*)::int AS n FROM pg_stat_activity
         WHERE backend_type = 'client backend' AND application_name NOT LIKE 'tidemark%'
           AND pid <> pg_backend_pid()`,
      );
      // The test's own pool keeps connections beside those of the proxy.
      expect(row!.n).toBeLessThanOrEqual(poolSize + 2);
    }
  });
});
