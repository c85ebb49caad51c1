import type { RouteReason } from '../router/route.ts';

/** Requests by node and reason, and what became of waits; plain counters, read at scrape. */
export class RouteCounts {
  readonly #byNode: Map<RouteReason, number>[];
  /** Requests run again on another server before the client saw anything. */
  retries = 0;
  /** Requests that waited for freshness or for a primary. */
  waits = 0;
  waitedMsTotal = 0;
  /** Requests answered with an error of the proxy's own, by SQLSTATE. */
  readonly errors = new Map<string, number>();

  constructor(nodes: number) {
    this.#byNode = Array.from({ length: nodes }, () => new Map());
  }

  count(node: number, reason: RouteReason): void {
    const counts = this.#byNode[node]!;
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }

  waited(ms: number): void {
    this.waits += 1;
    this.waitedMsTotal += ms;
  }

  failed(sqlstate: string): void {
    this.errors.set(sqlstate, (this.errors.get(sqlstate) ?? 0) + 1);
  }

  *entries(): Iterable<{ node: number; reason: RouteReason; requests: number }> {
    for (const [node, counts] of this.#byNode.entries()) {
      for (const [reason, requests] of counts) yield { node, reason, requests };
    }
  }
}
