import assert from 'node:assert';
import { FlushProgress } from './flush-progress.ts';
import type { Lsn } from './lsn.ts';
import { PrimarySamples } from './primary-samples.ts';
import type { ReadRequirement } from './read-requirement.ts';

const NEVER = Number.NEGATIVE_INFINITY;
/** Generation of a node about which nothing is known. */
const UNKNOWN = -1;
/** A lag once seen counts half after this time: one slow moment is soon forgiven. */
const LAG_HALF_LIFE_MS = 500;

/**
 * Proves how fresh every replica is, from samples of the primary's insert position and of the
 * replicas' replay positions. No I/O, no timers; docs/freshness.md has the proof. All times are
 * milliseconds of one monotonic clock, all nodes are integers from 0 to `nodeCount` - 1.
 */
export class FreshnessClock {
  readonly #primary = new PrimarySamples();
  /** The same for the log on disk, which is all that replicas can have: only for measuring lag. */
  readonly #primaryFlushed = new PrimarySamples();
  readonly #flush = new FlushProgress();
  readonly #freshAsOfMs: Float64Array;
  readonly #generation: Int32Array;
  readonly #replicaSentAtMs: Float64Array;
  readonly #replayLsn: Lsn[];
  readonly #lagMs: Float64Array;
  readonly #lagSeenAtMs: Float64Array;

  constructor(nodeCount: number) {
    this.#freshAsOfMs = new Float64Array(nodeCount).fill(NEVER);
    this.#generation = new Int32Array(nodeCount).fill(UNKNOWN);
    this.#replicaSentAtMs = new Float64Array(nodeCount).fill(NEVER);
    this.#replayLsn = new Array<Lsn>(nodeCount).fill(0n as Lsn);
    this.#lagMs = new Float64Array(nodeCount);
    this.#lagSeenAtMs = new Float64Array(nodeCount).fill(NEVER);
  }

  /** Insert position of the newest primary sample of this epoch, null without one. */
  get newestPrimaryLsn(): Lsn | null {
    return this.#primary.newestLsn;
  }

  /** Send time of the newest primary sample of this epoch, -Infinity without one. */
  get newestPrimarySampleMs(): number {
    return this.#primary.newestSentAtMs;
  }

  /**
   * The primary answered a query sent at `sentAtMs` with this insert position, already normalised
   * (normalizeInsertLsn), and with this position up to which the log is on disk. A sample that is older than the newest one proves nothing new and is
   * ignored. A position that went back shows that history was lost: it begins a new epoch.
   */
  primarySample(sentAtMs: number, insertLsn: Lsn, flushLsn: Lsn = insertLsn): void {
    if (sentAtMs <= this.#primary.newestSentAtMs) return;
    const newestLsn = this.#primary.newestLsn;
    if (newestLsn !== null && insertLsn < newestLsn) this.newEpoch();
    this.#primary.add(sentAtMs, insertLsn);
    this.#flush.add(sentAtMs, insertLsn, flushLsn);
    if (flushLsn >= (this.#primaryFlushed.newestLsn ?? 0n)) {
      this.#primaryFlushed.add(sentAtMs, flushLsn);
    }
    for (let node = 0; node < this.#generation.length; node++) {
      if (this.#generation[node] !== UNKNOWN && this.#replayLsn[node]! >= insertLsn) {
        this.#freshAsOfMs[node] = sentAtMs;
      }
    }
  }

  /**
   * A replica answered that it has replayed up to `replayLsn`. The caller vouches that the position
   * is on the primary's timeline. A position that went back, or another generation, makes all that
   * was known before void.
   */
  replicaSample(
    node: number,
    sentAtMs: number,
    receivedAtMs: number,
    replayLsn: Lsn,
    generation: number,
  ): void {
    assert(generation > UNKNOWN && sentAtMs <= receivedAtMs);
    if (this.#generation[node] !== generation || replayLsn < this.#replayLsn[node]!) {
      this.dropNode(node);
    }
    this.#generation[node] = generation;
    this.#replicaSentAtMs[node] = sentAtMs;
    this.#replayLsn[node] = replayLsn;
    // What was proven stays proven, also when its primary sample has been thinned out since.
    this.#freshAsOfMs[node] = Math.max(
      this.#freshAsOfMs[node]!,
      this.#primary.freshAsOfMs(replayLsn),
    );
    const behindMs = Math.max(0, receivedAtMs - this.#primaryFlushed.firstBeyondMs(replayLsn));
    this.#lagMs[node] = Math.max(behindMs, this.expectedLagMs(node, receivedAtMs));
    this.#lagSeenAtMs[node] = receivedAtMs;
  }

  /** The replica shows every commit acknowledged before this moment; -Infinity: nothing is proven. */
  freshAsOfMs(node: number): number {
    return this.#freshAsOfMs[node]!;
  }

  /** When the newest sample used of this replica was sent; -Infinity without one. */
  replicaSampleMs(node: number): number {
    return this.#replicaSentAtMs[node]!;
  }

  /** True while a position of this node is known that can be compared with the primary's. */
  isKnown(node: number): boolean {
    return this.#generation[node] !== UNKNOWN;
  }

  /**
   * How long this replica has lately taken to replay what it could have, in ms: a guess for choosing
   * between waiting and the primary, never part of a proof.
   */
  expectedLagMs(node: number, nowMs: number): number {
    const lagMs = this.#lagMs[node]!;
    return lagMs === 0 ? 0 : lagMs * 0.5 ** ((nowMs - this.#lagSeenAtMs[node]!) / LAG_HALF_LIFE_MS);
  }

  /**
   * When replicas can be sent the log that a read as of `momentMs` needs; -Infinity if they can, or
   * if no sample tells yet how far that goes. A guess like `expectedLagMs`.
   */
  expectedFlushMs(momentMs: number, nowMs: number): number {
    const lsn = this.#primary.lsnCovering(momentMs);
    return lsn === null ? NEVER : this.#flush.expectedMs(lsn, nowMs);
  }

  /** The lowest known position that covers every commit acknowledged before `momentMs`, or null. */
  lsnCovering(momentMs: number): Lsn | null {
    return this.#primary.lsnCovering(momentMs);
  }

  /** When a sample first showed this position or a later one; -Infinity if none did. */
  firstSeenMs(lsn: Lsn): number {
    return this.#primary.firstSeenMs(lsn);
  }

  /** False while it is known that the primary has not got on disk what such a read needs. */
  isFlushed(momentMs: number): boolean {
    const lsn = this.#primary.lsnCovering(momentMs);
    return lsn === null || this.#flush.isFlushed(lsn);
  }

  /** Forgets a node's position: it restarted, was cut off, changed its role, or is in doubt. */
  dropNode(node: number): void {
    this.#freshAsOfMs[node] = NEVER;
    this.#generation[node] = UNKNOWN;
    this.#replicaSentAtMs[node] = NEVER;
    this.#replayLsn[node] = 0n as Lsn;
  }

  /**
   * The primary does not answer any more. If it has crashed, what it had not on disk is gone, and it
   * writes other records in the same place, which replicas may replay before anybody has noticed.
   */
  primaryLost(): void {
    const { flushLsn } = this.#flush;
    if (flushLsn !== null) this.#primary.forgetBeyond(flushLsn);
  }

  /** Another primary, or the same one restarted: positions from before cannot be compared. */
  newEpoch(): void {
    this.#primary.clear();
    this.#primaryFlushed.clear();
    this.#flush.clear();
    for (let node = 0; node < this.#generation.length; node++) this.dropNode(node);
  }

  /**
   * True if this replica is proven to meet the requirement, whose budget is the monitor's affair.
   * The hot path: allocates nothing.
   */
  satisfies(node: number, requirement: ReadRequirement): boolean {
    const freshAsOfMs = this.#freshAsOfMs[node]!;
    if (!(freshAsOfMs >= requirement.freshAsOfMs)) return false;
    if (requirement.minLsn !== null && !this.#hasReplayed(node, requirement.minLsn)) return false;
    const previous = requirement.previousNode;
    if (previous === -1 || freshAsOfMs >= requirement.previousReadEndMs) return true;
    // Both need the previous node's present position to continue the one that the read saw.
    if (this.#generation[previous] !== requirement.previousGeneration) return false;
    if (node === previous) return true;
    return (
      this.#generation[node] !== UNKNOWN &&
      this.#replicaSentAtMs[previous]! > requirement.previousReadEndMs &&
      this.#replayLsn[node]! >= this.#replayLsn[previous]!
    );
  }

  /** A position of a node that is not known in this epoch may be one of another history. */
  #hasReplayed(node: number, lsn: Lsn): boolean {
    return this.#generation[node] !== UNKNOWN && this.#replayLsn[node]! >= lsn;
  }
}
