import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { formatLsn, type Lsn } from '../../../src/lag/lsn.ts';
import { noRequirement } from '../../../src/lag/read-requirement.ts';
import type { LsnToken } from '../../../src/lag/token.ts';
import { type Harness, pass, startHarness, stopHarness } from './monitor-harness.ts';
import { ScriptedServer } from './scripted-server.ts';

const NEVER = Number.NEGATIVE_INFINITY;
const SERVERS = 4;
/** Histories to try; more of them by hand: TIDEMARK_TEST_HISTORIES=20000. */
const RUNS = Number(process.env['TIDEMARK_TEST_HISTORIES'] ?? 200);

interface Commit {
  readonly id: number;
  readonly ackedAtMs: number;
}

/** What a client of the known primary was told: its commit, when, and the token for it. */
interface Acknowledgement {
  readonly commit: Commit;
  readonly momentMs: number;
  readonly token: LsnToken;
  readonly epoch: number;
}

/** How often each answer was given: a monitor that never commits itself would pass, too. */
interface Tally {
  reads: number;
  promotedReads: number;
  tokenReads: number;
  survived: number;
  survivedAnEpoch: number;
  notSurvived: number;
  notSurvivedAndGone: number;
  usableOfOtherTimeline: number;
  lostTokens: number;
  unknownTokens: number;
}

interface Session {
  previousNode: number;
  previousGeneration: number;
  previousReadEndMs: number;
  seen: readonly Commit[];
}

/**
 * Servers with real histories: a log of commits each, of which a replica has a prefix of its
 * upstream's. Positions only count log entries, so diverged histories look alike by number.
 */
class World {
  readonly tally: Tally;
  readonly harness: Harness;
  readonly #now: () => number;
  readonly #histories: Map<number, string>;
  readonly #acknowledged: Acknowledgement[] = [];
  /** Commits that a crash of a primary has taken. */
  readonly #crashed = new Set<Commit>();
  readonly #logs: Commit[][] = Array.from({ length: SERVERS }, () => []);
  readonly #upstream = [-1, 0, 0, 0];
  /** How much of its log each server keeps in a crash while it is a primary, at least. */
  readonly #flushed = Array.from({ length: SERVERS }, () => 0);
  #commits = 0;
  #starts = 0;
  #timelines = 1;
  /** The primary that the monitor knew last, and its log then: what freshness is relative to. */
  #known = 0;
  #knownLog: readonly Commit[] = [];
  readonly #sessions: Session[] = Array.from({ length: 3 }, () => ({
    previousNode: -1,
    previousGeneration: -1,
    previousReadEndMs: NEVER,
    seen: [],
  }));

  constructor(harness: Harness, now: () => number, tally: Tally) {
    this.harness = harness;
    this.tally = tally;
    this.#now = now;
    this.#histories = new Map([[1, '']]);
    harness.servers.forEach((server, node) => {
      // Of one server nobody may read the history: then counts what was seen of the promotion.
      server.histories = node === 3 ? null : this.#histories;
    });
    this.#place();
  }

  /** Any server out of recovery takes writes, fenced or not. */
  commit(pick: number): void {
    const writers = this.#nodes((server) => !server.inRecovery);
    const node = writers[pick % writers.length];
    if (node === undefined) return;
    const commit = { id: ++this.#commits, ackedAtMs: this.#now() };
    this.#logs[node]!.push(commit);
    this.#place();
    if (node !== this.harness.monitor.primary()) return;
    const { systemId, timeline, position } = this.#server(node);
    const token = { systemId, timeline, lsn: BigInt(position) as Lsn };
    const { epoch } = this.harness.monitor;
    this.#acknowledged.push({ commit, momentMs: this.#now(), token, epoch });
  }

  flush(pick: number): void {
    const node = pick % SERVERS;
    this.#flushed[node] = this.#logs[node]!.length;
    this.#place();
  }

  replay(pick: number, count: number): void {
    const node = pick % SERVERS;
    const upstream = this.#upstream[node]!;
    if (!this.#server(node).inRecovery || upstream === -1) return;
    const source = this.#logs[upstream]!;
    const log = this.#logs[node]!;
    // Requested starting point not in this server's history: replication stands still.
    if (log.length > source.length || log.at(-1) !== source[log.length - 1]) return;
    // Highest timeline of the primary is behind recovery timeline (WalReceiverMain): likewise.
    if (this.#server(upstream).timeline! < this.#server(node).timeline!) return;
    this.#server(node).timeline = this.#server(upstream).timeline;
    log.push(...source.slice(log.length, log.length + count));
    // A walsender sends only what is on its own server's disk (GetFlushRecPtr).
    this.#flushed[upstream] = Math.max(this.#flushed[upstream]!, log.length);
    this.#place();
  }

  restart(pick: number, back: number): void {
    const node = pick % SERVERS;
    const server = this.#server(node);
    const log = this.#logs[node]!;
    // A primary keeps what it had flushed; a replica may have to replay it again.
    const kept = server.inRecovery ? 0 : this.#flushed[node]!;
    if (!server.inRecovery) {
      for (const commit of log.slice(Math.max(log.length - back, kept))) this.#crashed.add(commit);
    }
    log.length = Math.max(log.length - back, kept);
    server.startTime = `start ${++this.#starts}`;
    // What recovery has found is on disk, and so is the record that ends it.
    this.#flushed[node] = log.length;
    this.#place();
    server.recoveryEnd = server.position;
    server.breakConnections();
  }

  /** Twice before the monitor can see it, with other commits at the positions that were lost. */
  crashTwice(pick: number, back: number): void {
    const writers = this.#nodes((server) => !server.inRecovery);
    const node = writers[pick % writers.length];
    if (node === undefined) return;
    this.restart(node, back);
    for (let i = 0; i < back; i++) this.commit(writers.indexOf(node));
    this.flush(node);
    this.restart(node, 0);
  }

  /** Nothing is lost. But a run that nobody saw must not have crashed before: docs, Limits. */
  restartCleanly(pick: number): void {
    const node = pick % SERVERS;
    const server = this.#server(node);
    if (server.inRecovery || this.harness.monitor.nodes[node]!.role === 'down') return;
    server.startTime = `start ${++this.#starts}`;
    server.recoveryEnd = null;
    this.#flushed[node] = this.#logs[node]!.length;
    this.#place();
    server.breakConnections();
  }

  promote(pick: number): void {
    const replicas = this.#nodes((server) => server.inRecovery);
    const node = replicas[pick % replicas.length];
    if (node === undefined) return;
    const server = this.#server(node);
    const parent = server.timeline!;
    const switchLsn = formatLsn(BigInt(server.position) as Lsn);
    server.inRecovery = false;
    server.timeline = ++this.#timelines;
    server.recoveryEnd = server.position;
    const history = `${this.#histories.get(parent)}${parent}\t${switchLsn}\tpromoted\n`;
    this.#histories.set(server.timeline, history);
    this.#upstream[node] = -1;
    // It replayed from its disk, and the switch to the new timeline is on disk, too.
    this.#flushed[node] = this.#logs[node]!.length;
    this.#place();
  }

  follow(pick: number, upstreamPick: number): void {
    const node = pick % SERVERS;
    const writers = this.#nodes((server) => !server.inRecovery);
    const upstream = writers[upstreamPick % writers.length];
    if (!this.#server(node).inRecovery || upstream === undefined) return;
    this.#upstream[node] = upstream;
  }

  /** A former primary becomes a replica of another: rewound to what they share. */
  rewind(pick: number, upstreamPick: number): void {
    const writers = this.#nodes((server) => !server.inRecovery);
    const node = writers[pick % writers.length];
    const upstream = writers[upstreamPick % writers.length];
    if (node === undefined || upstream === undefined || node === upstream) return;
    const log = this.#logs[node]!;
    const source = this.#logs[upstream]!;
    let shared = 0;
    while (shared < log.length && log[shared] === source[shared]) shared++;
    log.length = shared;
    const server = this.#server(node);
    server.inRecovery = true;
    server.timeline = this.#server(upstream).timeline;
    server.startTime = `start ${++this.#starts}`;
    this.#upstream[node] = upstream;
    this.#place();
    server.breakConnections();
  }

  /** Cut off from the monitor, or back. Questions that were lost stay unanswered or come late. */
  toggleSilence(pick: number): void {
    const server = this.#server(pick % SERVERS);
    const silent = server.manners === 'silent';
    server.manners = silent ? 'answering' : 'silent';
    if (silent) server.answerLate();
  }

  nudge(pick: number): void {
    this.harness.monitor.nudge(pick % SERVERS);
  }

  read(pick: number, agoMs: number): void {
    const { monitor } = this.harness;
    const session = this.#sessions[pick % this.#sessions.length]!;
    const freshAsOfMs = this.#now() - agoMs;
    const requirement = { ...session, freshAsOfMs, minLsn: null, budget: null };
    const eligible = [0, 1, 2, 3].filter((node) => monitor.isEligible(node, requirement));
    for (const node of eligible) {
      this.#expectFresh(node, freshAsOfMs);
      const missing = session.seen.find(
        (commit) => this.#stillExists(commit) && !this.#logs[node]!.includes(commit),
      );
      if (missing !== undefined) throw new Error(`node ${node} goes back before ${missing.id}`);
      this.tally.reads++;
      if (monitor.epoch > 1) this.tally.promotedReads++;
    }
    const node = eligible[0] ?? monitor.primary();
    if (node === -1) return;
    session.previousNode = node;
    session.previousGeneration = monitor.nodes[node]!.generation;
    session.previousReadEndMs = this.#now();
    session.seen = [...this.#logs[node]!];
  }

  /** A read of another client, with the token for some commit. */
  readToken(pick: number): void {
    const { monitor } = this.harness;
    const { length } = this.#acknowledged;
    const acknowledgement = this.#acknowledged[length - 1 - (pick % Math.max(1, length))];
    if (acknowledgement === undefined) return;
    const { commit, token } = acknowledgement;
    const verdict = monitor.judgeToken(token);
    const primary = monitor.primary();
    if (verdict.kind === 'lost') {
      this.tally.lostTokens++;
      if (primary !== -1) expect(this.#logs[primary]).not.toContain(commit);
    }
    if (verdict.kind === 'unknown-history') this.tally.unknownTokens++;
    if (verdict.kind !== 'usable') return;
    const isOther = primary !== -1 && token.timeline !== monitor.nodes[primary]!.timeline;
    if (isOther) this.tally.usableOfOtherTimeline++;
    const requirement = { ...noRequirement, minLsn: verdict.minLsn };
    for (const { node } of monitor.nodes) {
      if (!monitor.isEligible(node, requirement)) continue;
      this.tally.tokenReads++;
      // A position that was written again on its timeline, after a crash, is not told apart.
      if (!this.#crashed.has(commit)) expect(this.#logs[node]).toContain(commit);
    }
  }

  /** Whoever is told that its commit survived finds it in the primary. */
  checkSurvival(): void {
    const { monitor } = this.harness;
    const primary = monitor.primary();
    if (primary === -1) return;
    const log = new Set(this.#logs[primary]);
    for (const { commit, momentMs, epoch } of this.#acknowledged) {
      if (monitor.survived(momentMs)) {
        this.tally.survived++;
        if (epoch < monitor.epoch) this.tally.survivedAnEpoch++;
        if (!log.has(commit)) throw new Error(`commit ${commit.id} has not survived`);
      } else {
        this.tally.notSurvived++;
        if (!log.has(commit)) this.tally.notSurvivedAndGone++;
      }
    }
  }

  /** All that is claimed to be fresh is so, with respect to the primary that the monitor knows. */
  check(): void {
    const { monitor } = this.harness;
    const primary = monitor.primary();
    if (primary !== -1 && !this.#server(primary).inRecovery) {
      this.#known = primary;
      this.#knownLog = [...this.#logs[primary]!];
    }
    for (const state of monitor.nodes) {
      if (state.role === 'replica') {
        this.#expectFresh(state.node, monitor.clock.freshAsOfMs(state.node));
      } else {
        expect(monitor.clock.isKnown(state.node)).toBe(false);
      }
    }
  }

  #expectFresh(node: number, freshAsOfMs: number): void {
    const log = this.#logs[node]!;
    for (const commit of this.#knownLog) {
      const due = commit.ackedAtMs < freshAsOfMs && this.#stillExists(commit);
      if (due && !log.includes(commit)) {
        throw new Error(`node ${node} as of ${freshAsOfMs} lacks commit ${commit.id}`);
      }
    }
  }

  /** Not lost in a crash or to a rewind. */
  #stillExists(commit: Commit): boolean {
    return this.#knownLog.includes(commit) && this.#logs[this.#known]!.includes(commit);
  }

  #server(node: number): ScriptedServer {
    return this.harness.servers[node]!;
  }

  #nodes(want: (server: ScriptedServer) => boolean): number[] {
    return this.harness.servers.flatMap((server, node) => (want(server) ? [node] : []));
  }

  #place(): void {
    // One page per commit: no position is ever within a page header.
    this.#logs.forEach((log, node) => {
      this.#server(node).position = 8192 * (1000 + log.length) + 100;
      const unflushed = Math.max(0, log.length - this.#flushed[node]!);
      this.#server(node).unflushedBytes = 8192 * unflushed;
    });
  }
}

const any = fc.nat(11);
const act = <T extends string>(name: T, weight: number) => ({
  weight,
  arbitrary: fc.record({ do: fc.constant(name), a: any, b: any, ms: fc.nat(120) }),
});
const step = fc.oneof(
  act('commit', 30),
  act('replay', 60),
  act('read', 40),
  act('readToken', 20),
  act('flush', 5),
  act('restart', 3),
  act('restartCleanly', 1),
  act('crashTwice', 1),
  act('promote', 1),
  act('follow', 3),
  act('rewind', 2),
  act('toggleSilence', 2),
  act('nudge', 2),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function take(world: World, { do: name, a, b, ms }: Step): void {
  if (name === 'read') world.read(a, ms * 4);
  else if (name === 'readToken') world.readToken(a * 2 + b);
  else if (name === 'replay' || name === 'restart' || name === 'crashTwice') world[name](a, b);
  else if (name === 'follow' || name === 'rewind') world[name](a, b);
  else world[name](a);
}

describe('the monitor against servers with real histories', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it(
    'claims nothing of freshness, tokens or the past that is not so',
    async () => {
      const tally: Tally = {
        reads: 0,
        promotedReads: 0,
        tokenReads: 0,
        survived: 0,
        survivedAnEpoch: 0,
        notSurvived: 0,
        notSurvivedAndGone: 0,
        usableOfOtherTimeline: 0,
        lostTokens: 0,
        unknownTokens: 0,
      };
      const play = async (steps: readonly Step[]) => {
        // No two moments are the same, as on a clock of nanoseconds.
        let readings = 0;
        const now = () => performance.now() + ++readings * 1e-7;
        const servers = ['primary', 'replica', 'replica', 'replica'] as const;
        const scripted = servers.map((role) => new ScriptedServer(role, 8192_000));
        const world = new World(await startHarness(scripted, { now }), now, tally);
        try {
          for (const action of steps) {
            take(world, action);
            world.check();
            await pass(action.ms % 8);
            world.check();
            world.checkSurvival();
          }
        } finally {
          await stopHarness(world.harness);
        }
      };
      const histories = fc.array(step, { minLength: 50, maxLength: 200, size: 'max' });
      await fc.assert(fc.asyncProperty(histories, play), { numRuns: RUNS });
      // A monitor that trusts nobody, and one that is never asked about a loss, would pass, too.
      expect(tally.reads).toBeGreaterThan(1000);
      expect(tally.promotedReads).toBeGreaterThan(100);
      expect(tally.tokenReads).toBeGreaterThan(500);
      expect(tally.usableOfOtherTimeline).toBeGreaterThan(30);
      expect(tally.lostTokens).toBeGreaterThan(30);
      expect(tally.unknownTokens).toBeGreaterThan(10);
      expect(tally.survived).toBeGreaterThan(10_000);
      expect(tally.survivedAnEpoch).toBeGreaterThan(1000);
      expect(tally.notSurvivedAndGone).toBeGreaterThan(1000);
      // What is told to be lost may be there, but not as a rule.
      expect(tally.notSurvived).toBeLessThan(4 * tally.notSurvivedAndGone);
    },
    60_000 + RUNS * 100,
  );
});
