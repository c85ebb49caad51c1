import {
  type History,
  initialWriter,
  type LogEntry,
  type Promotion,
  type Value,
  type Write,
} from './history.ts';
import type { Rule, Violation } from './violation.ts';
import { describeOperation, describeValue } from './violation.ts';

/** The branch of what every promotion kept. Branch 1 + e: what era e wrote and a promotion lost. */
export const survivingBranch = 0;

/** Where in the tree of all histories a register's value lies. */
export interface Place {
  readonly branch: number;
  readonly version: number;
}

export interface Misplaced {
  readonly rule: Rule;
  readonly message: string;
}

/**
 * Which of all values that were ever seen follow each other. Up to a promotion there is one history;
 * a promotion keeps a prefix of it, register by register, and goes on from there. Version numbers of
 * the lost rest are given again, so it is the writers who tell the branches apart.
 *
 * Era e is the time of the e-th primary. The log of the last one holds what survived, and says who
 * ran it; an acknowledged write that is not in it was lost by the promotion behind its era.
 */
export class Lineage {
  readonly violations: Violation[] = [];
  readonly registers: number;
  /** One surviving branch, and a lost one for every era but the last. */
  readonly branches: number;
  readonly #promotions: readonly Promotion[];
  readonly #eraOfPort = new Map<number, number>();
  readonly #writes = new Map<number, Write>();
  /** By writer, when the first read ended that saw it. */
  readonly #sightedMs = new Map<number, number>();
  /** The writers of all that survived. */
  readonly #logged: ReadonlySet<number>;
  /** By register and version, who wrote it. */
  readonly #chains: number[][];
  /** By era and register, the last version of it or an earlier era that survived. */
  readonly #survivors: Int32Array[];

  constructor(history: History) {
    this.#promotions = history.promotions;
    this.#eraOfPort.set(history.firstPrimaryPort, 0);
    history.promotions.forEach(({ port }, index) => {
      this.#eraOfPort.set(port, index + 1);
    });
    this.branches = history.promotions.length + 1;
    let last = -1;
    for (const operation of history.operations) {
      if (operation.kind === 'write') {
        this.#writes.set(operation.writer, operation);
        last = Math.max(last, operation.register);
      } else if (operation.kind === 'read') {
        for (const { register, writer } of operation.values) {
          last = Math.max(last, register);
          if (!this.#sightedMs.has(writer)) this.#sightedMs.set(writer, operation.endMs);
        }
      }
    }
    for (const { register } of history.log) last = Math.max(last, register);
    this.registers = last + 1;
    this.#logged = new Set(history.log.map(({ writer }) => writer));
    this.#chains = Array.from({ length: this.registers }, () => [initialWriter]);
    this.#survivors = Array.from({ length: this.branches }, () => new Int32Array(this.registers));
    this.#readLog(history.log);
    for (const write of this.#writes.values()) this.#checkOutcome(write);
  }

  writeOf(writer: number): Write | undefined {
    return this.#writes.get(writer);
  }

  /** Who wrote that surviving version. */
  survivor(register: number, version: number): number {
    return this.#chains[register]?.[version] ?? initialWriter;
  }

  /** When what is on this branch could first be gone: the promotion behind its era was asked for. */
  lostFromMs(branch: number): number {
    return branch === survivingBranch
      ? Number.POSITIVE_INFINITY
      : this.#promotions[branch - 1]!.requestedMs;
  }

  /** The era of the server, as a primary; undefined for one that never was. */
  eraOf(port: number): number | undefined {
    return this.#eraOfPort.get(port);
  }

  /** The last surviving version that lies on the way to this place. */
  trunk(register: number, { branch, version }: Place): number {
    return branch === survivingBranch ? version : this.#survivors[branch - 1]![register]!;
  }

  /** `place` is, or comes after, that version of that branch. */
  covers(register: number, place: Place, branch: number, version: number): boolean {
    if (branch === survivingBranch) return this.trunk(register, place) >= version;
    return place.branch === branch && place.version >= version;
  }

  /** Where a value that was seen lies, or why it cannot be; null: on one of several lost branches. */
  place(value: Value): Place | Misplaced | null {
    const { register, version, writer } = value;
    if (this.#chains[register]?.[version] === writer) return { branch: survivingBranch, version };
    const seen = describeValue(value);
    const write = this.#writes.get(writer);
    if (write === undefined || write.register !== register) {
      return { rule: 'invented', message: `${seen} was never written` };
    }
    const by = describeOperation(write);
    if (write.version !== null && write.version !== version) {
      return { rule: 'invented', message: `${seen} differs from what was written: ${by}` };
    }
    if (write.outcome === 'failed') {
      return { rule: 'rolled-back', message: `${seen} was never committed: ${by}` };
    }
    const branches = this.#lostBranches(write, version);
    if (branches.length > 1) return null;
    const [branch] = branches;
    if (branch !== undefined) return { branch, version };
    return { rule: 'invented', message: `${seen} is in no history: ${by}` };
  }

  /**
   * On which lost branches a write may lie that is not in the log. Where nobody said which server
   * ran it, it was one that was the primary after the write began and before it was first seen.
   */
  #lostBranches({ writer, register, node, startMs }: Write, version: number): number[] {
    const era = this.#eraOfPort.get(node);
    const first = era ?? this.#promotionsBefore(startMs);
    const last = era ?? this.#promotionsBefore(this.#sightedMs.get(writer) ?? startMs);
    const branches: number[] = [];
    for (let candidate = first; candidate <= last; candidate++) {
      const isLost = candidate < this.#promotions.length;
      if (isLost && this.#survivors[candidate]![register]! < version) branches.push(candidate + 1);
    }
    return branches;
  }

  #promotionsBefore(ms: number): number {
    return this.#promotions.filter(({ requestedMs }) => requestedMs <= ms).length;
  }

  #readLog(log: readonly LogEntry[]): void {
    const sorted = [...log].sort((a, b) => a.register - b.register || a.version - b.version);
    const eras = new Int32Array(this.registers);
    for (const entry of sorted) {
      const { register, version, writer, port } = entry;
      const chain = this.#chains[register]!;
      const era = this.#eraOfPort.get(port);
      const write = this.#writes.get(writer);
      const fits =
        version === chain.length &&
        era !== undefined &&
        era >= eras[register]! &&
        write?.register === register &&
        (write.version ?? version) === version;
      if (!fits) {
        const message = `the log does not continue with ${describeValue(entry)} of port ${port}`;
        this.#report('broken-log', message, write ?? null);
      }
      chain[version] = writer;
      eras[register] = era ?? 0;
      for (let later = era ?? 0; later < this.branches; later++) {
        this.#survivors[later]![register] = version;
      }
    }
  }

  #checkOutcome(write: Write): void {
    const { version, writer, outcome, node } = write;
    const survived = this.#logged.has(writer);
    if (outcome === 'failed' && survived) {
      this.#report('rolled-back', 'a write that failed is in the log', write);
    }
    if (outcome !== 'acknowledged' || survived) return;
    const isLost = version !== null && this.#lostBranches(write, version).length > 0;
    if (!isLost) {
      this.#report('lost-write', `acknowledged on node ${node} and in no history`, write);
    }
  }

  #report(rule: Rule, message: string, write: Write | null): void {
    const detail = write === null ? '' : `: ${describeOperation(write)}`;
    this.violations.push({ rule, message: `${message}${detail}`, operation: write, earlier: null });
  }
}
