import type { Gate } from '../lag/gate.ts';
import type { Monitor } from '../lag/monitor.ts';
import type { Cluster } from '../pool/cluster.ts';
import type { ClientSession } from '../session/client-session.ts';
import type { RouteCounts } from '../session/route-counts.ts';

/** Where metrics and health are read from, when somebody asks. Nothing here is ever changed. */
export interface AdminSources {
  readonly monitor: Monitor;
  readonly gate: Gate;
  readonly cluster: Pick<Cluster, 'nodes' | 'entries'>;
  readonly routes: RouteCounts;
  readonly sessions: () => Iterable<Pick<ClientSession, 'phase'>>;
  /** The lag budget of reads: without a primary, what a replica must keep for the proxy to be ready. */
  readonly maxStalenessMs: number;
  /** The program's version. */
  readonly version: string;
}
