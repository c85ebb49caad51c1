import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  asOf,
  type Harness,
  PROBE_TIMEOUT_MS,
  pass,
  SAMPLE_INTERVAL_MS,
  startCluster,
  startHarness,
  stopHarness,
} from './monitor-harness.ts';
import { LATENCY_MS, ScriptedServer } from './scripted-server.ts';

let harness: Harness;

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(async () => {
  await stopHarness(harness);
  vi.useRealTimers();
});

const roles = () => harness.monitor.nodes.map((node) => node.role);

describe('Monitor: an ordinary cluster', () => {
  it('knows roles and freshness when start() resolves', async () => {
    harness = await startCluster(2);
    expect(roles()).toEqual(['primary', 'replica', 'replica']);
    expect(harness.monitor.primary()).toBe(0);
    expect(harness.monitor.epoch).toBe(1);
    expect(harness.monitor.stalenessMs(0)).toBe(0);
    expect(harness.monitor.stalenessMs(1)).toBeLessThan(10);
    expect(harness.monitor.isEligible(1, asOf(performance.now() - 10))).toBe(true);
    expect(harness.monitor.isEligible(0, asOf(0))).toBe(false);
  });

  it('samples every node once per interval while nobody waits', async () => {
    harness = await startCluster(2);
    const before = harness.servers.map((server) => server.samplesSent);
    await pass(20 * SAMPLE_INTERVAL_MS);
    harness.servers.forEach((server, node) => {
      expect(server.samplesSent - before[node]!).toBeGreaterThanOrEqual(19);
      expect(server.samplesSent - before[node]!).toBeLessThanOrEqual(21);
    });
    expect(harness.monitor.stalenessMs(1)).toBeLessThan(2 * SAMPLE_INTERVAL_MS);
  });

  it('lets staleness grow while replay stands still, and says so once', async () => {
    harness = await startCluster(1);
    await pass(10);
    harness.servers[0]!.position += 100;
    await pass(3000);
    expect(harness.monitor.stalenessMs(1)).toBeGreaterThan(2800);
    expect(harness.eventsOf('replica-ineligible')).toHaveLength(1);
    harness.servers[1]!.position += 100;
    await pass(2 * SAMPLE_INTERVAL_MS);
    expect(harness.monitor.stalenessMs(1)).toBeLessThan(2 * SAMPLE_INTERVAL_MS);
    expect(harness.eventsOf('replica-eligible')).toHaveLength(2);
  });

  it('does not take a replica for stale when the insert position is only behind a page header', async () => {
    harness = await startCluster(1);
    harness.servers[0]!.position = 8192 * 500 + 24;
    harness.servers[1]!.position = 8192 * 500;
    await pass(3000);
    expect(harness.monitor.stalenessMs(1)).toBeLessThan(2 * SAMPLE_INTERVAL_MS);
  });

  it('takes NULL positions for nothing', async () => {
    harness = await startCluster(1);
    harness.servers[1]!.isMute = true;
    await pass(2 * SAMPLE_INTERVAL_MS);
    expect(harness.monitor.stalenessMs(1)).toBe(Number.POSITIVE_INFINITY);
    harness.servers[1]!.isMute = false;
    await pass(2 * SAMPLE_INTERVAL_MS);
    harness.servers[0]!.isMute = true;
    await pass(1000);
    expect(harness.monitor.stalenessMs(1)).toBeGreaterThan(900);
  });

  it('takes servers that are down at the start for down, and finds them later', async () => {
    const servers = [new ScriptedServer('primary', 10), new ScriptedServer('replica', 10)];
    servers[1]!.manners = 'refusing';
    harness = await startHarness(servers);
    expect(roles()).toEqual(['primary', 'down']);
    expect(harness.monitor.nodes[1]!.lastError).toBe('connection refused');
    servers[1]!.manners = 'answering';
    await pass(1100);
    expect(roles()).toEqual(['primary', 'replica']);
    expect(harness.monitor.nodes[1]!.lastError).toBeNull();
  });
});

describe('Monitor: servers that fail', () => {
  it('gives up on a silent server and never uses its late answer', async () => {
    harness = await startCluster(2);
    const replica = harness.servers[1]!;
    replica.manners = 'silent';
    await pass(SAMPLE_INTERVAL_MS + PROBE_TIMEOUT_MS + 10);
    expect(harness.monitor.nodes[1]!.role).toBe('down');
    expect(harness.monitor.isEligible(1, asOf(0))).toBe(false);
    expect(harness.eventsOf('node-down')).toHaveLength(1);
    const { generation } = harness.monitor.nodes[1]!;
    replica.position += 5000;
    replica.answerLate();
    await pass(1);
    expect(harness.monitor.clock.freshAsOfMs(1)).toBe(Number.NEGATIVE_INFINITY);
    replica.manners = 'answering';
    await pass(5000);
    expect(harness.monitor.nodes[1]!.role).toBe('replica');
    expect(harness.monitor.nodes[1]!.generation).toBeGreaterThan(generation);
    expect(replica.openSessions).toBe(1);
  });

  it('reconnects at once, then ever more slowly, but at least every second', async () => {
    harness = await startCluster(1);
    const replica = harness.servers[1]!;
    await pass(2000);
    const opened = replica.sessionsOpened;
    replica.manners = 'refusing';
    replica.breakConnections();
    await pass(10);
    expect(replica.sessionsOpened - opened).toBe(1);
    await pass(1000);
    expect(replica.sessionsOpened - opened).toBeGreaterThanOrEqual(4);
    expect(replica.sessionsOpened - opened).toBeLessThanOrEqual(6);
    await pass(10_000);
    expect(replica.sessionsOpened - opened).toBeGreaterThanOrEqual(13);
    expect(replica.sessionsOpened - opened).toBeLessThanOrEqual(17);
    expect(harness.eventsOf('node-down')).toHaveLength(1);
    // A connection that held for a while clears the record.
    replica.manners = 'answering';
    await pass(3000);
    const openedAgain = replica.sessionsOpened;
    replica.breakConnections();
    await pass(10);
    expect(replica.sessionsOpened - openedAgain).toBe(1);
    expect(harness.monitor.nodes[1]!.role).toBe('replica');
  });

  it('forgets what a restarted replica had shown', async () => {
    harness = await startCluster(1);
    const [primary, replica] = harness.servers;
    primary!.position += 500;
    replica!.position += 500;
    await pass(3 * SAMPLE_INTERVAL_MS);
    const before = harness.monitor.nodes[1]!.generation;
    replica!.startTime = 'second';
    replica!.position -= 400;
    replica!.breakConnections();
    expect(harness.monitor.isEligible(1, asOf(0))).toBe(false);
    await pass(10);
    expect(harness.monitor.nodes[1]!.generation).toBe(before + 1);
    const freshAsOf = harness.monitor.clock.freshAsOfMs(1);
    expect(performance.now() - freshAsOf).toBeGreaterThan(2 * SAMPLE_INTERVAL_MS);
  });

  it('notices a restart by the start time and by replay that went back', async () => {
    harness = await startCluster(1);
    const replica = harness.servers[1]!;
    replica.startTime = 'second';
    await pass(SAMPLE_INTERVAL_MS + 5);
    expect(harness.monitor.nodes[1]!.generation).toBe(2);
    replica.position -= 10;
    await pass(SAMPLE_INTERVAL_MS + 5);
    expect(harness.monitor.nodes[1]!.generation).toBe(3);
  });

  it('doubts a replica whose data connection failed, until it has answered anew', async () => {
    harness = await startCluster(1);
    await pass(50);
    const replica = harness.servers[1]!;
    const sent = replica.samplesSent;
    harness.monitor.nudge(1);
    expect(harness.monitor.isEligible(1, asOf(0))).toBe(false);
    await pass(LATENCY_MS);
    expect(replica.samplesSent).toBe(sent + 1);
    expect(harness.monitor.isEligible(1, asOf(0))).toBe(true);
  });

  it('does not believe an answer to a question asked before the doubt', async () => {
    harness = await startCluster(1);
    const replica = harness.servers[1]!;
    const sent = replica.samplesSent;
    while (replica.samplesSent === sent) await pass(1);
    await pass(1);
    harness.monitor.nudge(1);
    await pass(LATENCY_MS - 1);
    // That answer has come, and the next question is sent.
    expect(replica.samplesSent).toBe(sent + 2);
    expect(harness.monitor.isEligible(1, asOf(0))).toBe(false);
    await pass(LATENCY_MS);
    expect(harness.monitor.isEligible(1, asOf(0))).toBe(true);
  });

  it('leaves replicas as they are while the primary is down, growing stale', async () => {
    harness = await startCluster(1);
    harness.servers[0]!.manners = 'refusing';
    harness.servers[0]!.breakConnections();
    await pass(5000);
    expect(roles()).toEqual(['down', 'replica']);
    expect(harness.monitor.primary()).toBe(-1);
    expect(harness.monitor.stalenessMs(1)).toBeGreaterThan(4000);
    expect(harness.monitor.stalenessMs(1)).toBeLessThan(6000);
    expect(harness.eventsOf('primary-changed').at(-1)).toMatchObject({ node: -1, previous: 0 });
  });

  it('does not take what a restarted primary writes for what its crash has taken', async () => {
    harness = await startCluster(1);
    const [primary, replica] = harness.servers;
    const { clock } = harness.monitor;
    await pass(SAMPLE_INTERVAL_MS);
    const flushedAsOfMs = clock.freshAsOfMs(1);
    // An asynchronous commit, sampled and not on disk.
    primary!.position += 100;
    primary!.unflushedBytes = 100;
    await pass(3 * SAMPLE_INTERVAL_MS);
    expect(clock.newestPrimarySampleMs).toBeGreaterThan(flushedAsOfMs);
    primary!.manners = 'refusing';
    primary!.breakConnections();
    // It is up again, nobody here has seen it, and the replica has replayed what it wrote there.
    replica!.position += 200;
    await pass(3 * SAMPLE_INTERVAL_MS);
    expect(clock.isKnown(1)).toBe(true);
    expect(clock.freshAsOfMs(1)).toBeLessThan(flushedAsOfMs + 2 * SAMPLE_INTERVAL_MS);
  });

  it('does not fail a healthy server because this process stood still', async () => {
    harness = await startCluster(1);
    // The answer and the timeout are due in the same turn; timers run before sockets are read.
    const replica = harness.servers[1]!;
    replica.manners = 'silent';
    const sent = replica.samplesSent;
    while (replica.samplesSent === sent) await pass(1);
    setTimeout(() => replica.answerLate(), PROBE_TIMEOUT_MS);
    replica.manners = 'answering';
    await pass(PROBE_TIMEOUT_MS + 5);
    expect(harness.eventsOf('node-down')).toHaveLength(0);
  });
});

describe('Monitor: epochs', () => {
  it('begins one when the primary restarts', async () => {
    harness = await startCluster(1);
    const primary = harness.servers[0]!;
    primary.startTime = 'second';
    primary.position -= 100;
    primary.breakConnections();
    await pass(10);
    expect(harness.monitor.epoch).toBe(2);
    expect(harness.monitor.stalenessMs(1)).toBeLessThan(10);
  });

  it('follows a promotion and trusts replicas only when they follow it, too', async () => {
    harness = await startCluster(3);
    const [old, promoted, slow, blind] = harness.servers;
    await pass(500);
    // Replica 2 had received more than the promoted one: by numbers alone it would be fresh.
    slow!.position += 10_000;
    blind!.timeline = null;
    promoted!.inRecovery = false;
    promoted!.timeline = 2;
    promoted!.position += 50;
    await pass(SAMPLE_INTERVAL_MS + 10);
    expect(roles()).toEqual(['fenced', 'primary', 'replica', 'replica']);
    expect(harness.monitor.epoch).toBe(2);
    expect(harness.eventsOf('node-fenced')).toMatchObject([{ node: 0, reason: 'older-timeline' }]);
    expect(harness.monitor.stalenessMs(2)).toBe(Number.POSITIVE_INFINITY);
    // What a replica said before the promotion still stands, but only for its old timeline.
    expect(harness.monitor.stalenessMs(3)).toBe(Number.POSITIVE_INFINITY);
    slow!.timeline = 2;
    blind!.timeline = 2;
    blind!.position += 50;
    await pass(SAMPLE_INTERVAL_MS + 10);
    expect(harness.monitor.stalenessMs(2)).toBeLessThan(2 * SAMPLE_INTERVAL_MS);
    expect(harness.monitor.stalenessMs(3)).toBeLessThan(2 * SAMPLE_INTERVAL_MS);
    // A standby whose WAL receiver is gone cannot say more than it did.
    slow!.timeline = null;
    blind!.timeline = 1;
    // The fenced one moves on alone: nobody listens.
    old!.position += 1_000_000;
    await pass(1000);
    expect(harness.monitor.stalenessMs(2)).toBeLessThan(2 * SAMPLE_INTERVAL_MS);
    expect(harness.monitor.stalenessMs(3)).toBeLessThan(2 * SAMPLE_INTERVAL_MS);
  });

  it('takes a replica that cannot name its timeline as long as no promotion was seen', async () => {
    const servers = [new ScriptedServer('primary', 10), new ScriptedServer('replica', 10)];
    servers[0]!.timeline = 7;
    servers[1]!.timeline = null;
    harness = await startHarness(servers);
    expect(harness.monitor.stalenessMs(1)).toBeLessThan(10);
    servers[0]!.timeline = 8;
    await pass(SAMPLE_INTERVAL_MS + 10);
    expect(harness.monitor.stalenessMs(1)).toBe(Number.POSITIVE_INFINITY);
  });

  it('looks for the promoted node at once when the primary is lost', async () => {
    harness = await startCluster(1);
    const [old, promoted] = harness.servers;
    await pass(2 * SAMPLE_INTERVAL_MS + 20);
    promoted!.inRecovery = false;
    promoted!.timeline = 2;
    old!.manners = 'refusing';
    old!.breakConnections();
    await pass(5);
    expect(roles()).toEqual(['down', 'primary']);
  });
});
