import type { Consistency } from '../../src/config.ts';
import { type Demand, demandsOf, Floor, FloorTimeline } from './floors.ts';
import type { History, Operation, Read, TakenToken, Value, Write } from './history.ts';
import { Lineage, type Place, survivingBranch } from './lineage.ts';
import { describeOperation, describeValue, type Rule, type Violation } from './violation.ts';

/** More are counted, not kept. */
const violationsKept = 50;

interface Promises {
  /** What the session wrote and saw. */
  readonly session: boolean;
  /** What was acknowledged to anybody through the same proxy. */
  readonly global: boolean;
  /** What was acknowledged to anybody, or seen by anybody, anywhere. */
  readonly strong: boolean;
  /** What was acknowledged to anybody longer ago than max_staleness; nothing of a lost branch. */
  readonly bounded: boolean;
}

const promises: Readonly<Record<Consistency, Promises>> = {
  eventual: { session: false, global: false, strong: false, bounded: false },
  bounded: { session: false, global: false, strong: false, bounded: true },
  session: { session: true, global: false, strong: false, bounded: true },
  global: { session: true, global: true, strong: false, bounded: true },
  strong: { session: true, global: true, strong: true, bounded: true },
};

export interface Verdict {
  /** The first ones. */
  readonly violations: readonly Violation[];
  readonly violationCount: number;
  /** By rule, how often a read was held to a demand of it. */
  readonly checks: ReadonlyMap<Rule, number>;
  /** Commits seen on a replica just before the primary itself showed them; see docs/checker.md. */
  readonly earlySightings: number;
  /** Acknowledged writes that promotions lost. */
  readonly lostWrites: number;
}

/** Holds a history to what every level promises. */
export function analyse(history: History): Verdict {
  return new Analysis(history).verdict();
}

class Analysis {
  readonly #history: History;
  readonly #lineage: Lineage;
  readonly #violations: Violation[] = [];
  #violationCount = 0;
  #earlySightings = 0;
  #lostWrites = 0;
  readonly #checks = new Map<Rule, number>();
  readonly #sessions = new Map<number, Floor>();
  readonly #tokens = new Map<number, { readonly floor: Floor; readonly taken: TakenToken }>();
  /** By session and lost branch, the last acknowledged write there. */
  readonly #lostBy = new Map<number, (Write | undefined)[]>();
  readonly #acknowledged: FloorTimeline;
  readonly #acknowledgedBy = new Map<number, FloorTimeline>();
  readonly #known: FloorTimeline;
  /** By proxy, since when it is known to know the primary of each era. */
  readonly #primaryKnownMs = new Map<number, number[]>();
  readonly #transactions = new Map<number, Write[]>();

  constructor(history: History) {
    this.#history = history;
    this.#lineage = new Lineage(history);
    this.#acknowledged = new FloorTimeline(this.#lineage);
    this.#known = new FloorTimeline(this.#lineage);
  }

  verdict(): Verdict {
    for (const violation of this.#lineage.violations) this.#keep(violation);
    for (const operation of this.#history.operations) {
      if (operation.kind !== 'write' || operation.version === null) continue;
      const writes = this.#transactions.get(operation.transaction) ?? [];
      writes.push(operation);
      this.#transactions.set(operation.transaction, writes);
    }
    for (const operation of this.#history.operations) {
      if (operation.kind === 'read') this.#read(operation);
      else if (operation.kind === 'write') this.#write(operation);
      else this.#token(operation);
    }
    return {
      violations: this.#violations,
      violationCount: this.#violationCount,
      checks: this.#checks,
      earlySightings: this.#earlySightings,
      lostWrites: this.#lostWrites,
    };
  }

  #token(taken: TakenToken): void {
    const floor = this.#session(taken.session).copy(this.#lineage);
    this.#tokens.set(taken.token, { floor, taken });
  }

  #write(write: Write): void {
    const { outcome, register, version, writer, node, proxy } = write;
    if (outcome !== 'acknowledged' || version === null) return;
    const place = this.#lineage.place({ register, version, writer });
    // Then the lineage has reported it.
    if (place === null || 'rule' in place) return;
    if (place.branch !== survivingBranch) this.#lose(write, place.branch);
    this.#notLost(write, place, describeValue({ register, version, writer }));
    this.#afterAll(write, place);
    this.#knowsPrimary(proxy, node, write.endMs);
    for (const demand of demandsOf(this.#lineage, register, place, writer, write)) {
      this.#session(write.session).raise(demand);
      this.#acknowledged.raise(demand);
      this.#by(proxy).raise(demand);
      this.#known.raise(demand);
    }
  }

  /** A write comes behind everything that anybody knew of its register when it began. */
  #afterAll(write: Write, place: Place): void {
    const { register, startMs, endMs } = write;
    for (let branch = 0; branch < this.#lineage.branches; branch++) {
      const demand = this.#known.demandBefore(register, branch, startMs);
      if (demand === undefined || endMs >= this.#lineage.lostFromMs(branch)) continue;
      this.#count('write-order');
      const isSame = place.branch === branch && place.version === demand.version;
      const isBehind = this.#lineage.covers(register, place, branch, demand.version);
      if (isSame || !isBehind)
        this.#breach('write-order', write, demand, 'a write went back in time');
    }
  }

  #read(read: Read): void {
    const places: (Place | null)[] = read.values.map((value) => this.#placeOf(read, value));
    if (read.servedByPrimary) this.#knowsPrimary(read.proxy, read.node, read.endMs);
    if (read.isSnapshot) this.#snapshot(read, places);
    this.#toldOfLosses(read);
    read.values.forEach((value, index) => {
      const place = places[index]!;
      if (place === null) return;
      this.#demands(read, value, place);
      for (const demand of demandsOf(this.#lineage, value.register, place, value.writer, read)) {
        this.#session(read.session).raise(demand);
        this.#known.raise(demand);
      }
    });
  }

  #placeOf(read: Read, value: Value): Place | null {
    const place = this.#lineage.place(value);
    if (place === null) return null;
    if ('rule' in place) {
      this.#report(place.rule, place.message, read, this.#lineage.writeOf(value.writer) ?? null);
      return null;
    }
    const write = this.#lineage.writeOf(value.writer);
    if (write !== undefined && write.startMs >= read.endMs) {
      this.#report('future', `${describeValue(value)} had not been begun to write`, read, write);
      return null;
    }
    if (promises[read.level].bounded) this.#notLost(read, place, describeValue(value));
    return place;
  }

  /** All that the level and the token demand of one value. */
  #demands(read: Read, value: Value, place: Place): void {
    const { level, startMs, maxStalenessMs, token, proxy, session } = read;
    const { register } = value;
    const promised = promises[level];
    for (let branch = 0; branch < this.#lineage.branches; branch++) {
      const before = (timeline: FloorTimeline, momentMs: number) =>
        timeline.demandBefore(register, branch, momentMs);
      const hold = (rule: Rule, demand: Demand | undefined) =>
        this.#hold(rule, read, value, place, demand);
      if (promised.session) {
        const demand = this.#sessions.get(session)?.demand(register, branch);
        const rule = demand?.source.kind === 'write' ? 'read-your-writes' : 'monotonic-reads';
        hold(rule, demand);
      }
      if (token !== null) hold('causal', this.#tokens.get(token)?.floor.demand(register, branch));
      if (promised.bounded) {
        hold('bounded', before(this.#acknowledged, startMs - maxStalenessMs));
      }
      if (promised.strong) hold('strong', before(this.#known, startMs));
      else if (promised.global) hold('global', before(this.#by(proxy), startMs));
    }
  }

  #hold(rule: Rule, read: Read, value: Value, place: Place, demand: Demand | undefined): void {
    if (demand === undefined) return;
    const { register, branch, version } = demand;
    if (read.endMs >= this.#lineage.lostFromMs(branch)) return;
    this.#count(rule);
    if (this.#lineage.covers(register, place, branch, version)) return;
    if (this.#isEarlySighting(read, place, demand)) {
      this.#earlySightings += 1;
      return;
    }
    const wanted = describeValue({ register, version, writer: demand.writer });
    this.#breach(rule, read, demand, `${describeValue(value)} was read, not ${wanted} or later`);
  }

  /**
   * A replica may replay a commit and show it before the primary has made it visible to its own
   * readers (ProcArrayEndTransaction comes behind the sending of the record). Who sees it there and
   * then reads on the primary goes back, by this one commit, while it is not acknowledged yet. The
   * row is locked until it is visible, so it can never be two.
   */
  #isEarlySighting(read: Read, place: Place, { branch, version, writer }: Demand): boolean {
    if (!read.servedByPrimary || place.branch !== branch || place.version !== version - 1) {
      return false;
    }
    const write = this.#lineage.writeOf(writer);
    const isAcknowledged = write?.outcome === 'acknowledged' && write.endMs < read.startMs;
    return !isAcknowledged;
  }

  /** Whoever sees one write of a transaction sees the others. */
  #snapshot(read: Read, places: readonly (Place | null)[]): void {
    read.values.forEach((value, index) => {
      const place = places[index]!;
      const write = this.#lineage.writeOf(value.writer);
      if (place === null || write === undefined) return;
      for (const other of this.#transactions.get(write.transaction) ?? []) {
        const at = read.values.findIndex(({ register }) => register === other.register);
        const seen = places[at];
        if (other === write || seen === undefined || seen === null) continue;
        this.#count('snapshot');
        const { register, version } = other;
        if (this.#lineage.covers(register, seen, place.branch, version!)) continue;
        const message = `${describeValue(value)} was read with ${describeValue(read.values[at]!)}`;
        this.#report('snapshot', message, read, other);
      }
    });
  }

  #lose(write: Write, branch: number): void {
    this.#lostWrites += 1;
    const lost = this.#lostBy.get(write.session) ?? [];
    lost[branch] = write;
    this.#lostBy.set(write.session, lost);
  }

  /** Nothing of a lost branch is read or written once the proxy has been seen to use the next primary. */
  #notLost(operation: Read | Write, { branch }: Place, what: string): void {
    if (branch === survivingBranch) return;
    const knownMs = this.#knownMs(operation.proxy, branch);
    this.#count('lost-history');
    if (operation.startMs <= knownMs) return;
    const since = `the proxy used the next primary since ${knownMs.toFixed(2)} ms`;
    this.#report('lost-history', `${what} was lost, and ${since}`, operation, null);
  }

  /** From then on a lost token fails its reads, and sessions have been told what they have lost. */
  #toldOfLosses(read: Read): void {
    for (let branch = 1; branch < this.#lineage.branches; branch++) {
      if (read.startMs <= this.#knownMs(read.proxy, branch)) continue;
      const lost = this.#lostBy.get(read.session)?.[branch];
      if (lost !== undefined) {
        this.#count('silent-loss');
        const wasTold = read.warnedMs >= this.#lineage.lostFromMs(branch);
        const message = 'a session reads on and was not told that its write may be lost';
        if (!wasTold) this.#report('silent-loss', message, read, lost);
      }
      if (read.token !== null) this.#tokenNotLost(read, read.token, branch);
    }
  }

  #tokenNotLost(read: Read, token: number, branch: number): void {
    const known = this.#tokens.get(token);
    // A token taken later may be of the new history.
    if (known === undefined || known.taken.endMs >= this.#lineage.lostFromMs(branch)) return;
    this.#count('lost-token');
    for (let register = 0; register < this.#lineage.registers; register++) {
      const demand = known.floor.demand(register, branch);
      if (demand === undefined) continue;
      const message = `a token is honoured though r${register}=${demand.version} was lost`;
      this.#report('lost-token', message, read, known.taken);
      return;
    }
  }

  /** Since when the proxy is known to use a primary that came after this branch was lost. */
  #knownMs(proxy: number, branch: number): number {
    // Branch 1 + e lies in era e, so a primary of an era from `branch` on came after it.
    const known = (this.#primaryKnownMs.get(proxy) ?? []).slice(branch);
    return Math.min(...known.filter((ms) => ms !== undefined));
  }

  #knowsPrimary(proxy: number, port: number, endMs: number): void {
    const era = this.#lineage.eraOf(port);
    if (era === undefined) return;
    const known = this.#primaryKnownMs.get(proxy) ?? [];
    known[era] ??= endMs;
    this.#primaryKnownMs.set(proxy, known);
  }

  #session(session: number): Floor {
    const known = this.#sessions.get(session) ?? new Floor(this.#lineage);
    this.#sessions.set(session, known);
    return known;
  }

  #by(proxy: number): FloorTimeline {
    const known = this.#acknowledgedBy.get(proxy) ?? new FloorTimeline(this.#lineage);
    this.#acknowledgedBy.set(proxy, known);
    return known;
  }

  #count(rule: Rule): void {
    this.#checks.set(rule, (this.#checks.get(rule) ?? 0) + 1);
  }

  #breach(rule: Rule, operation: Operation, demand: Demand, message: string): void {
    this.#report(rule, message, operation, demand.source);
  }

  #report(rule: Rule, message: string, operation: Operation, earlier: Operation | null): void {
    const details = [`  ${describeOperation(operation)}`];
    if (earlier !== null) details.push(`  against ${describeOperation(earlier)}`);
    this.#keep({ rule, operation, earlier, message: [message, ...details].join('\n') });
  }

  #keep(violation: Violation): void {
    this.#violationCount += 1;
    if (this.#violations.length < violationsKept) this.#violations.push(violation);
  }
}
