import type { ReplicaReason, RouteReason } from '../router/route.ts';
import { DurationHistogram } from './duration-histogram.ts';

const replicaReasons: Record<ReplicaReason, true> = {
  read: true,
  'read-waited': true,
  'read-only-transaction': true,
  session: true,
  'hint-replica': true,
  retry: true,
};

/** Why a read that a replica could have served went to the primary: none was fresh enough. */
export const fallbackReasons = [
  'no-replica',
  'no-fresh-replica',
  'wait-timeout',
] as const satisfies readonly RouteReason[];

export const waitOutcomes = ['replica', 'primary', 'error'] as const;
/** Where a read went after it had waited for freshness; `error`: nowhere. */
export type WaitOutcome = (typeof waitOutcomes)[number];

export const lostHistoryKinds = ['session', 'token'] as const;
/** What named a commit that a failover has lost: what a session had seen, or a client's token. */
export type LostHistoryKind = (typeof lostHistoryKinds)[number];

/** A node's role now would move its counts elsewhere at a failover; the reason stays. */
export function routedTo(reason: RouteReason): 'primary' | 'replica' {
  return Object.hasOwn(replicaReasons, reason) ? 'replica' : 'primary';
}

/** Requests by node and reason, and what became of waits; plain counters, read at scrape. */
export class RouteCounts {
  readonly #byNode: Map<RouteReason, number>[];
  readonly readWaits: Readonly<Record<WaitOutcome, DurationHistogram>> = {
    replica: new DurationHistogram(),
    primary: new DurationHistogram(),
    error: new DurationHistogram(),
  };
  /** Requests that needed the primary and waited for one to appear. */
  readonly primaryWaits = new DurationHistogram();
  /** Requests run again on another server before the client saw anything. */
  retries = 0;
  /** Reads sent behind those of other sessions on a server connection. */
  shared = 0;
  /** Those of them that ran once more elsewhere, because the one before them took long. */
  displaced = 0;
  readonly #lostHistory: Record<LostHistoryKind, number> = { session: 0, token: 0 };
  /** Requests answered with an error of the proxy's own, by SQLSTATE. */
  readonly errors = new Map<string, number>();

  constructor(nodes: number) {
    this.#byNode = Array.from({ length: nodes }, () => new Map());
  }

  count(node: number, reason: RouteReason): void {
    const counts = this.#byNode[node]!;
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }

  /** A read has waited for freshness for so long. */
  waited(ms: number, outcome: WaitOutcome): void {
    this.readWaits[outcome].observe(ms);
  }

  /** A request that was placed for this reason had waited, for freshness or for a primary. */
  placedAfter(ms: number, reason: RouteReason): void {
    if (routedTo(reason) === 'replica') this.waited(ms, 'replica');
    else if (isFallback(reason)) this.waited(ms, 'primary');
    else this.primaryWaits.observe(ms);
  }

  /** What was asked for is in no server's history any more. */
  lostHistory(kind: LostHistoryKind): void {
    this.#lostHistory[kind] += 1;
  }

  get lost(): Readonly<Record<LostHistoryKind, number>> {
    return this.#lostHistory;
  }

  failed(sqlstate: string): void {
    this.errors.set(sqlstate, (this.errors.get(sqlstate) ?? 0) + 1);
  }

  /** Reads that went to the primary for this reason. */
  fallbacks(reason: (typeof fallbackReasons)[number]): number {
    return this.#byNode.reduce((sum, counts) => sum + (counts.get(reason) ?? 0), 0);
  }

  *entries(): Iterable<{ node: number; reason: RouteReason; requests: number }> {
    for (const [node, counts] of this.#byNode.entries()) {
      for (const [reason, requests] of counts) yield { node, reason, requests };
    }
  }
}

function isFallback(reason: RouteReason): boolean {
  return (fallbackReasons as readonly RouteReason[]).includes(reason);
}
