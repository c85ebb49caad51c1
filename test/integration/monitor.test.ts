import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Gate } from '../../src/lag/gate.ts';
import { formatLsn, type Lsn } from '../../src/lag/lsn.ts';
import { Monitor } from '../../src/lag/monitor.ts';
import type { MonitorEvent } from '../../src/lag/monitor-event.ts';
import type { NodeSample } from '../../src/lag/node-probe.ts';
import { noRequirement, type ReadRequirement } from '../../src/lag/read-requirement.ts';
import { TimelineHistory } from '../../src/lag/timeline-history.ts';
import { parseToken } from '../../src/lag/token.ts';
import { createNodeProbe } from '../../src/pool/node-probe.ts';
import {
  hasDebian15,
  startTestCluster,
  type TestCluster,
  type TestNode,
} from '../support/cluster.ts';
import { fillPage, PAGE_BYTES } from '../support/fill-page.ts';

const MAX_STALENESS_MS = 1000;

let cluster: TestCluster;
let monitor: Monitor;
let gate: Gate;
let events: MonitorEvent[];

interface MonitorLogin {
  readonly user?: string;
  readonly password?: string;
}

async function startMonitor(login: MonitorLogin = {}, sampleIntervalMs = 50): Promise<void> {
  events = [];
  monitor = new Monitor({
    probes: cluster.nodes.map((node) => probeOf(node, login)),
    sampleIntervalMs,
    // A slow machine's servers must not count as hung.
    probeTimeoutMs: 2_000,
    maxStalenessMs: MAX_STALENESS_MS,
    onEvent: (event) => events.push(event),
  });
  gate = new Gate(monitor);
  await monitor.start();
}

function probeOf(node: TestNode, login: MonitorLogin = {}) {
  const { name, host, port, user, password, database } = node;
  return createNodeProbe({ name, host, port, user, password, database, ...login });
}

/** What a server says of itself, apart from any monitor. */
async function sampleOf(node: TestNode): Promise<NodeSample> {
  const session = probeOf(node).open(() => undefined);
  await session.facts;
  try {
    return await session.sample();
  } finally {
    session.destroy();
  }
}

/** Where the timelines before this one were left, by the server's history file. */
async function switchesOf(node: TestNode, timeline: number) {
  const { signal } = new AbortController();
  const text = await probeOf(node).readTimelineHistory(timeline, signal);
  return TimelineHistory.parse(timeline, text!).switches;
}

async function stopMonitor(): Promise<void> {
  gate.close();
  await monitor.stop();
}

/** Polls, for conditions that must come true however slow the machine is. */
async function until(what: string, condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  while (!condition()) {
    if (performance.now() > deadlineMs) {
      throw new Error(`never: ${what}; nodes ${inspect(monitor.nodes)}, events ${inspect(events)}`);
    }
    await sleep(10);
  }
}

const inspect = (value: unknown) =>
  JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? String(item) : item));
const asOf = (freshAsOfMs: number): ReadRequirement => ({ ...noRequirement, freshAsOfMs });
const role = (node: number) => monitor.nodes[node]!.role;
const isFresh = (node: number) => monitor.stalenessMs(node) <= MAX_STALENESS_MS;
const waitFor = (requirement: ReadRequirement, waitMs: number) =>
  new Promise<number>((resolve) => gate.wait(requirement, monitor.now() + waitMs, resolve));

function nodeAt(node: number): TestNode {
  return cluster.nodes[node]!;
}

describe('a monitor of a healthy cluster', () => {
  beforeAll(async () => {
    cluster = await startTestCluster({ replicas: 2 });
    await cluster.primary.query('create table items (id int primary key)');
    await cluster.waitForCatchup();
  });
  afterAll(() => cluster?.stop());
  beforeEach(() => startMonitor());
  afterEach(() => stopMonitor());

  it('tells roles, positions and versions as the servers do', async () => {
    expect([role(0), role(1), role(2)]).toEqual(['primary', 'replica', 'replica']);
    const [facts] = await cluster.primary.query(
      `select system_identifier::text as id, current_setting('server_version_num')::int as version
       from pg_control_system()`,
    );
    for (const node of monitor.nodes) {
      expect(node).toMatchObject({ systemId: facts.id, versionNum: facts.version, timeline: 1 });
    }
    await until('both are fresh', () => isFresh(1) && isFresh(2));
    expect(monitor.nodes[1]!.replayLsn).not.toBeNull();
    expect(monitor.nodes[0]!.flushLsn).not.toBeNull();
  });

  it('shows the row on every replica that the gate lets a read go to', async () => {
    const writer = new pg.Client(cluster.primary.url());
    await writer.connect();
    await cluster.primary.query('truncate items');
    let served = 0;
    for (let id = 1; id <= 300; id++) {
      await writer.query('insert into items values ($1)', [id]);
      const requirement = asOf(monitor.now());
      expect(gate.hopeless(requirement, monitor.now() + 5000)).toBe(false);
      const node = await waitFor(requirement, 5000);
      if (node === -1) continue;
      served++;
      for (const replica of [1, 2]) {
        if (!monitor.isEligible(replica, requirement)) continue;
        const rows = await nodeAt(replica).query('select from items where id = $1', [id]);
        expect(rows, `row ${id} on node ${replica}`).toHaveLength(1);
      }
    }
    await writer.end();
    expect(served).toBeGreaterThan(250);
  });

  it('vouches for asynchronous commits only when they are there', async () => {
    const writer = new pg.Client(cluster.primary.url());
    await writer.connect();
    await writer.query('set synchronous_commit = off');
    await cluster.primary.query('truncate items');
    for (let id = 1; id <= 20; id++) {
      await writer.query('insert into items values ($1)', [id]);
      const node = await waitFor(asOf(monitor.now()), 20_000);
      expect(node).not.toBe(-1);
      const rows = await nodeAt(node).query('select from items where id = $1', [id]);
      expect(rows).toHaveLength(1);
    }
    await writer.end();
  });

  it('lets a replica that pauses its replay grow stale, and takes it back afterwards', async () => {
    await until('both are fresh', () => isFresh(1) && isFresh(2));
    await nodeAt(1).pauseReplay();
    try {
      await cluster.primary.query('truncate items');
      await until('it passes the limit', () => !isFresh(1));
      await until('the event', () => events.some((e) => e.type === 'replica-ineligible'));
      expect(role(1)).toBe('replica');
      const requirement = asOf(monitor.now() - MAX_STALENESS_MS);
      expect(monitor.isEligible(1, requirement)).toBe(false);
      expect(await waitFor(requirement, 20_000)).toBe(2);
    } finally {
      await nodeAt(1).resumeReplay();
    }
    await until('it is fresh again', () => isFresh(1));
  });

  it('says that waiting is hopeless when all replicas apply with a delay', async () => {
    await until('healthy', () => !gate.hopeless(asOf(monitor.now()), monitor.now() + 100));
    for (const node of [1, 2]) await nodeAt(node).setApplyDelay(2000);
    try {
      let hopeless = false;
      for (let id = 1000; !hopeless; id++) {
        await cluster.primary.query('insert into items values ($1)', [id]);
        const nowMs = monitor.now();
        hopeless = gate.hopeless(asOf(nowMs), nowMs + 100);
        expect(id).toBeLessThan(3000);
      }
    } finally {
      for (const node of [1, 2]) await nodeAt(node).setApplyDelay(0);
    }
    await until('healthy again', () => !gate.hopeless(asOf(monitor.now()), monitor.now() + 100));
  });

  it('does not wait for a page header that an idle primary has not written', async () => {
    await until('both are fresh', () => isFresh(1) && isFresh(2));
    // Servers log something by themselves now and then, which would end the wait: then once more.
    for (let attempt = 1; ; attempt++) {
      const insertLsn = await fillPage(cluster.primary);
      const boundary = (insertLsn - (insertLsn % BigInt(PAGE_BYTES))) as Lsn;
      const node = await waitFor(asOf(monitor.now()), 20_000);
      expect(node).not.toBe(-1);
      const [replay] = await nodeAt(node).query('select pg_last_wal_replay_lsn()::text as lsn');
      const [now] = await cluster.primary.query('select pg_current_wal_insert_lsn()::text as lsn');
      if (now.lsn === formatLsn(insertLsn)) {
        expect(replay.lsn).toBe(formatLsn(boundary));
        return;
      }
      expect(attempt).toBeLessThan(3);
    }
  });

  it('needs no rights, and is not hindered by settings of its role', async () => {
    await cluster.primary.query(`
      create role plain login password 'plain password';
      alter role plain set default_transaction_isolation = 'serializable';
      alter role plain set idle_session_timeout = '300ms'`);
    await cluster.waitForCatchup();
    await stopMonitor();
    await startMonitor({ user: 'plain', password: 'plain password' }, 600);
    expect([role(0), role(1), role(2)]).toEqual(['primary', 'replica', 'replica']);
    await until('both are fresh', () => isFresh(1) && isFresh(2));
    await sleep(1500);
    expect(monitor.nodes.map((node) => node.generation)).toEqual([1, 1, 1]);
    expect(monitor.nodes.map((node) => node.timeline)).toEqual([1, 1, 1]);
  });

  it('tells why it cannot log in, without the password', async () => {
    await stopMonitor();
    await startMonitor({ password: 'wrong secret' });
    expect(monitor.nodes.map((node) => node.role)).toEqual(['down', 'down', 'down']);
    expect(monitor.nodes[0]!.lastError).toContain('password authentication failed');
    expect(inspect([monitor.nodes, events])).not.toContain('wrong secret');
  });

  it('calls itself by its name and leaves no connection behind', async () => {
    const count = async () => {
      const [row] = await cluster.primary.query(
        "select count(*)::int as n from pg_stat_activity where application_name = 'tidemark monitor'",
      );
      return row.n as number;
    };
    expect(await count()).toBe(1);
    await stopMonitor();
    for (let i = 0; (await count()) > 0; i++) {
      expect(i).toBeLessThan(1000);
      await sleep(10);
    }
  });
});

describe('a monitor of a cluster that breaks', () => {
  beforeEach(async () => {
    cluster = await startTestCluster({ replicas: 2 });
    await cluster.primary.query('create table items (id int primary key)');
    await cluster.waitForCatchup();
    await startMonitor();
    await until('both are fresh', () => isFresh(1) && isFresh(2));
  });
  afterEach(async () => {
    await stopMonitor();
    await cluster?.stop();
  });

  it('drops a replica that hangs, and takes it back as a new generation', async () => {
    const { generation } = monitor.nodes[1]!;
    await nodeAt(1).sigstop();
    await until('it is down', () => role(1) === 'down');
    expect(monitor.stalenessMs(1)).toBe(Number.POSITIVE_INFINITY);
    await until('the other one is not affected', () => isFresh(2));
    await nodeAt(1).sigcont();
    await until('it is back', () => role(1) === 'replica' && isFresh(1));
    expect(monitor.nodes[1]!.generation).toBeGreaterThan(generation);
  });

  it('notices a killed replica and its return', async () => {
    const { generation } = monitor.nodes[1]!;
    await nodeAt(1).kill9();
    await until('it is down', () => role(1) === 'down');
    await nodeAt(1).start();
    await until('it is back', () => role(1) === 'replica' && isFresh(1));
    expect(monitor.nodes[1]!.generation).toBeGreaterThan(generation);
    expect(monitor.epoch).toBe(1);
  });

  it('begins a new epoch when the primary crashes, and replicas grow stale meanwhile', async () => {
    await cluster.primary.kill9();
    await until('it is down', () => role(0) === 'down');
    expect(monitor.primary()).toBe(-1);
    await until('replicas are stale', () => !isFresh(1) && !isFresh(2));
    expect([role(1), role(2)]).toEqual(['replica', 'replica']);
    const found = new Promise<number>((resolve) =>
      gate.waitForPrimary(monitor.now() + 60_000, resolve),
    );
    await cluster.primary.start();
    expect(await found).toBe(0);
    expect(monitor.epoch).toBe(2);
    await until('replicas are fresh', () => isFresh(1) && isFresh(2));
  });

  it('follows a promotion, and trusts the other replica only on the new timeline', async () => {
    await cluster.primary.stop('immediate');
    await until('it is down', () => role(0) === 'down');
    await nodeAt(1).promote();
    await until('the promoted one is found', () => monitor.primary() === 1);
    expect(monitor.nodes[1]!.timeline).toBe(2);
    expect(monitor.epoch).toBe(2);
    await nodeAt(1).query('insert into items values (1)');
    // Node 2 still waits for the old primary.
    expect(await waitFor(asOf(monitor.now()), 500)).toBe(-1);
    await nodeAt(2).follow(nodeAt(1));
    expect(await waitFor(asOf(monitor.now()), 60_000)).toBe(2);
    expect(await nodeAt(2).query('select from items where id = 1')).toHaveLength(1);
    // The old primary comes back, writable, on the old timeline.
    await cluster.primary.start();
    await until('it is fenced', () => role(0) === 'fenced');
    expect(monitor.nodes[0]!.fencedBecause).toBe('older-timeline');
    expect(monitor.primary()).toBe(1);
  });

  it('tells where recovery ended after a crash, and nothing after a clean start', async () => {
    expect((await sampleOf(cluster.primary)).recoveryEndLsn).toBeNull();
    await cluster.primary.query('insert into items values (1)');
    const before = await sampleOf(cluster.primary);
    await until('the commit is sampled', () => monitor.nodes[0]!.insertLsn! >= before.insertLsn!);
    const committedMs = monitor.clock.newestPrimarySampleMs;
    await cluster.primary.kill9();
    await cluster.primary.start();
    const after = await sampleOf(cluster.primary);
    expect(after.recoveryEndLsn).not.toBeNull();
    expect(after.recoveryEndLsn! >= before.flushLsn!).toBe(true);
    expect(after.recoveryEndLsn! < after.insertLsn!).toBe(true);
    await until('a new epoch', () => monitor.epoch === 2 && monitor.primary() === 0);
    expect(monitor.survived(committedMs)).toBe(true);
    expect(monitor.survived(monitor.now())).toBe(true);
    const beforeStopMs = monitor.now();
    await cluster.primary.stop('fast');
    await cluster.primary.start();
    expect((await sampleOf(cluster.primary)).recoveryEndLsn).toBeNull();
    await until('another epoch', () => monitor.epoch === 3 && monitor.primary() === 0);
    expect(monitor.survived(beforeStopMs)).toBe(true);
  });

  it('knows of an asynchronous commit that a crash has taken', async () => {
    const { primary } = cluster;
    await primary.setting('wal_writer_delay', '10s');
    // The WAL writer may wake just then, and save what is to be lost.
    for (let id = 1; ; id++) {
      await until('the primary is known', () => monitor.primary() === 0);
      const { epoch } = monitor;
      await primary.query(`set synchronous_commit = off; insert into items values (${id})`);
      const ackedMs = monitor.now();
      await primary.kill9();
      await primary.start();
      await until('a new epoch', () => monitor.epoch > epoch && monitor.primary() === 0);
      expect(monitor.survived(monitor.now())).toBe(true);
      const isThere = (await primary.query(`select from items where id = ${id}`)).length === 1;
      if (!isThere) {
        expect(monitor.survived(ackedMs)).toBe(false);
        return;
      }
      expect(id).toBeLessThan(10);
    }
  });

  it('tells which positions a promotion has lost, by the switch point', async () => {
    const [primary, promoted] = [nodeAt(0), nodeAt(1)];
    const token = async (node: TestNode) => {
      const { insertLsn, timeline } = await sampleOf(node);
      const { systemId } = monitor.nodes[0]!;
      return parseToken(`${systemId}/${timeline}/${formatLsn(insertLsn!)}`);
    };
    await primary.query('insert into items values (1)');
    await cluster.waitForCatchup();
    const kept = await token(primary);
    await until('it is sampled', () => monitor.nodes[0]!.insertLsn! >= kept.lsn);
    const keptMs = monitor.clock.newestPrimarySampleMs;
    expect(monitor.judgeToken(kept)).toEqual({ kind: 'usable', minLsn: kept.lsn });
    await promoted.setting('primary_conninfo', '');
    await until('it receives no more', () => role(1) === 'replica');
    await primary.query('insert into items select generate_series(10, 2000)');
    const lost = await token(primary);
    await until('it is sampled', () => monitor.nodes[0]!.insertLsn! >= lost.lsn);
    const lostMs = monitor.clock.newestPrimarySampleMs;
    await promoted.promote();
    await until('the promoted one wins', () => monitor.primary() === 1);
    const { recoveryEndLsn } = await sampleOf(promoted);
    expect(await switchesOf(promoted, 2)).toEqual([{ timeline: 1, switchLsn: recoveryEndLsn }]);
    expect(monitor.judgeToken(kept)).toEqual({ kind: 'usable', minLsn: kept.lsn });
    // More than was lost, so that the positions alone would say that it is there.
    await promoted.query('create table filler as select generate_series(1, 20000)');
    await until('it is ahead', () => monitor.nodes[1]!.insertLsn! > lost.lsn);
    const verdict = { kind: 'lost', timeline: 1, switchLsn: recoveryEndLsn };
    expect(monitor.judgeToken(lost)).toEqual(verdict);
    expect(monitor.survived(keptMs)).toBe(true);
    expect(monitor.survived(lostMs)).toBe(false);
    expect(monitor.survived(monitor.now())).toBe(true);
    const fresh = await token(promoted);
    await until('it is sampled', () => monitor.nodes[1]!.insertLsn! >= fresh.lsn);
    expect(monitor.judgeToken(fresh).kind).toBe('usable');
    // A monitor that was not there gets it from the history file.
    await stopMonitor();
    await startMonitor();
    await until('the history is there', () => monitor.judgeToken(lost).kind === 'lost');
    expect(monitor.judgeToken(lost)).toEqual(verdict);
    expect(monitor.judgeToken(kept).kind).toBe('usable');
  });

  it('gets the history of a timeline by either right, and none without rights', async () => {
    const password = 'secret of three';
    await cluster.primary.query(`
      create role plain login password '${password}';
      create role reader login password '${password}';
      grant execute on function pg_read_file(text) to reader;
      create role replicator login replication password '${password}'`);
    await cluster.waitForCatchup();
    await nodeAt(1).promote();
    const read = (user: string, timeline: number) =>
      probeOf(nodeAt(1), { user, password }).readTimelineHistory(
        timeline,
        new AbortController().signal,
      );
    const text = await read('reader', 2);
    expect(TimelineHistory.parse(2, text!).switches).toHaveLength(1);
    expect(await read('replicator', 2)).toBe(text);
    expect(await read('plain', 2)).toBeNull();
    expect(await read('reader', 77)).toBeNull();
    expect(await read('replicator', 77)).toBeNull();
    const aborted = new AbortController();
    const reading = probeOf(nodeAt(1)).readTimelineHistory(2, aborted.signal);
    aborted.abort();
    await expect(reading).rejects.toThrow();
  });

  it('fences the old primary when both are up', async () => {
    await nodeAt(1).promote();
    await until('the promoted one wins', () => monitor.primary() === 1);
    expect(role(0)).toBe('fenced');
    // Node 2 follows the old primary: whatever that writes proves nothing.
    await cluster.primary.query('insert into items values (1)');
    await nodeAt(1).query('insert into items values (2)');
    expect(await waitFor(asOf(monitor.now()), 1000)).toBe(-1);
    expect(monitor.stalenessMs(2)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe.runIf(hasDebian15)('a monitor of PostgreSQL 15', () => {
  beforeAll(async () => {
    cluster = await startTestCluster({ replicas: 1, binaries: 'debian15' });
    await startMonitor();
  });
  afterAll(async () => {
    await stopMonitor();
    await cluster?.stop();
  });

  it('knows roles, timelines and freshness, and sees a promotion', async () => {
    expect([role(0), role(1)]).toEqual(['primary', 'replica']);
    expect(monitor.nodes[1]!.versionNum).toBeGreaterThanOrEqual(150000);
    expect(monitor.nodes[1]!.versionNum).toBeLessThan(160000);
    expect(monitor.nodes.map((node) => node.timeline)).toEqual([1, 1]);
    await cluster.primary.query('create table items (id int primary key)');
    expect(await waitFor(asOf(monitor.now()), 20_000)).toBe(1);
    expect(await nodeAt(1).query('select from items')).toHaveLength(0);
    await nodeAt(1).promote();
    await until('the promoted one wins', () => monitor.primary() === 1);
    expect(monitor.nodes[1]!.timeline).toBe(2);
    const { recoveryEndLsn } = await sampleOf(nodeAt(1));
    expect(await switchesOf(nodeAt(1), 2)).toEqual([{ timeline: 1, switchLsn: recoveryEndLsn }]);
    expect(role(0)).toBe('fenced');
  });
});
