import assert from 'node:assert';
import type { Lsn } from './lsn.ts';

/** Samples kept before the older ones are thinned. */
const SAMPLES_MAX = 4096;
/** Samples younger than this are all kept, unless they alone fill half of the room. */
const DENSE_AGE_MS = 1000;
/** Thinning leaves gaps of at most this part of a sample's age. */
const GAP_PART_OF_AGE = 1 / 16;

/**
 * What the primary's insert position was, and when: the samples of one epoch, oldest first, both
 * times and positions strictly rising.
 *
 * A sample says: every commit acknowledged before `sentAt` lies at or below `lsn`. That stays true
 * for ever, so forgetting a sample only makes the answers older, never wrong. Therefore the list is
 * bounded by thinning: dense for the last second, and then with gaps that grow with age, so that a
 * replica that lags by minutes still gets a bound, at most a sixteenth of its lag too old.
 */
export class PrimarySamples {
  /** When the position was first seen: only for measuring lag. */
  readonly #firstSentAtMs: number[] = [];
  /** When the position was last seen: what a proof uses. */
  readonly #lastSentAtMs: number[] = [];
  readonly #lsns: Lsn[] = [];

  get size(): number {
    return this.#lsns.length;
  }

  /** Send time of the newest sample, -Infinity without one. */
  get newestSentAtMs(): number {
    return this.#lastSentAtMs[this.#lastSentAtMs.length - 1] ?? Number.NEGATIVE_INFINITY;
  }

  /** Position of the newest sample, null without one. */
  get newestLsn(): Lsn | null {
    return this.#lsns[this.#lsns.length - 1] ?? null;
  }

  clear(): void {
    this.#firstSentAtMs.length = 0;
    this.#lastSentAtMs.length = 0;
    this.#lsns.length = 0;
  }

  /** Forgets the samples of positions beyond this one. */
  forgetBeyond(lsn: Lsn): void {
    const kept = this.#firstAbove(lsn);
    this.#firstSentAtMs.length = kept;
    this.#lastSentAtMs.length = kept;
    this.#lsns.length = kept;
  }

  /** Both arguments must be at least those of the newest sample. */
  add(sentAtMs: number, lsn: Lsn): void {
    const last = this.#lsns.length - 1;
    if (last >= 0) {
      assert(sentAtMs >= this.#lastSentAtMs[last]!, 'primary samples come in the order sent');
      assert(lsn >= this.#lsns[last]!, 'the insert position never goes back in one epoch');
      if (lsn === this.#lsns[last]) {
        this.#lastSentAtMs[last] = sentAtMs;
        return;
      }
    }
    this.#firstSentAtMs.push(sentAtMs);
    this.#lastSentAtMs.push(sentAtMs);
    this.#lsns.push(lsn);
    if (this.#lsns.length >= SAMPLES_MAX) {
      this.#thin(DENSE_AGE_MS);
      if (this.#lsns.length > SAMPLES_MAX / 2) this.#thin(0);
      assert(this.#lsns.length <= SAMPLES_MAX / 2, 'gaps that grow with age bound the number kept');
    }
  }

  /** The latest moment whose commits all lie at or below `replayLsn`; -Infinity if none is known. */
  freshAsOfMs(replayLsn: Lsn): number {
    const above = this.#firstAbove(replayLsn);
    return above === 0 ? Number.NEGATIVE_INFINITY : this.#lastSentAtMs[above - 1]!;
  }

  /** The lowest known position that covers every commit acknowledged before `momentMs`, or null. */
  lsnCovering(momentMs: number): Lsn | null {
    let low = 0;
    let high = this.#lsns.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#lastSentAtMs[middle]! < momentMs) low = middle + 1;
      else high = middle;
    }
    return this.#lsns[low] ?? null;
  }

  /** When this position or a later one was first seen; -Infinity if none was. */
  firstSeenMs(lsn: Lsn): number {
    const above = this.#firstAbove((lsn - 1n) as Lsn);
    return this.#firstSentAtMs[above] ?? Number.NEGATIVE_INFINITY;
  }

  /** When a position beyond `replayLsn` was first seen; Infinity if none was. */
  firstBeyondMs(replayLsn: Lsn): number {
    return this.#firstSentAtMs[this.#firstAbove(replayLsn)] ?? Number.POSITIVE_INFINITY;
  }

  #firstAbove(lsn: Lsn): number {
    let low = 0;
    let high = this.#lsns.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#lsns[middle]! <= lsn) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /**
   * Drops a sample where the gap left between its neighbours is small for its age. Judging the gap
   * that results, from the oldest on, keeps every gap bounded however often this runs.
   */
  #thin(denseAgeMs: number): void {
    const count = this.#lsns.length;
    const newestMs = this.#lastSentAtMs[count - 1]!;
    let kept = 1;
    for (let i = 1; i < count; i++) {
      const ageMs = newestMs - this.#lastSentAtMs[i]!;
      const gapMs = (this.#lastSentAtMs[i + 1] ?? newestMs) - this.#lastSentAtMs[kept - 1]!;
      const redundant = i < count - 1 && ageMs >= denseAgeMs && gapMs <= ageMs * GAP_PART_OF_AGE;
      if (redundant) continue;
      this.#firstSentAtMs[kept] = this.#firstSentAtMs[i]!;
      this.#lastSentAtMs[kept] = this.#lastSentAtMs[i]!;
      this.#lsns[kept] = this.#lsns[i]!;
      kept++;
    }
    this.#firstSentAtMs.length = kept;
    this.#lastSentAtMs.length = kept;
    this.#lsns.length = kept;
  }
}
