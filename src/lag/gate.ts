import type { Lsn } from './lsn.ts';
import type { Monitor, SampleDemand } from './monitor.ts';
import { type ReadRequirement, sufficientMomentMs } from './read-requirement.ts';
import { type Waiting, WaitingHeap } from './waiting-heap.ts';

const NEVER = Number.NEGATIVE_INFINITY;
const FOREVER = Number.POSITIVE_INFINITY;
/** Longest delay that setTimeout takes. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/**
 * Called once, with a node that will do (others may, too: Monitor.isEligible), or with -1 if none
 * made it before the deadline, or none is expected to any more.
 */
export type Arrived = (node: number) => void;

export interface Waiter {
  /** The answer is not wanted any more: `done` is not called after this. May be called again. */
  cancel(): void;
}

interface TimedWaiting extends Waiting {
  readonly deadlineMs: number;
  /** Where it waits, beside the heap of deadlines. */
  readonly home: { noteOver(): void };
  /** It is over, and gets nothing. */
  readonly giveUp: () => void;
}

interface WaitingRead extends TimedWaiting {
  readonly requirement: ReadRequirement;
  readonly done: Arrived;
}

interface WaitingForPrimary extends TimedWaiting {
  readonly done: Arrived;
}

interface WaitingForSample extends TimedWaiting {
  readonly momentMs: number;
  readonly done: (lsn: Lsn | null) => void;
}

interface Answer {
  readonly entry: TimedWaiting;
  readonly call: () => void;
}

/**
 * Where reads wait for a replica to catch up, statements for a primary to appear, and tokens for a
 * sample of the primary. Nothing is blocked but the statement itself: while somebody waits, the
 * monitor samples faster, and one answer wakes everybody whom it satisfies. Waiters are kept by what
 * they lack, so that a sample touches only those that it may satisfy. `done` is never called from
 * inside the call that waits.
 */
export class Gate implements SampleDemand {
  readonly #monitor: Monitor;
  /** By the moment that a replica must at least be fresh as of. */
  readonly #byMoment = new WaitingHeap<WaitingRead>(({ requirement }) => requirement.freshAsOfMs);
  /** Those with a token, by its position. */
  readonly #byLsn = new WaitingHeap<WaitingRead>(({ requirement }) => requirement.minLsn!);
  readonly #forPrimary = new WaitingHeap<WaitingForPrimary>(({ deadlineMs }) => deadlineMs);
  readonly #forSample = new WaitingHeap<WaitingForSample>(({ momentMs }) => momentMs);
  readonly #deadlines = new WaitingHeap<TimedWaiting>(({ deadlineMs }) => deadlineMs);
  #size = 0;
  #order = 0;
  #timer: NodeJS.Timeout | null = null;
  #timerDueMs = FOREVER;
  /** The latest over the reads and samples that wait, or have waited since somebody does. */
  #latestMomentMs = NEVER;
  #latestSinceMs = NEVER;
  /** Where to look first: reads that wake together are spread over the replicas. */
  #turn = 0;
  #closed = false;

  constructor(monitor: Monitor) {
    this.#monitor = monitor;
    monitor.attachDemand(this);
  }

  /** How many wait. */
  get size(): number {
    return this.#size;
  }

  /** Waits for a replica that meets the requirement, until `deadlineMs` of the monitor's clock. */
  wait(requirement: ReadRequirement, deadlineMs: number, done: Arrived): Waiter {
    const home = requirement.minLsn === null ? this.#byMoment : this.#byLsn;
    const read: WaitingRead = {
      ...this.#entry(deadlineMs, home, () => done(-1)),
      requirement,
      done,
    };
    home.push(read);
    this.#widen(sufficientMomentMs(requirement));
    this.#monitor.urge();
    return this.#added(read, this.#serverFor(read) !== -1);
  }

  /** Waits for a primary, until `deadlineMs` of the monitor's clock. */
  waitForPrimary(deadlineMs: number, done: Arrived): Waiter {
    const entry = { ...this.#entry(deadlineMs, this.#forPrimary, () => done(-1)), done };
    this.#forPrimary.push(entry);
    return this.#added(entry, this.#monitor.primary() !== -1);
  }

  /**
   * Waits for a position of the primary's log that covers every commit acknowledged before
   * `momentMs`, until `deadlineMs`; null: none was to be had. Only samples of the present primary
   * count: what a former one has acknowledged is covered as far as it has survived.
   */
  waitForSample(momentMs: number, deadlineMs: number, done: (lsn: Lsn | null) => void): Waiter {
    const entry = {
      ...this.#entry(deadlineMs, this.#forSample, () => done(null)),
      momentMs,
      done,
    };
    this.#forSample.push(entry);
    this.#widen(momentMs);
    this.#monitor.urge();
    return this.#added(entry, this.#monitor.clock.lsnCovering(momentMs) !== null);
  }

  /**
   * True if no replica is expected to meet the requirement by `deadlineMs`, so that waiting would
   * only lose time. A guess from the lag lately measured: it chooses between waiting and the
   * primary, and proves nothing.
   */
  hopeless(requirement: ReadRequirement, deadlineMs: number): boolean {
    const { clock, nodes } = this.#monitor;
    const momentMs = sufficientMomentMs(requirement);
    const mustAskPrimary = momentMs > clock.newestPrimarySampleMs;
    if (mustAskPrimary && this.#monitor.primary() === -1) return true;
    const nowMs = this.#monitor.now();
    const { minLsn } = requirement;
    const sentMs = Math.max(
      momentMs,
      clock.expectedFlushMs(requirement.freshAsOfMs, nowMs),
      minLsn === null ? NEVER : clock.firstSeenMs(minLsn),
    );
    for (const state of nodes) {
      if (state.role !== 'replica' || !clock.isKnown(state.node)) continue;
      const expectedMs = Math.max(nowMs, sentMs + clock.expectedLagMs(state.node, nowMs));
      if (expectedMs <= deadlineMs) return false;
    }
    return true;
  }

  /** Answers everybody who waits with nothing, and from now on at once. */
  close(): void {
    this.#closed = true;
    this.#settle();
  }

  isUrgent(node: number): boolean {
    const { clock } = this.#monitor;
    const areReads = !this.#byMoment.isEmpty || !this.#byLsn.isEmpty;
    if (node === this.#monitor.primary()) {
      if (!areReads && this.#forSample.isEmpty) return false;
      const isKnown = this.#latestMomentMs <= clock.newestPrimarySampleMs;
      return !isKnown || (areReads && !clock.isFlushed(this.#latestMomentMs));
    }
    if (!areReads || !clock.isKnown(node)) return false;
    // Either the primary's sample to reach is known, or the replica was not asked since.
    const earliest = this.#byMoment.peek();
    return (
      this.#byLsn.peek() !== null ||
      (earliest !== null &&
        sufficientMomentMs(earliest.requirement) <= clock.newestPrimarySampleMs) ||
      this.#latestSinceMs > clock.replicaSampleMs(node)
    );
  }

  wantedLsn(): Lsn | null {
    const token = this.#byLsn.peek()?.requirement.minLsn ?? null;
    const earliest = this.#byMoment.peek();
    const covering =
      earliest === null
        ? null
        : this.#monitor.clock.lsnCovering(sufficientMomentMs(earliest.requirement));
    if (token === null || covering === null) return token ?? covering;
    if (covering < token) return covering;
    return token;
  }

  progressed(): void {
    if (this.#size > 0) this.#settle();
  }

  primaryChanged(): void {
    this.progressed();
  }

  #entry(deadlineMs: number, home: TimedWaiting['home'], giveUp: () => void): TimedWaiting {
    return { order: ++this.#order, isOver: false, deadlineMs, home, giveUp };
  }

  /** What is satisfied already, or too late already, is answered by the timer. */
  #added(entry: TimedWaiting, isReady: boolean): Waiter {
    this.#deadlines.push(entry);
    this.#size += 1;
    this.#arm(isReady || this.#closed ? NEVER : entry.deadlineMs);
    return { cancel: () => this.#end(entry) };
  }

  #widen(momentMs: number): void {
    this.#latestMomentMs = Math.max(this.#latestMomentMs, momentMs);
    this.#latestSinceMs = this.#monitor.now();
  }

  /** False: it was over already. */
  #end(entry: TimedWaiting): boolean {
    if (entry.isOver) return false;
    entry.isOver = true;
    entry.home.noteOver();
    this.#deadlines.noteOver();
    this.#size -= 1;
    if (this.#size === 0) {
      this.#latestMomentMs = NEVER;
      this.#latestSinceMs = NEVER;
      this.#disarm();
    }
    return true;
  }

  /** The node that serves it now, -1 if there is none. */
  #serverFor({ requirement }: WaitingRead): number {
    const { nodes } = this.#monitor;
    const previous = requirement.previousNode;
    if (previous !== -1 && this.#monitor.isEligible(previous, requirement)) return previous;
    for (let i = 0; i < nodes.length; i++) {
      const node = (this.#turn + i) % nodes.length;
      if (!this.#monitor.isEligible(node, requirement)) continue;
      this.#turn = node + 1;
      return node;
    }
    return -1;
  }

  /** Answers everybody for whom there is an answer; everybody in vain gets nothing. */
  #settle(): void {
    const answers: Answer[] = [];
    if (this.#closed) {
      this.#deadlines.visitAll((entry) => answers.push({ entry, call: entry.giveUp }));
    } else {
      this.#judgeReads(answers);
      this.#judgeOthers(answers);
      this.#judgeDeadlines(answers);
    }
    answers.sort((a, b) => a.entry.order - b.entry.order);
    // First all judgements, then the calls: these may cancel others or begin to wait again.
    for (const { entry, call } of answers) if (this.#end(entry)) call();
    this.#disarm();
    const next = this.#deadlines.peek();
    if (next !== null) this.#arm(this.#closed ? NEVER : next.deadlineMs);
  }

  #judgeReads(answers: Answer[]): void {
    const { clock, nodes } = this.#monitor;
    let freshestMs = NEVER;
    let furthestLsn = 0n;
    for (const { node, role, replayLsn } of nodes) {
      if (role !== 'replica') continue;
      freshestMs = Math.max(freshestMs, clock.freshAsOfMs(node));
      if (replayLsn !== null && replayLsn > furthestLsn) furthestLsn = replayLsn;
    }
    const judge = (entry: WaitingRead) => {
      const node = this.#serverFor(entry);
      if (node !== -1) answers.push({ entry, call: () => entry.done(node) });
    };
    this.#byMoment.visitUpTo(freshestMs, judge);
    this.#byLsn.visitUpTo(furthestLsn, judge);
    // Replicas will not be sent in time what some of them wait for.
    if (this.#latestMomentMs === NEVER || clock.isFlushed(this.#latestMomentMs)) return;
    const nowMs = this.#monitor.now();
    const judgeFlush = (entry: WaitingRead) => {
      const { requirement, deadlineMs, giveUp } = entry;
      if (clock.expectedFlushMs(requirement.freshAsOfMs, nowMs) > deadlineMs) {
        answers.push({ entry, call: giveUp });
      }
    };
    this.#byMoment.visitAll(judgeFlush);
    this.#byLsn.visitAll(judgeFlush);
  }

  #judgeOthers(answers: Answer[]): void {
    const { clock } = this.#monitor;
    const primary = this.#monitor.primary();
    if (primary !== -1) {
      this.#forPrimary.visitAll((entry) =>
        answers.push({ entry, call: () => entry.done(primary) }),
      );
    }
    this.#forSample.visitUpTo(clock.newestPrimarySampleMs, (entry) => {
      const lsn = clock.lsnCovering(entry.momentMs);
      if (lsn !== null) answers.push({ entry, call: () => entry.done(lsn) });
    });
  }

  #judgeDeadlines(answers: Answer[]): void {
    this.#deadlines.visitUpTo(this.#monitor.now(), (entry) =>
      answers.push({ entry, call: entry.giveUp }),
    );
  }

  #arm(dueMs: number): void {
    if (dueMs >= this.#timerDueMs) return;
    this.#disarm();
    this.#timerDueMs = dueMs;
    const delayMs = Math.min(TIMER_MAX_MS, Math.max(0, Math.ceil(dueMs - this.#monitor.now())));
    this.#timer = setTimeout(() => {
      this.#disarm();
      this.#settle();
    }, delayMs);
  }

  #disarm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#timerDueMs = FOREVER;
  }
}
