import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Lsn } from '../../../src/lag/lsn.ts';
import { noRequirement } from '../../../src/lag/read-requirement.ts';
import { StalenessBudget } from '../../../src/lag/staleness-budget.ts';
import type { LsnToken } from '../../../src/lag/token.ts';
import {
  type Harness,
  pass,
  SAMPLE_INTERVAL_MS,
  startCluster,
  startHarness,
  stopHarness,
} from './monitor-harness.ts';
import { LATENCY_MS, ScriptedServer } from './scripted-server.ts';

const POSITION = 1_000_000;
const NEVER = Number.NEGATIVE_INFINITY;

let harness: Harness;

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(async () => {
  await stopHarness(harness);
  vi.useRealTimers();
});

const lsn = (value: number) => BigInt(value) as Lsn;
const token = (position: number, timeline: number | null = null): LsnToken => ({
  systemId: timeline === null ? null : 'system-1',
  timeline,
  lsn: lsn(position),
});
const judge = (position: number, timeline: number | null = null) =>
  harness.monitor.judgeToken(token(position, timeline));
const history = (...switches: [number, number][]) =>
  switches.map(([timeline, at]) => `${timeline}\t0/${at.toString(16)}\tx\n`).join('');

/** A primary on this timeline since before the monitor was there, and a replica of it. */
function startOn(timeline: number, histories: ReadonlyMap<number, string> | null) {
  const servers = [
    new ScriptedServer('primary', POSITION),
    new ScriptedServer('replica', POSITION),
  ];
  for (const server of servers) Object.assign(server, { timeline, histories });
  return startHarness(servers);
}

describe('Monitor.judgeToken', () => {
  it('takes positions that the primary has reached, and says of others only what it knows', async () => {
    harness = await startCluster(1);
    const newestPrimarySampleMs = harness.monitor.clock.newestPrimarySampleMs;
    const beyond = { kind: 'unproven', why: 'beyond-newest-sample', newestPrimarySampleMs };
    expect(judge(POSITION)).toEqual({ kind: 'usable', minLsn: lsn(POSITION) });
    expect(judge(POSITION, 1)).toEqual({ kind: 'usable', minLsn: lsn(POSITION) });
    expect(judge(POSITION + 1)).toEqual(beyond);
    expect(judge(POSITION + 1, 1)).toEqual(beyond);
    expect(judge(5, 2)).toEqual({ ...beyond, why: 'newer-timeline' });
    harness.servers[0]!.position++;
    await pass(SAMPLE_INTERVAL_MS + LATENCY_MS);
    expect(judge(POSITION + 1).kind).toBe('usable');
    expect(harness.monitor.clock.newestPrimarySampleMs).toBeGreaterThan(newestPrimarySampleMs);
  });

  it('refuses the token of another system', async () => {
    harness = await startCluster(1);
    const foreign = { ...token(POSITION, 1), systemId: 'system-2' };
    expect(harness.monitor.judgeToken(foreign)).toEqual({ kind: 'other-system' });
  });

  it('moves a position back from behind a page header', async () => {
    harness = await startCluster(1);
    const page = 8192 * 100;
    expect(judge(page + 24)).toEqual({ kind: 'usable', minLsn: lsn(page) });
    expect(judge(page + 25)).toEqual({ kind: 'usable', minLsn: lsn(page + 25) });
  });

  it('knows nothing without a primary, and goes on with what it knew of one', async () => {
    const servers = [new ScriptedServer('replica', POSITION)];
    harness = await startHarness(servers);
    expect(judge(5)).toEqual({
      kind: 'unproven',
      why: 'no-primary',
      newestPrimarySampleMs: NEVER,
    });
    await stopHarness(harness);
    harness = await startCluster(1);
    harness.servers[0]!.manners = 'refusing';
    harness.servers[0]!.breakConnections();
    await pass(10);
    expect(harness.monitor.primary()).toBe(-1);
    expect(judge(POSITION).kind).toBe('usable');
    expect(judge(POSITION + 1).kind).toBe('unproven');
  });

  it('tells by the switch point what a promotion has lost', async () => {
    harness = await startCluster(2);
    const [old, promoted] = harness.servers;
    old!.position += 500;
    await pass(SAMPLE_INTERVAL_MS + 10);
    const lostMs = harness.monitor.clock.newestPrimarySampleMs;
    promoted!.inRecovery = false;
    promoted!.timeline = 2;
    promoted!.recoveryEnd = POSITION + 100;
    promoted!.position += 10_000;
    promoted!.histories = null;
    await pass(SAMPLE_INTERVAL_MS + 10);
    expect(harness.monitor.primary()).toBe(1);
    expect(judge(POSITION + 100, 1)).toEqual({ kind: 'usable', minLsn: lsn(POSITION + 100) });
    expect(judge(POSITION + 101, 1)).toEqual({
      kind: 'lost',
      timeline: 1,
      switchLsn: lsn(POSITION + 100),
    });
    expect(judge(POSITION + 101, 2).kind).toBe('usable');
    expect(judge(POSITION + 101).kind).toBe('usable');
    expect(harness.monitor.survived(lostMs)).toBe(false);
    expect(harness.monitor.survived(performance.now() + 1)).toBe(true);
    // The follower that is still on the old timeline has the position, and is not asked for it.
    const requirement = { ...noRequirement, minLsn: lsn(POSITION) };
    expect(harness.monitor.isEligible(2, requirement)).toBe(false);
  });
});

describe('Monitor: a promotion that it has not seen', () => {
  it('takes where recovery ended for the switch point only in the run that was promoted', async () => {
    harness = await startCluster(1);
    const [old, promoted] = harness.servers;
    await pass(SAMPLE_INTERVAL_MS);
    const keptMs = harness.monitor.clock.newestPrimarySampleMs;
    old!.manners = 'refusing';
    old!.breakConnections();
    // Promoted, and after a crash started again, with recovery that ended on the new timeline.
    promoted!.manners = 'refusing';
    promoted!.breakConnections();
    promoted!.startTime = 'second';
    promoted!.inRecovery = false;
    promoted!.timeline = 2;
    promoted!.position += 10_000;
    promoted!.recoveryEnd = promoted!.position;
    promoted!.histories = null;
    promoted!.manners = 'answering';
    await pass(2000);
    expect(harness.monitor.primary()).toBe(1);
    expect(judge(POSITION, 1)).toEqual({ kind: 'unknown-history' });
    expect(harness.monitor.survived(keptMs)).toBe(false);
  });
});

describe('Monitor: the history of a timeline', () => {
  it('asks once, and judges nothing before the answer', async () => {
    harness = await startOn(3, new Map([[3, history([1, 500], [2, 900])]]));
    expect(judge(500, 1)).toMatchObject({ kind: 'unproven', why: 'history-pending' });
    await pass(2 * LATENCY_MS);
    expect(judge(500, 1)).toEqual({ kind: 'usable', minLsn: lsn(500) });
    expect(judge(501, 1)).toEqual({ kind: 'lost', timeline: 1, switchLsn: lsn(500) });
    expect(judge(901, 2)).toEqual({ kind: 'lost', timeline: 2, switchLsn: lsn(900) });
    await pass(20 * SAMPLE_INTERVAL_MS);
    harness.servers[0]!.breakConnections();
    await pass(2000);
    expect(harness.servers[0]!.historiesRead).toBe(1);
    expect(harness.servers[1]!.historiesRead).toBe(0);
  });

  it('does not ask for that of the first timeline', async () => {
    harness = await startCluster(1);
    await pass(1000);
    expect(harness.servers[0]!.historiesRead).toBe(0);
  });

  it.each([
    ['nobody may read it', null],
    ['it is garbage', new Map([[2, 'garbage']])],
  ])('knows no ancestor when %s', async (_, histories) => {
    harness = await startOn(2, histories);
    await pass(3000);
    expect(judge(5, 1)).toEqual({ kind: 'unknown-history' });
    expect(judge(5, 2).kind).toBe('usable');
    expect(judge(5).kind).toBe('usable');
    expect(harness.servers[0]!.historiesRead).toBe(1);
  });

  it('asks again after a failure, but not with every sample', async () => {
    const servers = [new ScriptedServer('primary', POSITION)];
    const [primary] = servers;
    primary!.timeline = 2;
    primary!.histories = new Map([[2, history([1, 500])]]);
    const read = primary!.readTimelineHistory.bind(primary!);
    let failing = true;
    primary!.readTimelineHistory = (timeline, signal) => {
      const answer = read(timeline, signal);
      return failing ? answer.then(() => Promise.reject(new Error('connection reset'))) : answer;
    };
    harness = await startHarness(servers);
    await pass(900);
    expect(primary!.historiesRead).toBe(1);
    expect(judge(5, 1)).toMatchObject({ why: 'history-pending' });
    await pass(10_000);
    // After 1, 2 and 4 more seconds; and nobody waits for it any more.
    expect(primary!.historiesRead).toBe(4);
    expect(judge(5, 1)).toEqual({ kind: 'unknown-history' });
    failing = false;
    await pass(8000);
    expect(primary!.historiesRead).toBe(5);
    expect(judge(5, 1).kind).toBe('usable');
  });

  it('asks the new primary when another promotion comes before the answer', async () => {
    const servers = [
      new ScriptedServer('primary', POSITION),
      new ScriptedServer('replica', POSITION),
    ];
    const [old, promoted] = servers;
    for (const server of servers) server.timeline = 2;
    // What comes late all the same is no answer to the second question.
    const late = history([1, 500]);
    old!.readTimelineHistory = () => new Promise((done) => setTimeout(() => done(late), 50));
    harness = await startHarness(servers);
    promoted!.histories = new Map([[4, history([1, 400], [2, 600])]]);
    promoted!.inRecovery = false;
    promoted!.timeline = 4;
    old!.manners = 'refusing';
    old!.breakConnections();
    await pass(10);
    expect(harness.monitor.primary()).toBe(1);
    await pass(100);
    expect(promoted!.historiesRead).toBe(1);
    expect(judge(401, 1).kind).toBe('lost');
    expect(judge(5, 3)).toEqual({ kind: 'unknown-history' });
  });
});

describe('Monitor: a budget of staleness', () => {
  it('does not let a replica flap whose staleness swings around it', async () => {
    harness = await startCluster(1);
    const [primary, replica] = harness.servers;
    const budget = new StalenessBudget(700, 2);
    const requirement = { ...noRequirement, budget };
    let changes = 0;
    let before = true;
    const unbudgeted = { changes: 0, before: true };
    // The replica is 600 and 700 ms late in turns: as sampled, its staleness swings around 700.
    const applied: [number, number][] = [];
    for (let ms = 0; ms < 20_000; ms += 5) {
      primary!.position += 10;
      applied.push([performance.now(), primary!.position]);
      const lateMs = 600 + 100 * (Math.floor(ms / 500) % 2);
      while (applied.length > 0 && applied[0]![0] <= performance.now() - lateMs) {
        replica!.position = applied.shift()![1];
      }
      await pass(5);
      const isIn = harness.monitor.isEligible(1, requirement);
      if (isIn !== before) changes++;
      before = isIn;
      const isBelow = harness.monitor.stalenessMs(1) <= 700;
      if (isBelow !== unbudgeted.before) unbudgeted.changes++;
      unbudgeted.before = isBelow;
    }
    expect(unbudgeted.changes).toBeGreaterThan(20);
    expect(changes).toBe(1);
    // Nor the log: MAX_STALENESS_MS was never passed.
    expect(harness.eventsOf('replica-ineligible')).toHaveLength(0);
    replica!.position = primary!.position;
    await pass(SAMPLE_INTERVAL_MS + 10);
    expect(harness.monitor.isEligible(1, requirement)).toBe(true);
  });

  it('applies the rest of the requirement, too', async () => {
    harness = await startCluster(1);
    const budget = new StalenessBudget(1000, 2);
    const { monitor } = harness;
    const freshAsOfMs = performance.now() + 1;
    expect(monitor.isEligible(1, { ...noRequirement, budget })).toBe(true);
    expect(monitor.isEligible(1, { ...noRequirement, budget, freshAsOfMs })).toBe(false);
    expect(monitor.isEligible(1, { ...noRequirement, budget, minLsn: lsn(POSITION) })).toBe(true);
    expect(monitor.isEligible(1, { ...noRequirement, budget, minLsn: lsn(POSITION + 1) })).toBe(
      false,
    );
  });
});

describe('Monitor: what can be counted', () => {
  it('counts answers and failures per node, and tells every proven staleness', async () => {
    const told: [number, number][] = [];
    const servers = [
      new ScriptedServer('primary', POSITION),
      new ScriptedServer('replica', POSITION),
      new ScriptedServer('replica', POSITION),
    ];
    servers[2]!.manners = 'refusing';
    const onStaleness = (node: number, stalenessMs: number) => told.push([node, stalenessMs]);
    harness = await startHarness(servers, { onStaleness });
    await pass(10 * SAMPLE_INTERVAL_MS);
    const { monitor } = harness;
    expect(monitor.samples(0)).toEqual({ answered: servers[0]!.samplesSent, failed: 0 });
    expect(monitor.samples(2).answered).toBe(0);
    expect(monitor.samples(2).failed).toBeGreaterThan(3);
    expect(told.length).toBeGreaterThanOrEqual(10);
    expect(told.every(([node]) => node === 1)).toBe(true);
    expect(told.every(([, ms]) => ms >= 0 && ms < 2 * SAMPLE_INTERVAL_MS)).toBe(true);
    servers[1]!.isMute = true;
    await pass(SAMPLE_INTERVAL_MS);
    const { length } = told;
    await pass(5 * SAMPLE_INTERVAL_MS);
    expect(told).toHaveLength(length);
  });
});
