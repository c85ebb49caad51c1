import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { eventually, startTestProxy, type TestProxy } from '../support/proxy.ts';

/** For a printed median, by hand; the test itself asserts no time. */
const printsLatency = process.env['TIDEMARK_TEST_PRINT_LATENCY'] === '1';
const rounds = printsLatency ? 200 : 15;

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 1 });
  await cluster.primary.query('create table t (id int primary key, v int not null)');
  await cluster.primary.query('insert into t select i, 0 from generate_series(1, 32) i');
  await cluster.waitForCatchup();
});

afterAll(async () => {
  await cluster?.stop();
});

async function withProxy(
  freshness: Parameters<typeof startTestProxy>[1],
  run: (proxy: TestProxy) => Promise<void>,
): Promise<void> {
  const proxy = await startTestProxy(cluster, freshness);
  try {
    await run(proxy);
  } finally {
    await proxy.stop();
  }
}

/** Questions of the monitor to this node that were answered so far. */
async function samples(proxy: TestProxy, node: string): Promise<number> {
  const text = await (await fetch(`${proxy.httpUrl}/metrics`)).text();
  const line = text
    .split('\n')
    .find((one) => one.startsWith(`tidemark_probe_samples_total{node="${node}",result="ok"}`));
  return Number(line?.split(' ').at(-1));
}

const bump = (client: pg.Client, id: number) =>
  client.query(`update t set v = v + 1 where id = ${id}`);

describe('a read that has to wait', () => {
  it('is answered by the replica soon after that has replayed what it needs', async () => {
    const [replica] = cluster.replicas;
    const direct = new pg.Client({ connectionString: replica!.url() });
    await direct.connect();
    const latencies: number[] = [];
    await withProxy({ freshness: { waitTimeoutMs: 60_000 } }, async (proxy) => {
      const client = await proxy.client();
      for (let round = 0; round < rounds; round++) {
        await replica!.pauseReplay();
        await bump(client, 1);
        const [{ lsn }] = await cluster.primary.query(
          'select pg_current_wal_flush_lsn()::text as lsn',
        );
        let answeredMs = 0;
        const reading = client.query('select v from t where id = 1').then(() => {
          answeredMs = performance.now();
        });
        await eventually(async () => (await waiters(proxy)) === 1, 'the read waits');
        await replica!.resumeReplay();
        let replayedMs = 0;
        while (replayedMs === 0) {
          const { rows } = await direct.query(
            `select pg_last_wal_replay_lsn() >= '${lsn}'::pg_lsn as yes`,
          );
          if (rows[0].yes === true) replayedMs = performance.now();
        }
        await reading;
        const { rows } = await client.query('show tidemark.route');
        expect(rows[0]).toMatchObject({ role: 'replica', reason: 'read-waited' });
        latencies.push(answeredMs - replayedMs);
      }
      await client.end();
    });
    await direct.end();
    latencies.sort((a, b) => a - b);
    if (printsLatency) {
      const at = (part: number) => latencies[Math.floor(part * (rounds - 1))]!.toFixed(2);
      console.log(`answered after the replay, ms: p50 ${at(0.5)} p90 ${at(0.9)} max ${at(1)}`);
    }
    expect(latencies).toHaveLength(rounds);
  });
});

async function waiters(proxy: TestProxy): Promise<number> {
  const text = await (await fetch(`${proxy.httpUrl}/metrics`)).text();
  return Number(/^tidemark_gate_waiters (\d+)$/m.exec(text)?.[1]);
}

describe('what samples cost', () => {
  it('is nothing for sessions that never read', async () => {
    await withProxy({ freshness: { sampleIntervalMs: 60_000 } }, async (proxy) => {
      const clients = await Promise.all(Array.from({ length: 4 }, () => proxy.client()));
      const before = await samples(proxy, 'primary');
      expect(before).toBeGreaterThan(0);
      for (let i = 0; i < 50; i++) {
        await Promise.all(clients.map((client, id) => bump(client, id + 1)));
      }
      expect(await samples(proxy, 'primary')).toBe(before);
      // The first read after a write causes one.
      await clients[0]!.query('select v from t where id = 1');
      expect(await samples(proxy, 'primary')).toBeGreaterThan(before);
      await Promise.all(clients.map((client) => client.end()));
    });
  });

  it('is one query at a time on the primary, however many write and read', async () => {
    await withProxy({ pool: { size: 20 } }, async (proxy) => {
      const clients = await Promise.all(Array.from({ length: 16 }, () => proxy.client()));
      const before = await samples(proxy, 'primary');
      let writes = 0;
      let isOver = false;
      const working = Promise.all(
        clients.map(async (client, index) => {
          while (!isOver) {
            await bump(client, index + 1);
            await client.query(`select v from t where id = ${index + 1}`);
            writes++;
          }
        }),
      );
      const connections = new Set<number>();
      let looks = 0;
      while (writes < 1_000 || looks < 20) {
        // One connection asks one query at a time: that is how the protocol is spoken here.
        const rows = await cluster.primary.query<{ n: number }>(
          "select count(*)::int as n from pg_stat_activity where application_name = 'tidemark monitor'",
        );
        connections.add(rows[0]!.n);
        looks++;
      }
      isOver = true;
      await working;
      expect([...connections]).toEqual([1]);
      // One sample serves many: with 16 writers there are fewer samples than writes.
      expect((await samples(proxy, 'primary')) - before).toBeLessThan(writes);
      await Promise.all(clients.map((client) => client.end()));
    });
  });
});
