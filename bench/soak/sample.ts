import type { TestCluster } from '../../test/support/cluster.ts';
import { type RunningTidemark, sumOfMetric } from '../support/tidemark.ts';

/** What there was at one moment. */
export interface Sample {
  /** Since the clients began. */
  readonly atSeconds: number;
  readonly rss: number;
  readonly heapUsed: number;
  readonly external: number;
  readonly clients: number;
  readonly pinnedClients: number;
  /** Requests that wait for a server connection. */
  readonly waiting: number;
  readonly activeConnections: number;
  readonly idleConnections: number;
  readonly connectingConnections: number;
  readonly openFiles: number;
  readonly timers: number;
  readonly sockets: number;
  /** Tidemark's, as the servers see them: pg_stat_activity. */
  readonly backends: number;
  /** Of those, in a transaction or at work. */
  readonly busyBackends: number;
}

/** The cluster's helper connections are not Tidemark's, nor are those of its monitor. */
const backendsQuery = `
  SELECT count(*)::int AS backends, count(*) FILTER (WHERE state <> 'idle')::int AS busy
  FROM pg_stat_activity
  WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
    AND application_name NOT IN ('test', 'tidemark monitor', 'tidemark catalog')`;

export async function takeSample(
  tidemark: RunningTidemark,
  cluster: TestCluster,
  sinceMs: number,
): Promise<Sample> {
  const metrics = await tidemark.metrics();
  let [backends, busyBackends] = [0, 0];
  for (const node of cluster.nodes) {
    const [row] = await node.query<{ backends: number; busy: number }>(backendsQuery);
    backends += row!.backends;
    busyBackends += row!.busy;
  }
  const of = (name: string, labels?: string) => sumOfMetric(metrics, name, labels);
  const connections = (state: string) => of('tidemark_server_connections', `state="${state}"`);
  return {
    atSeconds: (performance.now() - sinceMs) / 1_000,
    rss: of('process_resident_memory_bytes'),
    heapUsed: of('nodejs_heap_size_used_bytes'),
    external: of('nodejs_external_memory_bytes'),
    clients: of('tidemark_clients'),
    pinnedClients: of('tidemark_pinned_clients'),
    waiting: of('tidemark_pool_waiting'),
    activeConnections: connections('active'),
    idleConnections: connections('idle'),
    connectingConnections: connections('connecting'),
    openFiles: of('process_open_fds'),
    timers: of('nodejs_active_resources', 'type="Timeout"'),
    sockets: of('nodejs_active_resources', 'type="TCPSocketWrap"'),
    ...{ backends, busyBackends },
  };
}
