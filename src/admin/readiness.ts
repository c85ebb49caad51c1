import type { FenceReason, NodeRole } from '../lag/node-state.ts';
import type { AdminSources } from './admin-sources.ts';

/** Why a node serves nothing, or why the proxy is limited. Stable kebab-case words. */
export type NodeProblem = 'down' | 'nothing-proven' | 'over-max-staleness' | FenceReason;
export type ReadinessReason = 'draining' | 'no-worker' | 'no-primary' | 'no-fresh-replica';

export interface NodeReadiness {
  readonly name: string;
  readonly role: NodeRole;
  /** Proven upper bound, rounded up; null while nothing is proven. */
  readonly staleness_ms: number | null;
  /** Null for a node that serves what its role allows. */
  readonly problem: NodeProblem | null;
}

/** The answer of /readyz; keys as they stand in its JSON. */
export interface Readiness {
  readonly ready: boolean;
  /** reads: there is no primary, and replicas within the lag budget go on serving. */
  readonly serves: 'reads-and-writes' | 'reads' | 'nothing';
  /** Why it serves less than everything; empty when it does not. */
  readonly reasons: readonly ReadinessReason[];
  readonly max_staleness_ms: number;
  readonly nodes: readonly NodeReadiness[];
}

/**
 * Ready: a primary is known, for it can serve everything; or, without one, a live replica is proven
 * to be within the lag budget, so that reads go on. Never while the proxy drains.
 */
export function readiness(sources: AdminSources, isDraining: boolean): Readiness {
  const { monitor, maxStalenessMs } = sources;
  const nodes = monitor.nodes.map((state): NodeReadiness => {
    const stalenessMs = monitor.stalenessMs(state.node);
    return {
      name: sources.cluster.nodes[state.node]!.name,
      role: state.role,
      staleness_ms: Number.isFinite(stalenessMs) ? Math.ceil(stalenessMs) : null,
      problem: nodeProblem(state, stalenessMs, maxStalenessMs),
    };
  });
  const hasPrimary = monitor.primary() !== -1;
  const hasReplica = nodes.some(({ role, problem }) => role === 'replica' && problem === null);
  const reasons: ReadinessReason[] = [];
  if (isDraining) reasons.push('draining');
  if (!hasPrimary) reasons.push('no-primary');
  if (!hasPrimary && !hasReplica) reasons.push('no-fresh-replica');
  const ready = !isDraining && (hasPrimary || hasReplica);
  return {
    ready,
    serves: !ready ? 'nothing' : hasPrimary ? 'reads-and-writes' : 'reads',
    reasons,
    max_staleness_ms: maxStalenessMs,
    nodes,
  };
}

const abilities: readonly Readiness['serves'][] = ['nothing', 'reads', 'reads-and-writes'];

/** Of several processes the one that can do least, for a client may come to any; null: there is none. */
export function leastReady(states: readonly Readiness[]): Readiness | null {
  const ability = ({ serves }: Readiness) => abilities.indexOf(serves);
  return states.toSorted((a, b) => ability(a) - ability(b))[0] ?? null;
}

/** While no process serves clients, or one does not say whether it can. */
export function unready(reason: ReadinessReason, maxStalenessMs: number): Readiness {
  const nothing = { ready: false, serves: 'nothing', reasons: [reason], nodes: [] } as const;
  return { ...nothing, max_staleness_ms: maxStalenessMs };
}

function nodeProblem(
  state: { readonly role: NodeRole; readonly fencedBecause: FenceReason | null },
  stalenessMs: number,
  maxStalenessMs: number,
): NodeProblem | null {
  if (state.role === 'down') return 'down';
  if (state.fencedBecause !== null) return state.fencedBecause;
  if (stalenessMs === Number.POSITIVE_INFINITY) return 'nothing-proven';
  return stalenessMs > maxStalenessMs ? 'over-max-staleness' : null;
}
