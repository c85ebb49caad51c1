import type { Lsn } from './lsn.ts';
import type { Monitor, SampleDemand } from './monitor.ts';
import { type ReadRequirement, sufficientMomentMs } from './read-requirement.ts';

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

/** What one waiter waits for: a replica that meets a requirement, or (null) a primary. */
interface Waiting {
  readonly requirement: ReadRequirement | null;
  /** Any replica that is fresh as of this moment will do. */
  readonly momentMs: number;
  readonly sinceMs: number;
  readonly deadlineMs: number;
  readonly done: Arrived;
}

/**
 * Where reads wait for a replica to catch up, and statements for a primary to appear. Nothing is
 * blocked but the statement itself: while somebody waits, the monitor samples faster, and one
 * answer wakes everybody whom it satisfies. `done` is never called from inside wait().
 */
export class Gate implements SampleDemand {
  readonly #monitor: Monitor;
  readonly #waiting = new Set<Waiting>();
  #timer: NodeJS.Timeout | null = null;
  #timerDueMs = FOREVER;
  /** Extremes over the waiting reads. May be too wide after a cancel, until the next sample. */
  #earliestMomentMs = FOREVER;
  #latestMomentMs = NEVER;
  #latestSinceMs = NEVER;
  /** Where to look first: reads that wake together are spread over the replicas. */
  #turn = 0;
  #closed = false;

  constructor(monitor: Monitor) {
    this.#monitor = monitor;
    monitor.attachDemand(this);
  }

  /** How many reads and statements wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Waits for a replica that meets the requirement, until `deadlineMs` of the monitor's clock. */
  wait(requirement: ReadRequirement, deadlineMs: number, done: Arrived): Waiter {
    return this.#add(requirement, deadlineMs, done);
  }

  /** Waits for a primary, until `deadlineMs` of the monitor's clock. */
  waitForPrimary(deadlineMs: number, done: Arrived): Waiter {
    return this.#add(null, deadlineMs, done);
  }

  readonly #sampleWaiters = new Set<{
    momentMs: number;
    done: (lsn: Lsn | null) => void;
    timer: NodeJS.Timeout;
  }>();
  waitForSample(momentMs: number, deadlineMs: number, done: (lsn: Lsn | null) => void): Waiter {
    const entry = {
      momentMs,
      done,
      timer: setTimeout(
        () => {
          this.#sampleWaiters.delete(entry);
          done(null);
        },
        Math.max(0, deadlineMs - this.#monitor.now()),
      ),
    };
    this.#sampleWaiters.add(entry);
    setImmediate(() => this.#settleSamples());
    this.#monitor.urge();
    return {
      cancel: () => {
        this.#sampleWaiters.delete(entry);
        clearTimeout(entry.timer);
      },
    };
  }
  #settleSamples(): void {
    for (const entry of [...this.#sampleWaiters]) {
      const lsn = this.#monitor.clock.lsnCovering(entry.momentMs);
      if (lsn === null) continue;
      this.#sampleWaiters.delete(entry);
      clearTimeout(entry.timer);
      entry.done(lsn);
    }
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
    const sentMs = Math.max(momentMs, clock.expectedFlushMs(requirement.freshAsOfMs, nowMs));
    for (const state of nodes) {
      if (state.role !== 'replica' || !clock.isKnown(state.node)) continue;
      const expectedMs = Math.max(nowMs, sentMs + clock.expectedLagMs(state.node, nowMs));
      if (expectedMs <= deadlineMs) return false;
    }
    return true;
  }

  /** Answers -1 to everybody who waits, and from now on at once. */
  close(): void {
    this.#closed = true;
    this.#settle();
  }

  isUrgent(node: number): boolean {
    const { clock } = this.#monitor;
    if (node === this.#monitor.primary())
      for (const w of this.#sampleWaiters)
        if (w.momentMs > clock.newestPrimarySampleMs) return true;
    if (this.#latestSinceMs === NEVER) return false;
    if (node === this.#monitor.primary()) {
      const isKnown = this.#latestMomentMs <= clock.newestPrimarySampleMs;
      return !isKnown || !clock.isFlushed(this.#latestMomentMs);
    }
    if (!clock.isKnown(node)) return false;
    // Either the primary's sample to reach is known, or the replica was not asked since.
    return (
      this.#earliestMomentMs <= clock.newestPrimarySampleMs ||
      this.#latestSinceMs > clock.replicaSampleMs(node)
    );
  }

  progressed(): void {
    this.#settleSamples();
    // The extremes of waiters that were cancelled are set right here too.
    if (this.#waiting.size > 0 || this.#latestSinceMs !== NEVER) this.#settle();
  }

  primaryChanged(): void {
    this.progressed();
  }

  #add(requirement: ReadRequirement | null, deadlineMs: number, done: Arrived): Waiter {
    const momentMs = requirement === null ? NEVER : sufficientMomentMs(requirement);
    const sinceMs = this.#monitor.now();
    const waiting: Waiting = { requirement, momentMs, sinceMs, deadlineMs, done };
    this.#waiting.add(waiting);
    if (requirement !== null) this.#widen(waiting);
    // What is satisfied already, or too late already, is answered by the timer.
    const ready = this.#closed || this.#serverFor(waiting) !== -1;
    this.#arm(ready ? sinceMs : deadlineMs);
    if (requirement !== null) this.#monitor.urge();
    return { cancel: () => this.#waiting.delete(waiting) };
  }

  #widen(waiting: Waiting): void {
    this.#earliestMomentMs = Math.min(this.#earliestMomentMs, waiting.momentMs);
    this.#latestMomentMs = Math.max(this.#latestMomentMs, waiting.momentMs);
    this.#latestSinceMs = Math.max(this.#latestSinceMs, waiting.sinceMs);
  }

  /** The node that serves it now, -1 if there is none. */
  #serverFor({ requirement }: Waiting): number {
    if (requirement === null) return this.#monitor.primary();
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

  /** It is overdue, or replicas will not be sent in time what it waits for. */
  #isInVain({ requirement, deadlineMs }: Waiting, nowMs: number): boolean {
    if (deadlineMs <= nowMs) return true;
    if (requirement === null) return false;
    return this.#monitor.clock.expectedFlushMs(requirement.freshAsOfMs, nowMs) > deadlineMs;
  }

  /** Answers everybody for whom there is an answer; everybody in vain gets -1. */
  #settle(): void {
    const nowMs = this.#monitor.now();
    const answered: Waiting[] = [];
    const answers: number[] = [];
    let nextDeadlineMs = FOREVER;
    this.#earliestMomentMs = FOREVER;
    this.#latestMomentMs = NEVER;
    this.#latestSinceMs = NEVER;
    for (const waiting of this.#waiting) {
      const node = this.#closed ? -1 : this.#serverFor(waiting);
      if (node !== -1 || this.#closed || this.#isInVain(waiting, nowMs)) {
        answered.push(waiting);
        answers.push(node);
      } else {
        nextDeadlineMs = Math.min(nextDeadlineMs, waiting.deadlineMs);
        if (waiting.requirement !== null) this.#widen(waiting);
      }
    }
    this.#disarm();
    this.#arm(nextDeadlineMs);
    // First all judgements, then the calls: these may cancel others or begin to wait again.
    answered.forEach((waiting, i) => {
      if (this.#waiting.delete(waiting)) waiting.done(answers[i]!);
    });
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
