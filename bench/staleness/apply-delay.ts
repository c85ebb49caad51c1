import { setTimeout as sleep } from 'node:timers/promises';
import type { TestCluster, TestNode } from '../../test/support/cluster.ts';
import { table } from './links.ts';

/** Row 0 belongs to nobody's traffic. */
export const probeRow = 0;
const pollMs = 1;
const limitMs = 120_000;
/** A replica without a delay shows a commit within this time, or is not yet in order. */
const promptMs = 100;

/**
 * Holds the replicas behind, and waits until a commit is seen to arrive that late on each.
 * @returns after what time they showed it, in milliseconds
 */
export async function setApplyDelay(cluster: TestCluster, delayMs: number): Promise<number[]> {
  for (const replica of cluster.replicas) await replica.setApplyDelay(delayMs);
  const deadlineMs = performance.now() + limitMs;
  const found: number[] = [];
  for (const replica of cluster.replicas) {
    let tookMs = await measureDelay(cluster.primary, replica);
    while (tookMs < delayMs || tookMs > delayMs + promptMs) {
      if (performance.now() > deadlineMs) {
        throw new Error(`${replica.name} shows a commit after ${tookMs} ms, not ${delayMs} ms`);
      }
      tookMs = await measureDelay(cluster.primary, replica);
    }
    found.push(Math.round(tookMs * 10) / 10);
  }
  return found;
}

/** How long after it was sent a commit shows on the replica. */
async function measureDelay(primary: TestNode, replica: TestNode): Promise<number> {
  const startMs = performance.now();
  const written = await primary.query<{ version: number }>(
    `update ${table} set version = version + 1 where id = ${probeRow} returning version`,
  );
  const version = written[0]!.version;
  const read = `select version from ${table} where id = ${probeRow}`;
  while ((await replica.queryAgain<{ version: number }>(read))[0]!.version < version)
    await sleep(pollMs);
  return performance.now() - startMs;
}
