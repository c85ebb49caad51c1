import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { leastReady, readiness, unready } from '../../../src/admin/readiness.ts';
import {
  type Harness,
  MAX_STALENESS_MS,
  pass,
  SAMPLE_INTERVAL_MS,
  startCluster,
  startHarness,
  stopHarness,
} from '../lag/monitor-harness.ts';
import { ScriptedServer } from '../lag/scripted-server.ts';
import { adminHarness, PASSWORD } from './admin-harness.ts';

let harness: Harness;

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(async () => {
  await stopHarness(harness);
  vi.useRealTimers();
});

const read = (isDraining = false) => readiness(adminHarness(harness).sources, isDraining);

function kill(node: number): void {
  harness.servers[node]!.manners = 'refusing';
  harness.servers[node]!.breakConnections();
}

it('is ready with a primary and replicas', async () => {
  harness = await startCluster(1);
  await pass(10);
  expect(read()).toEqual({
    ready: true,
    serves: 'reads-and-writes',
    reasons: [],
    max_staleness_ms: MAX_STALENESS_MS,
    nodes: [
      { name: 'a', role: 'primary', staleness_ms: 0, problem: null },
      { name: 'b', role: 'replica', staleness_ms: expect.any(Number), problem: null },
    ],
  });
});

it('rounds staleness up: it stays an upper bound', async () => {
  harness = await startCluster(1);
  const bound = vi.spyOn(harness.monitor, 'stalenessMs').mockReturnValue(12.1);
  expect(read().nodes[1]!.staleness_ms).toBe(13);
  bound.mockRestore();
});

it('is ready with a primary alone', async () => {
  harness = await startCluster(1);
  kill(1);
  await pass(SAMPLE_INTERVAL_MS);
  expect(read()).toMatchObject({ ready: true, serves: 'reads-and-writes', reasons: [] });
  expect(read().nodes[1]).toEqual({ name: 'b', role: 'down', staleness_ms: null, problem: 'down' });
});

it('is ready without a primary until the last replica exceeds the lag budget', async () => {
  harness = await startCluster(1);
  await pass(SAMPLE_INTERVAL_MS);
  kill(0);
  await pass(SAMPLE_INTERVAL_MS);
  expect(read()).toMatchObject({ ready: true, serves: 'reads', reasons: ['no-primary'] });
  await pass(MAX_STALENESS_MS);
  expect(read()).toMatchObject({
    ready: false,
    serves: 'nothing',
    reasons: ['no-primary', 'no-fresh-replica'],
  });
  expect(read().nodes[1]).toMatchObject({ role: 'replica', problem: 'over-max-staleness' });
  harness.servers[0]!.manners = 'answering';
  await pass(2000);
  expect(read()).toMatchObject({ ready: true, reasons: [] });
});

it('is not ready when nothing answers', async () => {
  const servers = [new ScriptedServer('primary', 10), new ScriptedServer('replica', 10)];
  for (const server of servers) server.manners = 'refusing';
  harness = await startHarness(servers);
  expect(read()).toMatchObject({ ready: false, reasons: ['no-primary', 'no-fresh-replica'] });
});

it('is not ready with replicas of which nothing is proven', async () => {
  harness = await startHarness([new ScriptedServer('replica', 10)]);
  expect(read()).toMatchObject({ ready: false, serves: 'nothing' });
  expect(read().nodes).toEqual([
    { name: 'a', role: 'replica', staleness_ms: null, problem: 'nothing-proven' },
  ]);
});

it('names why a node is fenced', async () => {
  harness = await startCluster(2);
  harness.servers[2]!.systemId = 'system-2';
  harness.servers[2]!.breakConnections();
  await pass(2 * SAMPLE_INTERVAL_MS);
  expect(read().nodes[2]).toEqual({
    name: 'c',
    role: 'fenced',
    staleness_ms: null,
    problem: 'other-system-identifier',
  });
});

it('is not ready while the proxy drains', async () => {
  harness = await startCluster(1);
  await pass(10);
  expect(read(true)).toMatchObject({ ready: false, serves: 'nothing', reasons: ['draining'] });
});

it('is of several processes that of the one that can do least', async () => {
  harness = await startCluster(1);
  await pass(10);
  const all = read();
  const reads = { ...all, serves: 'reads' as const };
  const draining = read(true);
  expect(leastReady([all, reads])).toBe(reads);
  expect(leastReady([reads, draining, all])).toBe(draining);
  expect(leastReady([all])).toBe(all);
  expect(leastReady([])).toBeNull();
  expect(Object.keys(unready('no-worker', 1)).toSorted()).toEqual(Object.keys(all).toSorted());
});

it('shows no password', async () => {
  harness = await startCluster(1);
  expect(JSON.stringify(read())).not.toContain(PASSWORD);
});
