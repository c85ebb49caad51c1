import type { LatencySummary } from '../support/latencies.ts';
import type { Tally } from './tally.ts';
import type { Target, Vows } from './target.ts';

/** What one target did with one delay. Shares are from 0 to 1. */
export interface Outcome {
  readonly key: string;
  readonly name: string;
  readonly reads: LatencySummary;
  readonly writes: LatencySummary;
  readonly readsPerSecond: number;
  readonly shareOnReplicas: number;
  readonly ownReads: number;
  /** Reads of the session's own row that missed what it had written there. */
  readonly staleReads: number;
  /** Of the reads of own rows. */
  readonly shareStale: number;
  /** Reads older than one that the session had made before. */
  readonly wentBack: number;
  /** Reads that missed anybody's write acknowledged before them. */
  readonly outdated: number;
  /** For how long the oldest of them had been out of date. */
  readonly oldestMs: number;
  readonly errors: Readonly<Record<string, number>>;
  /** Tidemark's reasons, as shares of its requests, the most frequent first. */
  readonly reasons: Readonly<Record<string, number>>;
  /** What its reads were, and must never be. */
  readonly broken: readonly string[];
}

export function summarise({ key, name, vows }: Target, tally: Tally): Outcome {
  const reads = tally.reads.summary();
  return {
    key,
    name,
    reads,
    writes: tally.writes.summary(),
    readsPerSecond: tally.measuredMs === 0 ? 0 : (reads.count * 1_000) / tally.measuredMs,
    shareOnReplicas: share(tally.onReplicas, reads.count),
    ownReads: tally.ownReads,
    staleReads: tally.staleReads,
    shareStale: share(tally.staleReads, tally.ownReads),
    wentBack: tally.wentBack,
    outdated: tally.outdated,
    oldestMs: tally.oldestMs,
    errors: Object.fromEntries(tally.errors),
    reasons: sharesOf(tally.reasons),
    broken: brokenVows(vows, tally),
  };
}

function share(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}

function sharesOf(counts: ReadonlyMap<string, number>): Record<string, number> {
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  return Object.fromEntries(sorted.map(([reason, count]) => [reason, share(count, total)]));
}

function brokenVows(vows: Vows, tally: Tally): string[] {
  const broken: string[] = [];
  if (vows.session && tally.staleReads > 0) {
    broken.push(`${tally.staleReads} reads missed the session's own write`);
  }
  if (vows.session && tally.wentBack > 0) broken.push(`${tally.wentBack} reads went back in time`);
  if (vows.current && tally.outdated > 0) {
    broken.push(`${tally.outdated} reads missed an acknowledged write`);
  }
  if (vows.maxAgeMs !== null && tally.oldestMs > vows.maxAgeMs) {
    broken.push(`a read was ${tally.oldestMs.toFixed(1)} ms old`);
  }
  return broken;
}
