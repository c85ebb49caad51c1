import type { Consistency } from '../../../src/config.ts';
import { consistencyLevels } from '../../../src/config.ts';
import type {
  History,
  LogEntry,
  Operation,
  Promotion,
  Read,
  Value,
  Write,
} from '../../checker/history.ts';
import { Random } from '../../checker/random.ts';

export interface SimulationOptions {
  readonly seed: number;
  readonly steps: number;
  readonly promotions: number;
}

const registerCount = 3;
const sessionCount = 4;
const proxyCount = 2;
const stalenessChoicesMs = [5, 40] as const;
/** Ports: primary of era e has 100 + e, every replica has 1. */
const portOf = (era: number) => 100 + era;
const replicaPort = 1;

interface Commit {
  readonly values: readonly Value[];
  /** Infinity: never. */
  readonly acknowledgedMs: number;
  readonly era: number;
  readonly proxy: number;
}

/** A point of the log: everything before it is visible. */
type Position = number;

/**
 * A store that keeps every promise, simulated by positions in one log: commits are appended, a read
 * sees a prefix that is long enough for its level, a promotion cuts the log. What a read is entitled
 * to is known as a position, not register by register: nothing here is shared with the analysis.
 */
export class SimulatedStore {
  readonly #random: Random;
  readonly #log: Commit[] = [];
  readonly #lost: { readonly commit: Commit; cut: Position }[] = [];
  readonly #operations: Operation[] = [];
  readonly #promotions: Promotion[] = [];
  /** By session, the least that it must see. */
  readonly #seen = new Array<Position>(sessionCount).fill(0);
  #tokens: { readonly token: number; readonly endMs: number; readonly position: Position }[] = [];
  readonly #reads: { readonly endMs: number; position: Position }[] = [];
  /** By session, when its last operation ends. */
  readonly #freeMs = new Array<number>(sessionCount).fill(0);
  /** What happens now takes effect now; it began earlier and ends later. */
  #nowMs = 0;
  #writer = 0;
  #lastToken = 0;
  #era = 0;
  #eraStart: Position = 0;

  private constructor(seed: number) {
    this.#random = new Random(seed);
  }

  static run({ seed, steps, promotions }: SimulationOptions): History {
    const store = new SimulatedStore(seed);
    const promotesAfter = Math.floor(steps / (promotions + 1));
    for (let step = 1; step <= steps; step++) {
      store.#step();
      if (step % promotesAfter === 0 && store.#era < promotions) store.#promote();
    }
    return store.#history();
  }

  #history(): History {
    const log: LogEntry[] = this.#log.flatMap(({ values, era }) =>
      values.map((value) => ({ ...value, port: portOf(era) })),
    );
    return {
      operations: this.#operations.sort((a, b) => a.endMs - b.endMs),
      firstPrimaryPort: portOf(0),
      promotions: this.#promotions,
      log,
    };
  }

  #step(): void {
    this.#nowMs += this.#random.between(0.1, 1.5);
    const free = [0, 1, 2, 3].filter((session) => this.#freeMs[session]! < this.#nowMs);
    if (free.length === 0) return;
    const session = this.#random.pick(free);
    const what = this.#random.weighted({ read: 5, write: 3, token: 1 });
    if (what === 'read') this.#read(session);
    else if (what === 'write') this.#write(session);
    else this.#take(session);
  }

  /** Begin and end of what takes effect now. Those of one session follow each other. */
  #span(session: number): readonly [number, number] {
    const earliestMs = this.#freeMs[session]! + 0.001;
    const startMs = Math.max(earliestMs, this.#nowMs - this.#random.between(0.01, 4));
    const endMs = this.#nowMs + this.#random.between(0.01, 4);
    this.#freeMs[session] = endMs;
    return [Math.min(startMs, this.#nowMs), endMs];
  }

  /** The last value of a register in a prefix. */
  #value(register: number, position: Position): Value {
    for (let at = position - 1; at >= 0; at--) {
      const found = this.#log[at]!.values.find((value) => value.register === register);
      if (found !== undefined) return found;
    }
    return { register, version: 0, writer: 0 };
  }

  #write(session: number): void {
    const random = this.#random;
    const proxy = random.integer(proxyCount);
    const [startMs, endMs] = this.#span(session);
    const outcome = random.weighted({ acknowledged: 8, unknown: 1, failed: 1 });
    const commits = outcome === 'acknowledged' || (outcome === 'unknown' && random.chance(0.5));
    const registers = random.some([0, 1, 2], 1 + random.integer(registerCount));
    const transaction = this.#writer + 1;
    const values: Value[] = [];
    for (const register of registers) {
      this.#writer += 1;
      const { version } = this.#value(register, this.#log.length);
      const value = { register, version: version + 1, writer: this.#writer };
      values.push(value);
      const isTold = outcome !== 'unknown' || random.chance(0.5);
      const write: Write = {
        kind: 'write',
        session,
        proxy,
        node: isTold ? portOf(this.#era) : 0,
        startMs,
        endMs,
        form: 'simulated',
        outcome,
        transaction,
        ...value,
        version: isTold ? value.version : null,
      };
      this.#operations.push(write);
    }
    if (!commits) return;
    const acknowledgedMs = outcome === 'acknowledged' ? endMs : Number.POSITIVE_INFINITY;
    this.#log.push({ values, acknowledgedMs, era: this.#era, proxy });
    if (outcome === 'acknowledged') this.#seen[session] = this.#log.length;
  }

  #take(session: number): void {
    const [startMs, endMs] = this.#span(session);
    const proxy = this.#random.integer(proxyCount);
    this.#lastToken += 1;
    const token = this.#lastToken;
    this.#tokens.push({ token, endMs, position: this.#seen[session]! });
    const node = 0;
    const form = 'simulated';
    this.#operations.push({ kind: 'token', session, proxy, node, startMs, endMs, form, token });
  }

  /** Behind the last commit that `holds`; of one that was lost, where the log was cut. */
  #behindLast(holds: (commit: Commit) => boolean): Position {
    const cuts = this.#lost.filter(({ commit }) => holds(commit)).map(({ cut }) => cut);
    return Math.max(this.#log.findLastIndex(holds) + 1, ...cuts);
  }

  #read(session: number): void {
    const random = this.#random;
    const [startMs, endMs] = this.#span(session);
    const proxy = random.integer(proxyCount);
    const level: Consistency = random.pick(consistencyLevels);
    const maxStalenessMs = random.pick(stalenessChoicesMs);
    const tokens = this.#tokens.filter((taken) => taken.endMs < startMs);
    const passed = random.chance(0.3) ? tokens.at(-1 - random.integer(4)) : undefined;
    let least = passed?.position ?? 0;
    const needs = (position: Position) => {
      least = Math.max(least, position);
    };
    if (level !== 'eventual') {
      needs(this.#behindLast((commit) => commit.acknowledgedMs < startMs - maxStalenessMs));
    }
    if (level !== 'eventual' && level !== 'bounded') needs(this.#seen[session]!);
    if (level === 'global') {
      needs(
        this.#behindLast((commit) => commit.acknowledgedMs < startMs && commit.proxy === proxy),
      );
    }
    if (level === 'strong') {
      needs(this.#behindLast((commit) => commit.acknowledgedMs < startMs));
      for (const { endMs: readMs, position } of this.#reads) if (readMs < startMs) needs(position);
    }
    const position = least + random.integer(this.#log.length - least + 1);
    const read: Read = {
      kind: 'read',
      session,
      proxy,
      node: replicaPort,
      startMs,
      endMs,
      form: 'simulated',
      level,
      maxStalenessMs,
      token: passed?.token ?? null,
      servedByPrimary: false,
      warnedMs: this.#promotions.at(-1)?.requestedMs ?? Number.NEGATIVE_INFINITY,
      isSnapshot: true,
      values: random
        .some([0, 1, 2], random.pick([1, 3]))
        .map((register) => this.#value(register, position)),
    };
    this.#operations.push(read);
    this.#seen[session] = Math.max(this.#seen[session]!, position);
    this.#reads.push({ endMs, position });
  }

  /** What comes behind a random point of the era is gone for everybody. */
  #promote(): void {
    this.#nowMs += 1;
    this.#era += 1;
    this.#promotions.push({ port: portOf(this.#era), requestedMs: this.#nowMs });
    const losable = this.#log.length - this.#eraStart;
    const kept = this.#log.length - this.#random.integer(Math.min(6, losable + 1));
    this.#eraStart = kept;
    for (const lost of this.#lost) lost.cut = Math.min(lost.cut, kept);
    for (const commit of this.#log.splice(kept)) this.#lost.push({ commit, cut: kept });
    const cut = (position: Position) => Math.min(position, kept);
    for (let session = 0; session < sessionCount; session++) {
      this.#seen[session] = cut(this.#seen[session]!);
    }
    this.#tokens = this.#tokens.filter(({ position }) => position <= kept);
    for (const read of this.#reads) read.position = cut(read.position);
    this.#nowMs += 1;
  }
}
