import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { noRequirement } from '../../../src/lag/read-requirement.ts';
import {
  asOf,
  type Harness,
  pass,
  SAMPLE_INTERVAL_MS,
  startCluster,
  stopHarness,
} from './monitor-harness.ts';

const retryAfterMs = 30_000;

let harness: Harness;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(async () => {
  await stopHarness(harness);
  vi.useRealTimers();
});

/** A primary that is ahead of its one replica, and somebody who waits for that. */
async function behind(versionNum = 190_000) {
  harness = await startCluster(1);
  const [primary, replica] = harness.servers as [
    (typeof harness.servers)[0],
    (typeof harness.servers)[0],
  ];
  replica.versionNum = versionNum;
  replica.breakConnections();
  await pass(50);
  primary.position += 1_000;
  const answers: number[] = [];
  const wait = (waitMs = 600_000) => {
    const nowMs = harness.monitor.now();
    return harness.gate.wait(asOf(nowMs), nowMs + waitMs, (node) => answers.push(node));
  };
  return { primary, replica, answers, wait };
}

describe('a replica that can say when it has replayed a position', () => {
  it('is asked for it, once, and not every millisecond', async () => {
    const { primary, replica, answers, wait } = await behind();
    wait();
    await pass(30);
    expect(replica.replayWaits.map(({ lsn }) => lsn)).toEqual([BigInt(primary.position)]);
    const before = replica.samplesSent;
    await pass(5 * SAMPLE_INTERVAL_MS);
    expect(replica.samplesSent - before).toBeLessThan(10);
    expect(replica.replayWaits).toHaveLength(1);
    expect(answers).toEqual([]);
  });

  it('is sampled at once when it says so, and the sample decides', async () => {
    const { primary, replica, answers, wait } = await behind();
    wait();
    await pass(30);
    // It says so, and is not there: nothing is proven by words.
    replica.replayWaits[0]!.answer('reached');
    await pass(20);
    expect(answers).toEqual([]);
    expect(replica.replayWaits).toHaveLength(2);
    replica.position = primary.position;
    replica.replayWaits[1]!.answer('reached');
    await pass(8);
    expect(answers).toEqual([1]);
  });

  it('is asked again when its time is over and somebody still waits', async () => {
    const { replica, wait } = await behind();
    wait();
    await pass(30);
    replica.replayWaits[0]!.answer('timed-out');
    await pass(20);
    expect(replica.replayWaits).toHaveLength(2);
    expect(replica.openReplayWaits).toBe(1);
  });

  it('is asked for the lowest position that helps anybody', async () => {
    const { primary, replica } = await behind();
    const { gate, monitor } = harness;
    const minLsn = BigInt(primary.position - 500) as never;
    gate.wait({ ...noRequirement, minLsn }, monitor.now() + 600_000, () => {});
    await pass(30);
    expect(replica.replayWaits.map(({ lsn }) => lsn)).toEqual([minLsn]);
  });

  it('is left alone when nobody waits any more, and the connection closes in time', async () => {
    const { replica, wait } = await behind();
    const waiter = wait();
    await pass(30);
    waiter.cancel();
    replica.replayWaits[0]!.answer('timed-out');
    await pass(200);
    expect(replica.replayWaits).toHaveLength(1);
    expect(replica.openReplayWaits).toBe(1);
    await pass(30_000);
    expect(replica.openReplayWaits).toBe(0);
  });

  it.each(['not-in-recovery', 'unclear', 'error', 'silence'] as const)(
    'that answers with %s is polled from then on, and asked again later',
    async (outcome) => {
      const { primary, replica, answers, wait } = await behind();
      wait();
      await pass(30);
      const [first] = replica.replayWaits;
      if (outcome === 'error') first!.fail(new Error('42601'));
      else if (outcome === 'silence') await pass(3_000);
      else first!.answer(outcome);
      await pass(20);
      const before = replica.samplesSent;
      await pass(SAMPLE_INTERVAL_MS);
      expect(replica.samplesSent - before).toBeGreaterThan(20);
      expect(replica.replayWaits).toHaveLength(1);
      expect(replica.openReplayWaits).toBe(0);
      replica.position = primary.position;
      await pass(10);
      expect(answers).toEqual([1]);
      primary.position += 1_000;
      await pass(retryAfterMs);
      wait();
      await pass(30);
      expect(replica.replayWaits).toHaveLength(2);
      // An answer to what was given up is not looked at.
      if (outcome === 'silence') first!.answer('reached');
    },
  );

  it('is not waited on any more when it fails or is promoted', async () => {
    const { replica, wait } = await behind();
    wait();
    await pass(30);
    expect(replica.openReplayWaits).toBe(1);
    replica.breakConnections();
    await pass(1);
    expect(replica.openReplayWaits).toBe(0);
  });

  it('before PostgreSQL 19 is polled', async () => {
    const { primary, replica, answers, wait } = await behind(180_004);
    wait();
    await pass(100);
    expect(replica.replayWaits).toEqual([]);
    replica.position = primary.position;
    await pass(10);
    expect(answers).toEqual([1]);
  });
});
