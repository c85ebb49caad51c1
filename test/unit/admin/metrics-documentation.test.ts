import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createMetrics, processMetrics } from '../../../src/admin/metrics.ts';
import { readiness } from '../../../src/admin/readiness.ts';
import { bucketBoundsMs } from '../../../src/session/duration-histogram.ts';
import {
  fallbackReasons,
  lostHistoryKinds,
  waitOutcomes,
} from '../../../src/session/route-counts.ts';
import { type Harness, startCluster, stopHarness } from '../lag/monitor-harness.ts';
import { adminHarness } from './admin-harness.ts';
import { parseExposition } from './exposition.ts';

const text = readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8');

/** The cells of the table row of each metric, without the name. */
const rows = new Map(
  [...text.matchAll(/^\| `((?:tidemark|process|nodejs)_\w+)` *\|(.*)\|$/gm)].map((match) => [
    match[1]!,
    match[2]!.split('|').map((cell) => cell.trim()),
  ]),
);

let harness: Harness;

beforeEach(async () => {
  vi.useFakeTimers();
  harness = await startCluster(1);
});

afterEach(async () => {
  await stopHarness(harness);
  vi.useRealTimers();
});

it('lists every metric of the proxy with its type and labels, and no other', async () => {
  const { sources, routes, pools } = adminHarness(harness);
  // One series at least of every metric, so that its labels show.
  routes.count(0, 'write');
  routes.failed('57P03');
  const stat = { active: 0, idle: 0, connecting: 0, waiting: 0, waitMsMax: 0 };
  pools.push({ node: 0, database: 'app', user: 'alice', stat });
  const { types, values } = parseExposition(await createMetrics(sources).metrics());
  const documented = [...rows.keys()].filter((name) => name.startsWith('tidemark_'));
  expect(documented.toSorted()).toEqual([...types.keys()].toSorted());
  for (const [name, type] of types) {
    const numberOfAll = type === 'histogram' ? `${name}_count` : name;
    const all = [...values.keys()].filter((key) => key.split('{', 1)[0] === numberOfAll);
    expect(all, name).not.toEqual([]);
    for (const series of all) {
      const labels = [...series.matchAll(/[{,](\w+)="/g)].map((match) => `\`${match[1]}\``);
      expect(rows.get(name)!.slice(0, 2), series).toEqual([type, labels.join(', ')]);
    }
  }
});

it('names every value of the labels that are words of a list', () => {
  const words: [string, readonly string[]][] = [
    ['tidemark_read_wait_seconds', waitOutcomes],
    ['tidemark_read_fallbacks_total', fallbackReasons],
    ['tidemark_lost_history_total', lostHistoryKinds],
    ['tidemark_probe_samples_total', ['ok', 'failed']],
  ];
  for (const [name, values] of words) {
    const named = [...rows.get(name)![2]!.matchAll(/`(?!tidemark_)([\w-]+)`/g)].map(
      (match) => match[1],
    );
    expect(named, name).toEqual(values);
  }
});

it('names the bounds of the buckets', () => {
  const seconds = bucketBoundsMs.map((ms) => String(ms / 1000)).join(', ');
  expect(text).toContain(`at most ${seconds} and any number of seconds`);
});

it('lists every metric of the process with its type', async () => {
  const { types } = parseExposition(await processMetrics().metrics());
  for (const [name, type] of types) expect(rows.get(name)?.[0], name).toBe(type);
});

it('shows /readyz with the keys that it has', () => {
  const json = /```json\n(.*?)```/s.exec(text)![1]!;
  const example = JSON.parse(json) as ReturnType<typeof readiness>;
  const state = readiness(adminHarness(harness).sources, false);
  expect(Object.keys(example)).toEqual(Object.keys(state));
  for (const node of example.nodes) expect(Object.keys(node)).toEqual(Object.keys(state.nodes[0]!));
});
