import { Histogram, Registry } from 'prom-client';
import { expect, it } from 'vitest';
import { MetricSet, single } from '../../../src/admin/metric-set.ts';
import { bucketBoundsMs, DurationHistogram } from '../../../src/session/duration-histogram.ts';
import { parseExposition } from './exposition.ts';

const name = 'tidemark_example_seconds';

it("prints a histogram to the letter as prom-client's own", async () => {
  // Eighths of seconds, whose sums do not round.
  const observedMs = [0, 125, 250, 500, 2_000, 2_500, 60_000, 400_000];
  const theirs = new Histogram({
    name,
    help: 'Example with a \\ and\nlines.',
    labelNames: ['node'],
    buckets: bucketBoundsMs.map((ms) => ms / 1000),
    registers: [],
  });
  const expected = new Registry();
  expected.registerMetric(theirs);
  const nodes = { 'a"b': new DurationHistogram(), c: new DurationHistogram() };
  for (const [node, histogram] of Object.entries(nodes)) {
    theirs.zero({ node });
    for (const ms of observedMs.slice(node.length)) {
      histogram.observe(ms);
      theirs.observe({ node }, ms / 1000);
    }
  }
  const metrics = new MetricSet();
  metrics.histogram(name, 'Example with a \\ and\nlines.', () =>
    Object.entries(nodes).map(([node, histogram]) => [{ node }, histogram]),
  );
  expect(await metrics.registry.metrics()).toBe(await expected.metrics());
});

it('prints buckets that grow up to the number of all', async () => {
  const histogram = new DurationHistogram();
  for (const ms of [3, 3, 40, 1e6, 1e9]) histogram.observe(ms);
  const metrics = new MetricSet();
  metrics.histogram(name, 'Example.', () => [[{}, histogram]]);
  const { values, types } = parseExposition(await metrics.registry.metrics());
  expect([...types]).toEqual([[name, 'histogram']]);
  const buckets = [...values].filter(([key]) => key.startsWith(`${name}_bucket`));
  expect(buckets).toHaveLength(bucketBoundsMs.length + 1);
  expect(buckets.map(([key]) => key).at(-1)).toBe(`${name}_bucket{le="+Inf"}`);
  const counts = buckets.map(([, value]) => value);
  expect(counts).toEqual(counts.toSorted((a, b) => a - b));
  expect(counts.at(-1)).toBe(5);
  expect(values.get(`${name}_count`)).toBe(5);
  expect(values.get(`${name}_sum`)).toBe(1_001_000.046);
});

it('reads anew at each scrape, and keeps no series that is gone', async () => {
  const metrics = new MetricSet();
  let series: [{ kind: string }, number][] = [];
  metrics.counter('tidemark_example_total', 'Example.', () => series);
  metrics.gauge('tidemark_example', 'Example.', () => single(series.length));
  const scrape = async () => [...parseExposition(await metrics.registry.metrics()).values];
  expect(await scrape()).toEqual([['tidemark_example', 0]]);
  series = [
    [{ kind: 'a' }, 1],
    [{ kind: 'b' }, 2],
  ];
  expect(await scrape()).toEqual([
    ['tidemark_example_total{kind="a"}', 1],
    ['tidemark_example_total{kind="b"}', 2],
    ['tidemark_example', 2],
  ]);
  series = [[{ kind: 'b' }, 3]];
  expect(await scrape()).toEqual([
    ['tidemark_example_total{kind="b"}', 3],
    ['tidemark_example', 1],
  ]);
});

it('takes a name once', () => {
  const metrics = new MetricSet();
  metrics.gauge('tidemark_example', 'Example.', () => []);
  expect(() => metrics.gauge('tidemark_example', 'Example.', () => [])).toThrow(/already/);
});
