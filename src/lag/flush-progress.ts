import type { Lsn } from './lsn.ts';

const NEVER = Number.NEGATIVE_INFINITY;

/**
 * How far the primary has its log on disk, and how long the rest has been waiting to get there.
 * Replicas are sent no more than that. A commit takes the log there at once; what a rolled-back
 * transaction has written waits for the next commit or for the WAL writer (`wal_writer_delay`).
 *
 * Only for the choice between waiting and the primary, never part of a proof.
 */
export class FlushProgress {
  #flushLsn: Lsn | null = null;
  /** The first position that was seen waiting and still waits. */
  #waitingLsn: Lsn | null = null;
  #waitingSinceMs = NEVER;
  #waitingSeenMs = NEVER;
  /** How long the one before it was seen to wait, at least. */
  #previousWaitMs = 0;

  /** A sample of the primary sent at `sentAtMs`. */
  add(sentAtMs: number, insertLsn: Lsn, flushLsn: Lsn): void {
    if (this.#waitingLsn !== null && flushLsn >= this.#waitingLsn) {
      this.#previousWaitMs = this.#waitingSeenMs - this.#waitingSinceMs;
      this.#waitingLsn = null;
    }
    if (this.#waitingLsn === null && insertLsn > flushLsn) {
      this.#waitingLsn = insertLsn;
      this.#waitingSinceMs = sentAtMs;
    }
    this.#waitingSeenMs = sentAtMs;
    this.#flushLsn = flushLsn;
  }

  clear(): void {
    this.#flushLsn = null;
    this.#waitingLsn = null;
    this.#previousWaitMs = 0;
  }

  /** How far the log was on disk by the newest sample; null without one. */
  get flushLsn(): Lsn | null {
    return this.#flushLsn;
  }

  isFlushed(lsn: Lsn): boolean {
    return this.#flushLsn === null || lsn <= this.#flushLsn;
  }

  /**
   * When this position is expected on disk; -Infinity if it is there. What has waited for long will
   * wait as long again, and at least as long as the one before it.
   */
  expectedMs(lsn: Lsn, nowMs: number): number {
    if (this.isFlushed(lsn) || this.#waitingLsn === null) return NEVER;
    const waitedMs = nowMs - this.#waitingSinceMs;
    return this.#waitingSinceMs + Math.max(2 * waitedMs, this.#previousWaitMs);
  }
}
