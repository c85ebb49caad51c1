import { createHistogram } from 'node:perf_hooks';

/** In milliseconds; null where nothing was measured. */
export interface LatencySummary {
  readonly count: number;
  readonly p50Ms: number | null;
  readonly p90Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
}

/** Node's HDR histogram keeps this many digits: at most 0.1 % off. */
const digits = 3;
const longestNs = 3_600_000_000_000;

/** Latencies of performance.now(), from a nanosecond to an hour, in a histogram of fixed size. */
export class Latencies {
  readonly #histogram = createHistogram({ lowest: 1, highest: longestNs, figures: digits });

  /** @param ms 0 or more */
  record(ms: number): void {
    const ns = Math.round(ms * 1e6);
    this.#histogram.record(Math.min(Math.max(ns, 1), longestNs));
  }

  add(other: Latencies): void {
    // An empty one has an extreme as its maximum, which add() would take over.
    if (other.#histogram.count > 0) this.#histogram.add(other.#histogram);
  }

  summary(): LatencySummary {
    const { count } = this.#histogram;
    const at = (percent: number) =>
      count === 0 ? null : this.#histogram.percentile(percent) / 1e6;
    return { count, p50Ms: at(50), p90Ms: at(90), p99Ms: at(99), maxMs: at(100) };
  }
}
