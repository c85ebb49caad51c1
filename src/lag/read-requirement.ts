import type { Lsn } from './lsn.ts';
import type { StalenessBudget } from './staleness-budget.ts';

/** What a server must be proven to show before a read may go to it. Times of the monitor's clock. */
export interface ReadRequirement {
  /** Every commit acknowledged before this moment must be visible; -Infinity: no demand. */
  readonly freshAsOfMs: number;
  /** Node that served the session's previous read, -1 if there was none: monotonic reads. */
  readonly previousNode: number;
  /** That node's generation (NodeState.generation) when it served the read. */
  readonly previousGeneration: number;
  /** When that read ended; -Infinity if there was none. */
  readonly previousReadEndMs: number;
  /**
   * A position of the present primary's history that must have been replayed, from a client's token
   * (Monitor.judgeToken); null: no demand. It holds in the epoch in which it was judged.
   */
  readonly minLsn: Lsn | null;
  /** Which nodes are within the limit on staleness; null: no demand. */
  readonly budget: StalenessBudget | null;
}

/** Any live node will do. */
export const noRequirement: ReadRequirement = Object.freeze({
  freshAsOfMs: Number.NEGATIVE_INFINITY,
  previousNode: -1,
  previousGeneration: -1,
  previousReadEndMs: Number.NEGATIVE_INFINITY,
  minLsn: null,
  budget: null,
});

/**
 * A node that is fresh as of this moment satisfies the requirement, whichever node it is, but for
 * its `minLsn` and `budget`.
 */
export function sufficientMomentMs(requirement: ReadRequirement): number {
  return requirement.previousNode === -1
    ? requirement.freshAsOfMs
    : Math.max(requirement.freshAsOfMs, requirement.previousReadEndMs);
}
