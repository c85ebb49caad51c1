import { expect, it } from 'vitest';
import { countsOf, mergedMetrics, type ProcessMetrics } from '../../../src/admin/merged-metrics.ts';
import { type Merge, MetricSet, single } from '../../../src/admin/metric-set.ts';
import { processMetrics } from '../../../src/admin/metrics.ts';
import { DurationHistogram } from '../../../src/session/duration-histogram.ts';
import { parseExposition } from './exposition.ts';

interface Numbers {
  readonly requests: Readonly<Record<string, number>>;
  readonly gauges: Readonly<Partial<Record<Merge, number>>>;
  readonly waitsMs: readonly number[];
}

/** As it arrives from another process. */
async function metricsWith({ requests, gauges, waitsMs }: Numbers): Promise<ProcessMetrics> {
  const metrics = new MetricSet();
  metrics.counter('tidemark_requests_total', 'Requests.', () =>
    Object.entries(requests).map(([node, count]) => [{ node }, count]),
  );
  for (const [merge, number] of Object.entries(gauges)) {
    metrics.gauge(`tidemark_${merge}`, 'A gauge.', () => single(number), merge as Merge);
  }
  const waits = new DurationHistogram();
  for (const ms of waitsMs) waits.observe(ms);
  metrics.histogram('tidemark_wait_seconds', 'Waits.', () => [[{}, waits]]);
  return structuredClone(await metrics.registry.getMetricsAsJSON());
}

const valuesOf = async (processes: readonly ProcessMetrics[]) =>
  parseExposition(`${await mergedMetrics(processes).metrics()}\n`).values;

const first = await metricsWith({
  requests: { a: 1, b: 2 },
  gauges: { sum: 3, min: 3, max: 3, first: 3 },
  waitsMs: [1, 100],
});
const second = await metricsWith({
  requests: { b: 5, c: 7 },
  gauges: { sum: 4, min: 1, max: Number.POSITIVE_INFINITY, first: 9 },
  waitsMs: [100, 100],
});

it('adds up counters, buckets and what is to be added, series by series', async () => {
  const values = await valuesOf([first, second]);
  expect(values.get('tidemark_requests_total{node="a"}')).toBe(1);
  expect(values.get('tidemark_requests_total{node="b"}')).toBe(7);
  expect(values.get('tidemark_requests_total{node="c"}')).toBe(7);
  expect(values.get('tidemark_wait_seconds_count')).toBe(4);
  expect(values.get('tidemark_wait_seconds_sum')).toBeCloseTo(0.301);
  expect(values.get('tidemark_wait_seconds_bucket{le="0.001"}')).toBe(1);
  expect(values.get('tidemark_wait_seconds_bucket{le="+Inf"}')).toBe(4);
  expect(values.get('tidemark_sum')).toBe(7);
});

it('takes the least, the greatest or the first where that says more', async () => {
  const values = await valuesOf([first, second]);
  expect(values.get('tidemark_min')).toBe(1);
  expect(values.get('tidemark_max')).toBe(Number.POSITIVE_INFINITY);
  expect(values.get('tidemark_first')).toBe(3);
});

it('keeps of a process that has ended what it counted, however often', async () => {
  const counts = countsOf([countsOf([first]), second]);
  expect(counts.map(({ name }) => name).toSorted()).toEqual([
    'tidemark_requests_total',
    'tidemark_wait_seconds',
  ]);
  const values = await valuesOf([first, counts]);
  expect(values.get('tidemark_requests_total{node="b"}')).toBe(9);
  expect(values.get('tidemark_wait_seconds_count')).toBe(6);
  expect(values.get('tidemark_sum')).toBe(3);
  expect(await valuesOf([first, [], countsOf([])])).toEqual(await valuesOf([first]));
});

it('has every metric of a process, also those that cannot be put together', async () => {
  const metrics = await processMetrics().getMetricsAsJSON();
  const { types } = parseExposition(`${await mergedMetrics([metrics, metrics]).metrics()}\n`);
  expect([...types.keys()].toSorted()).toEqual(metrics.map(({ name }) => name).toSorted());
});
