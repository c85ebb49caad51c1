import type { Monitor } from '../lag/monitor.ts';
import type { ReadRequirement } from '../lag/read-requirement.ts';
import type { NodePools } from './node-pools.ts';

const none: ReadonlySet<number> = new Set();

/** The least busy replica that meets the requirement at this time of the monitor's clock, or -1. */
export function pickReplica(
  monitor: Monitor,
  requirement: ReadRequirement,
  pools: NodePools,
  nowMs: number,
  avoided: ReadonlySet<number> = none,
): number {
  let best = -1;
  let bestLoad = Number.POSITIVE_INFINITY;
  let ties = 0;
  for (let node = 0; node < monitor.nodes.length; node++) {
    if (!monitor.isEligible(node, requirement, nowMs) || avoided.has(node)) continue;
    const { load } = pools.of(node);
    if (load > bestLoad) continue;
    ties = load === bestLoad ? ties + 1 : 1;
    bestLoad = load;
    // Each of the equally busy ones is taken with the same chance.
    if (Math.random() * ties < 1) best = node;
  }
  return best;
}
