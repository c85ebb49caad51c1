import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createMetrics, processMetrics } from '../../../src/admin/metrics.ts';
import { readiness } from '../../../src/admin/readiness.ts';
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
    const series = [...values.keys()].find((key) => key.split('{', 1)[0] === name);
    const labels = [...series!.matchAll(/[{,](\w+)="/g)].map((match) => `\`${match[1]}\``);
    expect(rows.get(name)!.slice(0, 2), name).toEqual([type, labels.join(', ')]);
  }
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
