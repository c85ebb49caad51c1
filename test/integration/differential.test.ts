import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { Comparison, trustEverybody } from './differential/comparison.ts';
import { copyScripts } from './differential/copy-scripts.ts';
import { extendedScripts } from './differential/extended-scripts.ts';
import { sessionObjectScripts } from './differential/session-object-scripts.ts';
import { settingScripts } from './differential/setting-scripts.ts';
import { simpleScripts } from './differential/simple-scripts.ts';
import { transactionScripts } from './differential/transaction-scripts.ts';

/** What the proxy says differently, and why that is right. */
const knownDifferences: ReadonlyMap<string, string> = new Map([]);

let cluster: TestCluster;
let comparison: Comparison;

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 2, hba: trustEverybody });
  comparison = await Comparison.start(cluster);
});

afterAll(async () => {
  await comparison?.stop();
  await cluster?.stop();
});

describe.each([
  ['simple queries', simpleScripts],
  ['extended queries', extendedScripts],
  ['copy', copyScripts],
  ['transactions', transactionScripts],
  ['settings', settingScripts],
  ['session objects', sessionObjectScripts],
] as const)('%s answered as by the primary', (_, scripts) => {
  test.each(scripts.map((script) => [script.name, script] as const))('%s', async (name, script) => {
    if (knownDifferences.has(name)) return;
    for await (const { how, byPrimary, byProxy } of comparison.compare(script)) {
      expect(byProxy, how).toEqual(byPrimary);
    }
  });
});
