import assert from 'node:assert';

/** Upper bounds of the buckets, inclusive: from what a sample takes to what a stuck replica shows. */
export const bucketBoundsMs: readonly number[] = Object.freeze([
  0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000,
]);

/** Durations counted by size. Costs a few comparisons and two additions for each. */
export class DurationHistogram {
  /** Of each bucket by itself; the last has no bound. */
  readonly #counts = new Float64Array(bucketBoundsMs.length + 1);
  #sumMs = 0;

  /** @param ms 0 or more, finite */
  observe(ms: number): void {
    assert(ms >= 0 && ms < Number.POSITIVE_INFINITY, 'no duration');
    let bucket = 0;
    while (bucket < bucketBoundsMs.length && ms > bucketBoundsMs[bucket]!) bucket++;
    this.#counts[bucket]! += 1;
    this.#sumMs += ms;
  }

  get sumMs(): number {
    return this.#sumMs;
  }

  /** How many durations were at most each of the bounds; the last number is of all of them. */
  cumulativeCounts(): number[] {
    let total = 0;
    return Array.from(this.#counts, (count) => (total += count));
  }
}
