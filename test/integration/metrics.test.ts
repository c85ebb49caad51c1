import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { eventually, startTestProxy, type TestProxy } from '../support/proxy.ts';
import { parseExposition } from '../unit/admin/exposition.ts';

let cluster: TestCluster;
let proxy: TestProxy;

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 1 });
  proxy = await startTestProxy(cluster, { freshness: { waitTimeoutMs: 10_000 } });
});

afterAll(async () => {
  await proxy?.stop();
  await cluster?.stop();
});

async function scrape(): Promise<ReadonlyMap<string, number>> {
  const response = await fetch(`${proxy.httpUrl}/metrics`);
  expect(response.status).toBe(200);
  return parseExposition(await response.text()).values;
}

it('a running proxy counts samples, staleness and the waits of reads', async () => {
  const [primary, replica] = cluster.nodes.map(({ name }) => `node="${name}"`);
  const waits = 'tidemark_read_wait_seconds_count{outcome="replica"}';
  const staleness = 'tidemark_replica_staleness_seconds_count';
  const client = await proxy.client();
  try {
    const before = await scrape();
    await client.query('CREATE TABLE t (n int)');
    await eventually(async () => {
      await client.query('INSERT INTO t VALUES (1)');
      await client.query('SELECT n FROM t');
      return (await scrape()).get(waits)! > before.get(waits)!;
    }, 'a read waited for its own write');
  } finally {
    await client.end();
  }
  await eventually(async () => {
    const values = await scrape();
    return (
      values.get(`${staleness}{${replica}}`)! > 2 &&
      values.get(`tidemark_probe_samples_total{${primary},result="ok"}`)! > 2
    );
  }, 'several samples');
  const values = await scrape();
  expect(values.get(`${staleness}{${primary}}`)).toBe(0);
  expect(values.get(`tidemark_replica_staleness_seconds_sum{${replica}}`)).toBeGreaterThan(0);
  expect(values.get(`tidemark_probe_samples_total{${replica},result="failed"}`)).toBe(0);
});
