import type { Gate } from '../lag/gate.ts';
import type { Monitor } from '../lag/monitor.ts';
import type { Cluster } from '../pool/cluster.ts';
import type { ClientSession } from '../session/client-session.ts';
import type { DurationHistogram } from '../session/duration-histogram.ts';
import type { RouteCounts } from '../session/route-counts.ts';

/** Keeps lagging replicas from sending more reads to the primary than it can bear. */
export interface FallbackLimit {
  /** Reads on the primary now because no replica was fresh enough. */
  readonly inUse: number;
  /** Reads that it has kept from the primary so far. */
  readonly refused: number;
}

/** Where metrics and health are read from, when somebody asks. Nothing here is ever changed. */
export interface AdminSources {
  readonly monitor: Monitor;
  readonly gate: Gate;
  readonly cluster: Pick<Cluster, 'nodes' | 'entries'>;
  readonly routes: RouteCounts;
  /** By node: the proven staleness at each of its samples as a replica. */
  readonly staleness: readonly DurationHistogram[];
  readonly fallbackLimit: FallbackLimit;
  readonly sessions: () => Iterable<Pick<ClientSession, 'phase' | 'pinReasons'>>;
  /** The lag budget of reads: without a primary, what a replica must keep for the proxy to be ready. */
  readonly maxStalenessMs: number;
  /** The program's version. */
  readonly version: string;
}
