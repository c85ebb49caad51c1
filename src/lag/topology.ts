import type { FenceReason, NodeRole } from './node-state.ts';

/** What a node says about itself. */
export interface NodeClaim {
  /** False while it does not answer; the other fields then mean nothing. */
  readonly up: boolean;
  readonly inRecovery: boolean;
  readonly timeline: number | null;
  readonly systemId: string | null;
}

/** What earlier decisions established. */
export interface TopologyMemory {
  /** -1: none so far. Kept while the primary is down. */
  readonly primary: number;
  /** System identifier of the cluster; null before the first decision. */
  readonly systemId: string | null;
  /** Highest timeline of any node of the cluster so far; 0 before the first decision. */
  readonly highestTimeline: number;
}

export interface NodeVerdict {
  readonly role: NodeRole;
  readonly fencedBecause: FenceReason | null;
}

export interface Topology {
  readonly verdicts: readonly NodeVerdict[];
  /** The node to write to now, -1 if there is none. */
  readonly primary: number;
  readonly memory: TopologyMemory;
}

export const emptyTopologyMemory: TopologyMemory = {
  primary: -1,
  systemId: null,
  highestTimeline: 0,
};

/**
 * Gives every node its role.
 *
 * The primary is the one node out of recovery. Of two, the higher timeline is the later promotion,
 * and the other is fenced. A timeline that any node of the cluster was seen on proves a promotion:
 * a primary on a lower one is a leftover and is fenced even while the promoted server is down. On
 * equal timelines the one that was the primary stays; if neither was, none is chosen.
 */
export function decideTopology(claims: readonly NodeClaim[], memory: TopologyMemory): Topology {
  const systemId = chooseSystemId(claims, memory.systemId);
  const belongs = (claim: NodeClaim) =>
    claim.up && systemId !== null && claim.systemId === systemId;

  let highestTimeline = systemId === memory.systemId ? memory.highestTimeline : 0;
  for (const claim of claims) {
    if (belongs(claim)) highestTimeline = Math.max(highestTimeline, claim.timeline ?? 0);
  }
  const newestWriters: number[] = [];
  claims.forEach((claim, node) => {
    const newest = (claim.timeline ?? 0) === highestTimeline;
    if (belongs(claim) && !claim.inRecovery && newest) newestWriters.push(node);
  });
  const primary =
    newestWriters.length > 1
      ? (newestWriters.find((node) => node === memory.primary) ?? -1)
      : (newestWriters[0] ?? -1);

  const verdicts = claims.map((claim, node): NodeVerdict => {
    if (!claim.up) return { role: 'down', fencedBecause: null };
    if (!belongs(claim)) return { role: 'fenced', fencedBecause: 'other-system-identifier' };
    if (claim.inRecovery) return { role: 'replica', fencedBecause: null };
    if (node === primary) return { role: 'primary', fencedBecause: null };
    const newest = newestWriters.includes(node);
    return {
      role: 'fenced',
      fencedBecause: newest ? 'second-primary-on-same-timeline' : 'older-timeline',
    };
  });
  const remembered = primary === -1 ? memory.primary : primary;
  return { verdicts, primary, memory: { primary: remembered, systemId, highestTimeline } };
}

/**
 * The identifier once established stays while any node carries it. Otherwise the majority of the
 * nodes that answer decides, on a tie the side that alone has a primary; else nobody does.
 */
function chooseSystemId(claims: readonly NodeClaim[], established: string | null): string | null {
  const votes = new Map<string, { nodes: number; writers: number }>();
  let answered = 0;
  for (const claim of claims) {
    if (!claim.up || claim.systemId === null) continue;
    const vote = votes.get(claim.systemId) ?? { nodes: 0, writers: 0 };
    vote.nodes++;
    if (!claim.inRecovery) vote.writers++;
    votes.set(claim.systemId, vote);
    answered++;
  }
  if (answered === 0 || (established !== null && votes.has(established))) return established;
  const most = Math.max(...[...votes.values()].map((vote) => vote.nodes));
  const leading = [...votes].filter(([, vote]) => vote.nodes === most);
  if (leading.length === 1) return leading[0]![0];
  const withWriter = leading.filter(([, vote]) => vote.writers > 0);
  return withWriter.length === 1 ? withWriter[0]![0] : null;
}
