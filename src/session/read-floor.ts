import type { Lsn } from '../lag/lsn.ts';
import type { Monitor } from '../lag/monitor.ts';
import { noRequirement, type ReadRequirement } from '../lag/read-requirement.ts';
import type { ReadPolicy } from './read-policy.ts';
import type { WriteFloor } from './write-floor.ts';

const never = Number.NEGATIVE_INFINITY;

/** Who answered a request. */
export interface Answered {
  readonly node: number;
  /** As it was when the request was sent: the answer may be older than a restart of the node. */
  readonly generation: number;
  /** The node was the primary when the request was sent. */
  readonly isPrimary: boolean;
}

/**
 * What a session has written and seen, as moments on the monitor's clock, and what follows from it
 * for its next read.
 */
export class ReadFloor {
  readonly none = noRequirement;
  readonly #monitor: Monitor;
  readonly #writes: WriteFloor;
  /** The epoch of the monitor in which the floor was looked at last. */
  #epoch: number;
  #previousNode = -1;
  #previousGeneration = -1;
  /** When the session's previous request ended, whatever it was. */
  #previousEndMs = never;
  /**
   * When the primary last answered: whatever the session wrote was acknowledged by then. Or, if that
   * is later, the end of a read that a less strict one has taken the place of as the previous one.
   */
  #floorMs = never;
  /** A change of history took something, and nobody has asked yet. */
  #wasLost = false;
  /** The level of the running read asks for nothing of what was seen. */
  #forgoesSeen = false;

  constructor(monitor: Monitor, writes: WriteFloor) {
    this.#monitor = monitor;
    this.#writes = writes;
    this.#epoch = monitor.epoch;
  }

  /**
   * A request has been answered by this node. On the primary every answer counts, not only that of
   * a COMMIT: CALL and multi-statement strings commit before they fail. `isPrimary`: it was the
   * primary when the request went there, whatever has become of it. `nowMs`: the time since its answer
   * has come.
   */
  raise({ node, generation, isPrimary }: Answered, nowMs = this.#monitor.now()): void {
    this.#lookBack();
    const primary = this.#monitor.primary();
    if (isPrimary && primary !== node && primary !== -1) {
      // A former primary has answered late: whether the present one has what it did, nobody knows.
      this.#forget();
      return;
    }
    const isSameServer = node === this.#previousNode && generation === this.#previousGeneration;
    if (isPrimary) this.#floorMs = nowMs;
    else if (this.#forgoesSeen && !isSameServer) {
      this.#floorMs = Math.max(this.#floorMs, this.#previousEndMs);
    }
    this.#previousNode = node;
    this.#previousGeneration = generation;
    this.#previousEndMs = nowMs;
  }

  /** The session is told of a commit that was made at some time up to now. */
  notified(): void {
    this.#lookBack();
    this.#floorMs = this.#monitor.now();
  }

  /**
   * True once after a change of history (failover, crash of the primary) that may have taken what
   * this session wrote or has seen.
   */
  wasLost(): boolean {
    this.#lookBack();
    const wasLost = this.#wasLost;
    this.#wasLost = false;
    return wasLost;
  }

  /** The session is to be told so. */
  get isLossUntold(): boolean {
    this.#lookBack();
    return this.#wasLost;
  }

  /**
   * Before anything of a new epoch joins the floor: has what stands there survived? If not, the
   * floor starts anew, for nobody has what is lost.
   */
  #lookBack(): void {
    if (this.#epoch === this.#monitor.epoch) return;
    this.#epoch = this.#monitor.epoch;
    const momentMs = Math.max(this.#floorMs, this.#previousEndMs);
    if (momentMs !== never && !this.#monitor.survived(momentMs)) this.#forget();
  }

  #forget(): void {
    this.#floorMs = never;
    this.#previousNode = -1;
    this.#previousEndMs = never;
    this.#wasLost = true;
  }

  /** Of a read that has come by `nowMs`. */
  requirement(
    policy: ReadPolicy,
    minLsn: Lsn | null,
    nowMs = this.#monitor.now(),
  ): ReadRequirement {
    const { consistency, budget } = policy;
    this.#forgoesSeen = consistency === 'eventual' || consistency === 'bounded';
    if (consistency === 'eventual') return minLsn === null ? noRequirement : anyWith(minLsn);
    if (consistency === 'strong') return { ...noRequirement, freshAsOfMs: nowMs, minLsn };
    const boundMs = nowMs - policy.maxStalenessMs;
    if (consistency === 'bounded') {
      return { ...noRequirement, freshAsOfMs: boundMs, minLsn, budget };
    }
    const writtenMs = consistency === 'global' ? this.#writes.acknowledgedMs : never;
    return {
      freshAsOfMs: Math.max(boundMs, this.#floorMs, writtenMs),
      previousNode: this.#previousNode,
      previousGeneration: this.#previousGeneration,
      previousReadEndMs: this.#previousEndMs,
      minLsn,
      budget,
    };
  }

  /** What the session's token has to cover: all that it wrote and saw up to this moment. */
  get coverMs(): number {
    return Math.max(this.#floorMs, this.#previousEndMs);
  }
}

const anyWith = (minLsn: Lsn): ReadRequirement => ({ ...noRequirement, minLsn });
