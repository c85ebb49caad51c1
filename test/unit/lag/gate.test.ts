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
import { LATENCY_MS } from './scripted-server.ts';

let harness: Harness;

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(async () => {
  await stopHarness(harness);
  vi.useRealTimers();
});

/** Waits and notes the answer; null until there is one. */
function waiting(freshAsOfMs: number, waitMs: number) {
  const state = {
    node: null as number | null,
    answeredAtMs: 0,
    cancel: () => undefined as unknown,
  };
  const waiter = harness.gate.wait(asOf(freshAsOfMs), performance.now() + waitMs, (node) => {
    expect(state.node).toBeNull();
    state.node = node;
    state.answeredAtMs = performance.now();
  });
  state.cancel = () => waiter.cancel();
  return state;
}

/** A commit that the replica has not got yet, acknowledged now. */
function commit(bytes = 100): number {
  harness.servers[0]!.position += bytes;
  return performance.now();
}

describe('Gate', () => {
  it('samples at once for a read that waits, instead of at the next interval', async () => {
    harness = await startCluster(1);
    await pass(30);
    const at = commit();
    harness.servers[1]!.position += 100;
    const read = waiting(at, 50);
    expect(read.node).toBeNull();
    // Both servers are asked at the same time: one round trip.
    await pass(LATENCY_MS);
    expect(read.node).toBe(1);
    expect(harness.gate.size).toBe(0);
  });

  it('keeps asking the replica until it has caught up', async () => {
    harness = await startCluster(1);
    await pass(30);
    const read = waiting(commit(), 400);
    const sent = harness.servers[1]!.samplesSent;
    await pass(300);
    expect(read.node).toBeNull();
    // One at a time, with a pause of a millisecond after the first few.
    expect(harness.servers[1]!.samplesSent - sent).toBeGreaterThan(90);
    expect(harness.servers[1]!.samplesSent - sent).toBeLessThan(110);
    harness.servers[1]!.position += 100;
    await pass(5);
    expect(read.node).toBe(1);
  });

  it('pitfall 3: does not use a sample that was under way when the write was acknowledged', async () => {
    harness = await startCluster(1);
    const [primary, replica] = harness.servers;
    const sent = primary!.samplesSent;
    while (primary!.samplesSent === sent) await pass(1);
    // The server has looked, its answer is on the way; then the commit, unseen by the sample.
    await pass(LATENCY_MS / 2);
    const at = commit();
    const read = waiting(at, 80);
    await pass(10);
    expect(read.node).toBeNull();
    expect(harness.monitor.isEligible(1, asOf(at))).toBe(false);
    replica!.position += 100;
    await pass(5);
    expect(read.node).toBe(1);
  });

  it('wakes everybody with one answer', async () => {
    harness = await startCluster(1);
    await pass(30);
    const at = commit();
    harness.servers[1]!.position += 100;
    const sent = harness.servers.map((server) => server.samplesSent);
    const reads = Array.from({ length: 100 }, () => waiting(at, 50));
    await pass(5);
    expect(reads.every((read) => read.node === 1)).toBe(true);
    harness.servers.forEach((server, node) => {
      expect(server.samplesSent - sent[node]!).toBeLessThanOrEqual(3);
    });
  });

  it('spreads those who wake together over the replicas', async () => {
    harness = await startCluster(2);
    const at = commit();
    const reads = Array.from({ length: 10 }, () => waiting(at, 50));
    for (const replica of harness.servers.slice(1)) replica.position += 100;
    await pass(10);
    const nodes = reads.map((read) => read.node);
    expect(nodes.filter((node) => node === 1)).toHaveLength(5);
    expect(nodes.filter((node) => node === 2)).toHaveLength(5);
  });

  it('answers -1 at the deadline, each at its own', async () => {
    harness = await startCluster(1);
    await pass(30);
    const at = commit();
    const late = waiting(at, 60);
    const early = waiting(at, 20);
    const startMs = performance.now();
    await pass(200);
    expect(early.node).toBe(-1);
    expect(early.answeredAtMs - startMs).toBeCloseTo(20, -0.5);
    expect(late.node).toBe(-1);
    expect(late.answeredAtMs - startMs).toBeCloseTo(60, -0.5);
  });

  it('leaves a cancelled waiter alone and stops sampling for it', async () => {
    harness = await startCluster(1);
    await pass(30);
    const read = waiting(commit(), 1000);
    await pass(10);
    read.cancel();
    read.cancel();
    await pass(5);
    const sent = harness.servers[1]!.samplesSent;
    harness.servers[1]!.position += 100;
    await pass(50);
    expect(harness.servers[1]!.samplesSent - sent).toBeLessThanOrEqual(1);
    await pass(2000);
    expect(read.node).toBeNull();
  });

  it('goes back to one sample per interval when nobody waits any more', async () => {
    harness = await startCluster(1);
    await pass(30);
    const read = waiting(commit(), 20);
    await pass(30);
    expect(read.node).toBe(-1);
    const sent = harness.servers.map((server) => server.samplesSent);
    await pass(10 * SAMPLE_INTERVAL_MS);
    harness.servers.forEach((server, node) => {
      expect(server.samplesSent - sent[node]!).toBeLessThanOrEqual(11);
    });
  });

  it('never answers from inside wait(), also when the answer is known', async () => {
    harness = await startCluster(1);
    const read = waiting(0, 50);
    expect(read.node).toBeNull();
    await pass(2);
    expect(read.node).toBe(1);
  });

  it('answers with the node of the previous read where that is fresh', async () => {
    harness = await startCluster(2);
    const requirement = {
      ...noRequirement,
      freshAsOfMs: performance.now(),
      previousNode: 2,
      previousGeneration: harness.monitor.nodes[2]!.generation,
      previousReadEndMs: performance.now(),
    };
    let served = -1;
    harness.gate.wait(requirement, performance.now() + 50, (node) => {
      served = node;
    });
    await pass(5);
    expect(served).toBe(2);
  });

  it('lets a waiter begin to wait again, or cancel another, from its answer', async () => {
    harness = await startCluster(1);
    await pass(30);
    const at = commit();
    let second: number | null = null;
    const other = { node: null as number | null };
    const deadlineMs = performance.now() + 20;
    harness.gate.wait(asOf(at), deadlineMs, () => {
      victim.cancel();
      harness.gate.wait(asOf(at), performance.now() + 20, (node) => {
        second = node;
      });
    });
    const victim = harness.gate.wait(asOf(at), deadlineMs, (node) => {
      other.node = node;
    });
    await pass(22);
    expect(second).toBeNull();
    await pass(30);
    expect(second).toBe(-1);
    expect(other.node).toBeNull();
  });

  it('waits for a primary to appear', async () => {
    harness = await startCluster(1);
    const [old, promoted] = harness.servers;
    old!.manners = 'refusing';
    old!.breakConnections();
    let found: number | null = null;
    let missed: number | null = null;
    harness.gate.waitForPrimary(performance.now() + 5000, (node) => {
      found = node;
    });
    harness.gate.waitForPrimary(performance.now() + 50, (node) => {
      missed = node;
    });
    await pass(100);
    expect([found, missed]).toEqual([null, -1]);
    promoted!.inRecovery = false;
    promoted!.timeline = 2;
    await pass(SAMPLE_INTERVAL_MS + 5);
    expect(found).toBe(1);
  });

  it('gives up before the deadline on what nobody brings to disk', async () => {
    harness = await startCluster(1);
    const primary = harness.servers[0]!;
    await pass(30);
    const at = commit();
    primary.unflushedBytes = 100;
    const startMs = performance.now();
    const read = waiting(at, 40);
    await pass(15);
    expect(read.node).toBeNull();
    await pass(10);
    expect(read.node).toBe(-1);
    // Now that it is known, the next one does not wait at all.
    expect(harness.gate.hopeless(asOf(at), performance.now() + 20)).toBe(true);
    await pass(2 * SAMPLE_INTERVAL_MS);
    primary.unflushedBytes = 0;
    harness.servers[1]!.position += 100;
    await pass(2 * SAMPLE_INTERVAL_MS);
    // And the next of its kind only until it is seen to be of its kind.
    const again = commit();
    primary.unflushedBytes = 100;
    const second = waiting(again, 40);
    await pass(2 * LATENCY_MS);
    expect(second.node).toBe(-1);
    expect(performance.now() - startMs).toBeLessThan(1000);
  });

  it('waits for a commit that is on its way to disk', async () => {
    harness = await startCluster(1);
    const [primary, replica] = harness.servers;
    await pass(30);
    const read = waiting(commit(), 40);
    primary!.unflushedBytes = 100;
    await pass(10);
    primary!.unflushedBytes = 0;
    await pass(20);
    expect(read.node).toBeNull();
    replica!.position += 100;
    await pass(5);
    expect(read.node).toBe(1);
  });

  it('answers everybody when it is closed', async () => {
    harness = await startCluster(1);
    const read = waiting(commit(), 1000);
    harness.gate.close();
    expect(read.node).toBe(-1);
    const late = waiting(0, 1000);
    await pass(2);
    expect(late.node).toBe(-1);
  });
});

describe('Gate.hopeless', () => {
  const hopeless = (waitMs: number) =>
    harness.gate.hopeless(asOf(performance.now()), performance.now() + waitMs);

  it('lets reads wait for a healthy replica, under writes and after idle times', async () => {
    harness = await startCluster(1);
    for (let i = 0; i < 500; i++) {
      const position = harness.servers[0]!.position;
      commit();
      // Replay follows by 3 ms.
      setTimeout(() => {
        harness.servers[1]!.position = position + 100;
      }, 3);
      expect(hopeless(30)).toBe(false);
      await pass(i % 50 === 0 ? 1000 : 5);
    }
  });

  it('gives up on paused replay soon, and comes back after it', async () => {
    harness = await startCluster(1);
    commit();
    await pass(30 + 2 * SAMPLE_INTERVAL_MS);
    expect(hopeless(30)).toBe(true);
    harness.servers[1]!.position += 100;
    await pass(3000);
    expect(hopeless(30)).toBe(false);
  });

  it('does not blame a replica for what it could not have', async () => {
    harness = await startCluster(1);
    const [primary, replica] = harness.servers;
    commit();
    primary!.unflushedBytes = 100;
    await pass(5 * SAMPLE_INTERVAL_MS);
    primary!.unflushedBytes = 0;
    replica!.position += 100;
    await pass(SAMPLE_INTERVAL_MS + 5);
    expect(hopeless(20)).toBe(false);
  });

  it('gives up on a delayed replica, unless the wait is long enough', async () => {
    harness = await startCluster(1);
    const delayMs = 200;
    for (let i = 0; i < 300; i++) {
      commit();
      const { position } = harness.servers[0]!;
      setTimeout(() => {
        harness.servers[1]!.position = position;
      }, delayMs);
      await pass(10);
      if (i < 100) continue;
      expect(hopeless(50)).toBe(true);
      expect(hopeless(1000)).toBe(false);
    }
    await pass(delayMs);
  });

  it('remembers a delay for a moment when writes are rare', async () => {
    harness = await startCluster(1);
    for (let i = 0; i < 20; i++) {
      const at = commit();
      const { position } = harness.servers[0]!;
      setTimeout(() => {
        harness.servers[1]!.position = position;
      }, 250);
      // The read that follows the write has the position sampled at once.
      waiting(at, 50);
      await pass(400);
      expect(harness.monitor.stalenessMs(1)).toBeLessThan(2 * SAMPLE_INTERVAL_MS);
      expect(hopeless(50)).toBe(true);
    }
  });

  it('is true without a replica, and without a primary to tell the position', async () => {
    harness = await startCluster(1);
    await pass(200);
    harness.servers[1]!.manners = 'refusing';
    harness.servers[1]!.breakConnections();
    expect(hopeless(50)).toBe(true);
    harness.servers[1]!.manners = 'answering';
    await pass(1200);
    expect(hopeless(50)).toBe(false);
    harness.servers[0]!.manners = 'refusing';
    harness.servers[0]!.breakConnections();
    expect(hopeless(50)).toBe(true);
    expect(harness.gate.hopeless(noRequirement, performance.now())).toBe(false);
  });
});
