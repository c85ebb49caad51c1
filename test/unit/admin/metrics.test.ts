import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createMetrics, processMetrics } from '../../../src/admin/metrics.ts';
import {
  asOf,
  type Harness,
  pass,
  SAMPLE_INTERVAL_MS,
  startCluster,
  stopHarness,
} from '../lag/monitor-harness.ts';
import { type AdminHarness, adminHarness, PASSWORD } from './admin-harness.ts';
import { parseExposition } from './exposition.ts';

let harness: Harness;
let admin: AdminHarness;
let scrape: () => Promise<ReadonlyMap<string, number>>;

beforeEach(async () => {
  vi.useFakeTimers();
  harness = await startCluster(2);
  admin = adminHarness(harness);
  const registry = createMetrics(admin.sources);
  scrape = async () => parseExposition(await registry.metrics()).values;
});

afterEach(async () => {
  await stopHarness(harness);
  vi.useRealTimers();
});

/** The series of one metric, by their labels as printed. */
function seriesOf(values: ReadonlyMap<string, number>, name: string): Record<string, number> {
  const series = [...values].filter(([key]) => key === name || key.startsWith(`${name}{`));
  return Object.fromEntries(series.map(([key, value]) => [key.slice(name.length), value]));
}

describe('requests', () => {
  it('are counted by node, by the role they were routed to, and by reason', async () => {
    const { routes } = admin;
    routes.count(0, 'write');
    routes.count(0, 'no-fresh-replica');
    routes.count(1, 'read');
    routes.count(1, 'read');
    routes.count(2, 'read-waited');
    expect(seriesOf(await scrape(), 'tidemark_requests_total')).toEqual({
      '{node="a",role="primary",reason="write"}': 1,
      '{node="a",role="primary",reason="no-fresh-replica"}': 1,
      '{node="b",role="replica",reason="read"}': 2,
      '{node="c",role="replica",reason="read-waited"}': 1,
    });
  });

  it('keep their series when the node changes its role', async () => {
    admin.routes.count(0, 'write');
    harness.servers[0]!.manners = 'refusing';
    harness.servers[0]!.breakConnections();
    await pass(SAMPLE_INTERVAL_MS);
    expect(harness.monitor.nodes[0]!.role).toBe('down');
    expect(seriesOf(await scrape(), 'tidemark_requests_total')).toEqual({
      '{node="a",role="primary",reason="write"}': 1,
    });
  });

  it.each(['read', 'read-waited', 'read-only-transaction', 'session', 'retry'] as const)(
    'with the reason %s were routed to a replica',
    async (reason) => {
      admin.routes.count(2, reason);
      expect(seriesOf(await scrape(), 'tidemark_requests_total')).toEqual({
        [`{node="c",role="replica",reason="${reason}"}`]: 1,
      });
    },
  );

  it('that failed or ran again are counted, and a scrape changes no count', async () => {
    const { routes } = admin;
    const before = await scrape();
    expect(before.get('tidemark_retries_total')).toBe(0);
    expect(seriesOf(before, 'tidemark_errors_total')).toEqual({});
    routes.retries += 3;
    routes.failed('57P03');
    routes.failed('57P03');
    routes.failed('08006');
    for (const values of [await scrape(), await scrape()]) {
      expect(values.get('tidemark_retries_total')).toBe(3);
      expect(seriesOf(values, 'tidemark_errors_total')).toEqual({
        '{sqlstate="57P03"}': 2,
        '{sqlstate="08006"}': 1,
      });
    }
  });

  it('that waited for a primary are counted by how long', async () => {
    admin.routes.placedAfter(700, 'write');
    const values = await scrape();
    expect(values.get('tidemark_primary_wait_seconds_bucket{le="0.5"}')).toBe(0);
    expect(values.get('tidemark_primary_wait_seconds_bucket{le="1"}')).toBe(1);
    expect(values.get('tidemark_primary_wait_seconds_sum')).toBe(0.7);
    expect(values.get('tidemark_read_wait_seconds_count{outcome="primary"}')).toBe(0);
  });
});

describe('reads', () => {
  it('that waited are counted by where they went, and by how long', async () => {
    const { routes } = admin;
    routes.waited(4, 'replica');
    routes.waited(250, 'replica');
    routes.waited(20, 'primary');
    routes.waited(5_000, 'error');
    for (const values of [await scrape(), await scrape()]) {
      expect(seriesOf(values, 'tidemark_read_wait_seconds_count')).toEqual({
        '{outcome="replica"}': 2,
        '{outcome="primary"}': 1,
        '{outcome="error"}': 1,
      });
      expect(seriesOf(values, 'tidemark_read_wait_seconds_sum')).toEqual({
        '{outcome="replica"}': 0.254,
        '{outcome="primary"}': 0.02,
        '{outcome="error"}': 5,
      });
      const fast = 'tidemark_read_wait_seconds_bucket{le="0.005",outcome="replica"}';
      expect(values.get(fast)).toBe(1);
      expect(values.get('tidemark_primary_wait_seconds_count')).toBe(0);
    }
  });

  it('that fell back to the primary are counted by reason, over all nodes', async () => {
    const none = { '{reason="no-replica"}': 0, '{reason="no-fresh-replica"}': 0 };
    expect(seriesOf(await scrape(), 'tidemark_read_fallbacks_total')).toEqual({
      ...none,
      '{reason="wait-timeout"}': 0,
    });
    const { routes } = admin;
    routes.count(0, 'wait-timeout');
    routes.count(1, 'wait-timeout');
    routes.count(1, 'write');
    routes.count(2, 'read');
    expect(seriesOf(await scrape(), 'tidemark_read_fallbacks_total')).toEqual({
      ...none,
      '{reason="wait-timeout"}': 2,
    });
  });

  it('that are on the primary, or are kept from it, are shown', async () => {
    Object.assign(admin.fallbackLimit, { inUse: 4, refused: 9 });
    const values = await scrape();
    expect(values.get('tidemark_fallback_reads')).toBe(4);
    expect(values.get('tidemark_fallback_limit_total')).toBe(9);
  });

  it('that ask for lost history are counted by kind', async () => {
    admin.routes.lostHistory('token');
    admin.routes.lostHistory('token');
    expect(seriesOf(await scrape(), 'tidemark_lost_history_total')).toEqual({
      '{kind="session"}': 0,
      '{kind="token"}': 2,
    });
  });
});

describe('samples', () => {
  it('are counted by node and result', async () => {
    harness.servers[2]!.manners = 'refusing';
    harness.servers[2]!.breakConnections();
    await pass(3 * SAMPLE_INTERVAL_MS);
    const { monitor } = harness;
    const series = seriesOf(await scrape(), 'tidemark_probe_samples_total');
    expect(series).toEqual({
      '{node="a",result="ok"}': monitor.samples(0).answered,
      '{node="a",result="failed"}': 0,
      '{node="b",result="ok"}': monitor.samples(1).answered,
      '{node="b",result="failed"}': 0,
      '{node="c",result="ok"}': monitor.samples(2).answered,
      '{node="c",result="failed"}': monitor.samples(2).failed,
    });
    expect(series['{node="a",result="ok"}']).toBeGreaterThan(series['{node="c",result="ok"}']!);
    expect(series['{node="c",result="failed"}']).toBeGreaterThan(0);
  });

  it('show the staleness of each node over time', async () => {
    admin.staleness[1]!.observe(120);
    admin.staleness[1]!.observe(1_000_000);
    const values = await scrape();
    const name = 'tidemark_replica_staleness_seconds';
    expect(values.get(`${name}_bucket{le="0.1",node="b"}`)).toBe(0);
    expect(values.get(`${name}_bucket{le="0.25",node="b"}`)).toBe(1);
    expect(values.get(`${name}_bucket{le="300",node="b"}`)).toBe(1);
    expect(values.get(`${name}_bucket{le="+Inf",node="b"}`)).toBe(2);
    expect(values.get(`${name}_sum{node="b"}`)).toBe(1000.12);
    expect(values.get(`${name}_count{node="c"}`)).toBe(0);
  });
});

describe('nodes', () => {
  it('show role, freshness and position', async () => {
    harness.servers[0]!.position = 2 ** 40;
    await pass(2 * SAMPLE_INTERVAL_MS);
    const values = await scrape();
    expect(seriesOf(values, 'tidemark_node_up')).toEqual({
      '{node="a"}': 1,
      '{node="b"}': 1,
      '{node="c"}': 1,
    });
    const held = Object.entries(seriesOf(values, 'tidemark_node_role')).filter(
      ([, on]) => on === 1,
    );
    expect(held.map(([labels]) => labels)).toEqual([
      '{node="a",role="primary"}',
      '{node="b",role="replica"}',
      '{node="c",role="replica"}',
    ]);
    expect(seriesOf(values, 'tidemark_node_insert_lsn_bytes')).toEqual({ '{node="a"}': 2 ** 40 });
    expect(seriesOf(values, 'tidemark_node_replay_lsn_bytes')).toEqual({
      '{node="b"}': 1_000_000,
      '{node="c"}': 1_000_000,
    });
    const staleness = seriesOf(values, 'tidemark_node_staleness_seconds');
    expect(staleness['{node="a"}']).toBe(0);
    expect(staleness['{node="b"}']).toBe(harness.monitor.stalenessMs(1) / 1000);
    expect(staleness['{node="b"}']).toBeGreaterThan(0);
    expect(values.get('tidemark_node_generation{node="a"}')).toBe(1);
    expect(values.get('tidemark_node_timeline{node="a"}')).toBe(1);
    expect(values.get('tidemark_primary_epoch')).toBe(1);
  });

  it('that are down have no position, and nothing is proven of them', async () => {
    harness.servers[1]!.manners = 'refusing';
    harness.servers[1]!.breakConnections();
    await pass(SAMPLE_INTERVAL_MS);
    const values = await scrape();
    expect(values.get('tidemark_node_up{node="b"}')).toBe(0);
    expect(values.get('tidemark_node_role{node="b",role="down"}')).toBe(1);
    expect(values.get('tidemark_node_role{node="b",role="replica"}')).toBe(0);
    expect(values.get('tidemark_node_staleness_seconds{node="b"}')).toBe(Number.POSITIVE_INFINITY);
    expect(values.has('tidemark_node_replay_lsn_bytes{node="b"}')).toBe(false);
    expect(values.has('tidemark_node_timeline{node="b"}')).toBe(false);
  });

  it('that are fenced are up', async () => {
    harness.servers[2]!.systemId = 'system-2';
    harness.servers[2]!.breakConnections();
    await pass(2 * SAMPLE_INTERVAL_MS);
    const values = await scrape();
    expect(values.get('tidemark_node_up{node="c"}')).toBe(1);
    expect(values.get('tidemark_node_role{node="c",role="fenced"}')).toBe(1);
  });
});

describe('pools and clients', () => {
  it('show every pool, and only those that are there', async () => {
    const stat = { active: 3, idle: 2, connecting: 1, waiting: 4, waitMsMax: 1500 };
    admin.pools.push({ node: 1, database: 'app', user: 'alice', stat });
    const values = await scrape();
    expect(seriesOf(values, 'tidemark_server_connections')).toEqual({
      '{node="b",database="app",user="alice",state="active"}': 3,
      '{node="b",database="app",user="alice",state="idle"}': 2,
      '{node="b",database="app",user="alice",state="connecting"}': 1,
    });
    expect(values.get('tidemark_pool_waiting{node="b",database="app",user="alice"}')).toBe(4);
    expect(values.get('tidemark_pool_wait_seconds_max{node="b",database="app",user="alice"}')).toBe(
      1.5,
    );
    admin.pools.pop();
    expect(seriesOf(await scrape(), 'tidemark_server_connections')).toEqual({});
  });

  it('print names with quotes, backslashes and line ends so that they can be read back', async () => {
    const stat = { active: 0, idle: 0, connecting: 0, waiting: 7, waitMsMax: 0 };
    admin.pools.push({ node: 0, database: 'a"b\\c', user: 'd\ne} 1', stat });
    expect(seriesOf(await scrape(), 'tidemark_pool_waiting')).toEqual({
      '{node="a",database="a\\"b\\\\c",user="d\\ne} 1"}': 7,
    });
  });

  it('show clients by state, also states in which nobody is', async () => {
    admin.phases.push('idle', 'active', 'idle', 'closed');
    expect(seriesOf(await scrape(), 'tidemark_clients')).toEqual({
      '{state="idle"}': 2,
      '{state="waiting"}': 0,
      '{state="active"}': 1,
      '{state="copying"}': 0,
    });
  });

  it('count who keeps a server connection, by reason', async () => {
    admin.phases.push('idle', 'active');
    admin.pinned.push('temp-table', 'load');
    const series = seriesOf(await scrape(), 'tidemark_pinned_clients');
    expect(series['{reason="temp-table"}']).toBe(2);
    expect(series['{reason="load"}']).toBe(2);
    expect(series['{reason="advisory-lock"}']).toBe(0);
  });

  it('show who waits at the gate', async () => {
    expect((await scrape()).get('tidemark_gate_waiters')).toBe(0);
    const future = performance.now() + 1000;
    const waiter = harness.gate.wait(asOf(future), future, () => {});
    expect((await scrape()).get('tidemark_gate_waiters')).toBe(1);
    waiter.cancel();
  });

  it('show the version, and no password', async () => {
    const values = await scrape();
    expect(values.get('tidemark_build_info{version="1.2.3"}')).toBe(1);
    expect([...values.keys()].join('\n')).not.toContain(PASSWORD);
  });
});

describe('the two registries', () => {
  it('share no name, so that their texts can stand one behind the other', async () => {
    const own = parseExposition(await createMetrics(admin.sources).metrics());
    const ofProcess = parseExposition(await processMetrics().metrics());
    expect([...own.types.keys()].every((name) => name.startsWith('tidemark_'))).toBe(true);
    expect([...ofProcess.types.keys()].every((name) => /^(process|nodejs)_/.test(name))).toBe(true);
    expect(processMetrics()).toBe(processMetrics());
  });

  it('give counters, and nothing else, names that end in _total', async () => {
    const { types } = parseExposition(await createMetrics(admin.sources).metrics());
    for (const [name, type] of types)
      expect(name.endsWith('_total'), name).toBe(type === 'counter');
  });
});
