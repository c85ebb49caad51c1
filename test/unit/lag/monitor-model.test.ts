import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
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
  reads = 0;
  promotedReads = 0;
  readonly harness: Harness;
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

  constructor(harness: Harness) {
    this.harness = harness;
    this.#place();
  }

  /** Any server out of recovery takes writes, fenced or not. */
  commit(pick: number): void {
    const writers = this.#nodes((server) => !server.inRecovery);
    const node = writers[pick % writers.length];
    if (node === undefined) return;
    this.#logs[node]!.push({ id: ++this.#commits, ackedAtMs: performance.now() });
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
    log.length = Math.max(log.length - back, kept);
    server.startTime = `start ${++this.#starts}`;
    this.#place();
    server.breakConnections();
  }

  promote(pick: number): void {
    const replicas = this.#nodes((server) => server.inRecovery);
    const node = replicas[pick % replicas.length];
    if (node === undefined) return;
    this.#server(node).inRecovery = false;
    this.#server(node).timeline = ++this.#timelines;
    this.#upstream[node] = -1;
    // It replayed from its disk, and the switch to the new timeline is on disk, too.
    this.#flushed[node] = this.#logs[node]!.length;
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
    const freshAsOfMs = performance.now() - agoMs;
    const requirement = { ...session, freshAsOfMs, minLsn: null, budget: null };
    const eligible = [0, 1, 2, 3].filter((node) => monitor.isEligible(node, requirement));
    for (const node of eligible) {
      this.#expectFresh(node, freshAsOfMs);
      const missing = session.seen.find(
        (commit) => this.#stillExists(commit) && !this.#logs[node]!.includes(commit),
      );
      if (missing !== undefined) throw new Error(`node ${node} goes back before ${missing.id}`);
      this.reads++;
      if (monitor.epoch > 1) this.promotedReads++;
    }
    const node = eligible[0] ?? monitor.primary();
    if (node === -1) return;
    session.previousNode = node;
    session.previousGeneration = monitor.nodes[node]!.generation;
    session.previousReadEndMs = performance.now();
    session.seen = [...this.#logs[node]!];
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
  act('restart', 3),
  act('promote', 1),
  act('follow', 3),
  act('rewind', 2),
  act('toggleSilence', 2),
  act('nudge', 2),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function take(world: World, { do: name, a, b, ms }: Step): void {
  if (name === 'read') world.read(a, ms * 4);
  else if (name === 'toggleSilence' || name === 'nudge') world[name](a);
  else if (name === 'commit' || name === 'promote') world[name](a);
  else world[name](a, b);
}

describe('the monitor against servers with real histories', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it(
    'never calls a replica fresh that lacks a commit of the primary it follows',
    async () => {
      let reads = 0;
      let promotedReads = 0;
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { minLength: 50, maxLength: 200, size: 'max' }),
          async (steps) => {
            const world = new World(
              await startHarness([
                new ScriptedServer('primary', 8192_000),
                new ScriptedServer('replica', 8192_000),
                new ScriptedServer('replica', 8192_000),
                new ScriptedServer('replica', 8192_000),
              ]),
            );
            try {
              for (const action of steps) {
                take(world, action);
                world.check();
                await pass(action.ms % 8);
                world.check();
              }
            } finally {
              await stopHarness(world.harness);
            }
            reads += world.reads;
            promotedReads += world.promotedReads;
          },
        ),
        { numRuns: RUNS },
      );
      // A monitor that trusts nobody would pass, too.
      expect(reads).toBeGreaterThan(1000);
      expect(promotedReads).toBeGreaterThan(100);
    },
    60_000 + RUNS * 100,
  );
});
