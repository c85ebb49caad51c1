import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FreshnessClock } from '../../../src/lag/freshness-clock.ts';
import type { Lsn } from '../../../src/lag/lsn.ts';

const NEVER = Number.NEGATIVE_INFINITY;
const SESSIONS = 3;
const PRIMARY = 0;

interface Commit {
  readonly lsn: number;
  ackedAtMs: number | null;
}

interface Replica {
  readonly node: number;
  replay: number;
  generation: number;
}

/** A query on its way: sent, run by the server at some later time, answered later still. */
interface Sample {
  readonly node: number;
  readonly generation: number;
  readonly sentAtMs: number;
  position: number | null;
}

interface Session {
  previousNode: number;
  previousGeneration: number;
  previousReadEndMs: number;
  minLsn: null;
  budget: null;
  seen: number;
}

/**
 * A primary, two replicas and the network between them and the clock, as plainly as possible. Every
 * step takes time; commits, acknowledgements, samples, replay, restarts, promotions and reads come
 * in any order.
 */
class World {
  nowMs = 0;
  reads = 0;
  positionReads = 0;
  readonly clock = new FreshnessClock(3);
  #insert = 0;
  #commits: Commit[] = [];
  readonly #replicas: Replica[] = [
    { node: 1, replay: 0, generation: 1 },
    { node: 2, replay: 0, generation: 1 },
  ];
  #samples: Sample[] = [];
  readonly #sessions: Session[] = Array.from({ length: SESSIONS }, () => ({
    previousNode: -1,
    previousGeneration: -1,
    previousReadEndMs: NEVER,
    minLsn: null,
    budget: null,
    seen: 0,
  }));

  commit(): void {
    this.#commits.push({ lsn: ++this.#insert, ackedAtMs: null });
  }

  acknowledge(pick: number): void {
    const open = this.#commits.filter((commit) => commit.ackedAtMs === null);
    if (open.length > 0) open[pick % open.length]!.ackedAtMs = this.nowMs;
  }

  replay(pick: number, amount: number): void {
    const replica = this.#replicas[pick % 2]!;
    replica.replay = Math.min(this.#insert, replica.replay + amount);
  }

  /** Comes back with less than it had shown; its connections break, which the monitor notices. */
  restart(pick: number, back: number): void {
    const replica = this.#replicas[pick % 2]!;
    replica.replay = Math.max(0, replica.replay - back);
    replica.generation++;
    this.#samples = this.#samples.filter((sample) => sample.node !== replica.node);
    this.clock.dropNode(replica.node);
  }

  /** The primary restarts and has lost its newest, asynchronous commits. */
  crash(back: number): void {
    const kept = Math.max(this.#insert - back, ...this.#replicas.map((replica) => replica.replay));
    this.#insert = kept;
    this.#commits = this.#commits.filter((commit) => commit.lsn <= kept);
    this.#samples = this.#samples.filter((sample) => sample.node !== PRIMARY);
    this.clock.newEpoch();
  }

  sendSample(node: number): void {
    if (this.#samples.some((sample) => sample.node === node)) return;
    const generation = node === PRIMARY ? 0 : this.#replicas[node - 1]!.generation;
    this.#samples.push({ node, generation, sentAtMs: this.nowMs, position: null });
  }

  runSample(pick: number): void {
    const waiting = this.#samples.filter((sample) => sample.position === null);
    if (waiting.length === 0) return;
    const sample = waiting[pick % waiting.length]!;
    sample.position =
      sample.node === PRIMARY ? this.#insert : this.#replicas[sample.node - 1]!.replay;
  }

  answerSample(pick: number): void {
    const answered = this.#samples.filter((sample) => sample.position !== null);
    if (answered.length === 0) return;
    const sample = answered[pick % answered.length]!;
    this.#samples.splice(this.#samples.indexOf(sample), 1);
    const lsn = BigInt(sample.position!) as Lsn;
    if (sample.node === PRIMARY) this.clock.primarySample(sample.sentAtMs, lsn);
    else {
      const { node, sentAtMs, generation } = sample;
      this.clock.replicaSample(node, sentAtMs, this.nowMs, lsn, generation);
    }
  }

  /** A read that asks for a commit, for a moment `agoMs` ago, and for what its session has seen. */
  read(pick: number, agoMs: number, back: number): void {
    const session = this.#sessions[pick % SESSIONS]!;
    const freshAsOfMs = agoMs === 0 ? NEVER : this.nowMs - agoMs;
    // Positions are known to count up to the newest sample of the primary.
    const newest = Number(this.clock.newestPrimaryLsn ?? 0n);
    const minLsn = back === 0 || newest === 0 ? null : (BigInt(Math.max(0, newest - back)) as Lsn);
    const requirement = { ...session, freshAsOfMs, minLsn };
    for (const replica of this.#replicas) {
      if (!this.clock.satisfies(replica.node, requirement)) continue;
      this.#expectFresh(replica, freshAsOfMs);
      if (replica.replay < session.seen) throw new Error('the read goes back in time');
      if (minLsn !== null && replica.replay < minLsn) throw new Error('the position is missing');
      this.reads++;
      if (minLsn !== null) this.positionReads++;
    }
    const [first] = this.#replicas.filter((r) => this.clock.satisfies(r.node, requirement));
    if (first === undefined) {
      this.#note(session, PRIMARY, 0, this.#insert);
    } else {
      this.#note(session, first.node, first.generation, first.replay);
    }
  }

  check(): void {
    for (const replica of this.#replicas) {
      this.#expectFresh(replica, this.clock.freshAsOfMs(replica.node));
    }
  }

  #note(session: Session, node: number, generation: number, seen: number): void {
    session.previousNode = node;
    session.previousGeneration = generation;
    session.previousReadEndMs = this.nowMs;
    session.seen = seen;
  }

  #expectFresh(replica: Replica, freshAsOfMs: number): void {
    for (const commit of this.#commits) {
      if (commit.ackedAtMs !== null && commit.ackedAtMs < freshAsOfMs) {
        if (replica.replay < commit.lsn) throw new Error('an acknowledged commit is missing');
      }
    }
  }

  /** What was seen and then lost for good cannot be asked of anybody. */
  forgetLost(): void {
    for (const session of this.#sessions) session.seen = Math.min(session.seen, this.#insert);
  }
}

const small = fc.nat(5);
const step = fc.oneof(
  { weight: 16, arbitrary: fc.record({ do: fc.constant('commit' as const) }) },
  { weight: 16, arbitrary: fc.record({ do: fc.constant('acknowledge' as const), pick: small }) },
  {
    weight: 24,
    arbitrary: fc.record({ do: fc.constant('replay' as const), pick: small, amount: fc.nat(8) }),
  },
  { weight: 48, arbitrary: fc.record({ do: fc.constant('send' as const), node: fc.nat(2) }) },
  { weight: 48, arbitrary: fc.record({ do: fc.constant('run' as const), pick: small }) },
  { weight: 48, arbitrary: fc.record({ do: fc.constant('answer' as const), pick: small }) },
  {
    weight: 40,
    arbitrary: fc.record({
      do: fc.constant('read' as const),
      pick: small,
      ago: fc.nat(150),
      back: fc.nat(4),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('restart' as const), pick: small, back: fc.nat(6) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), back: fc.nat(3) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function take(world: World, action: Step): void {
  world.nowMs += 1;
  switch (action.do) {
    case 'commit':
      world.commit();
      break;
    case 'acknowledge':
      world.acknowledge(action.pick);
      break;
    case 'replay':
      world.replay(action.pick, action.amount);
      break;
    case 'send':
      world.sendSample(action.node);
      break;
    case 'run':
      world.runSample(action.pick);
      break;
    case 'answer':
      world.answerSample(action.pick);
      break;
    case 'read':
      world.read(action.pick, action.ago, action.back);
      break;
    case 'restart':
      world.restart(action.pick, action.back);
      break;
    case 'crash':
      world.crash(action.back);
      world.forgetLost();
      break;
  }
}

describe('the freshness clock against a model of a cluster', () => {
  it('never allows a read that misses an acknowledged commit or goes back in time', () => {
    let reads = 0;
    let positionReads = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 100, maxLength: 300, size: 'max' }), (steps) => {
        const world = new World();
        for (const action of steps) {
          take(world, action);
          world.check();
        }
        reads += world.reads;
        positionReads += world.positionReads;
      }),
      { numRuns: 3000 },
    );
    // A clock that allows nothing would pass, too.
    expect(reads).toBeGreaterThan(5000);
    expect(positionReads).toBeGreaterThan(3000);
  }, 60_000);
});
