import type { PoolEntry } from '../pool/cluster.ts';
import type { AdminSources } from './admin-sources.ts';
import type { Labels, MetricSet } from './metric-set.ts';

const connectionStates = ['active', 'idle', 'connecting'] as const;

/** Server connections, and who waits for one. */
export function addPoolMetrics(metrics: MetricSet, { cluster }: AdminSources): void {
  const labelsOf = ({ node, database, user }: PoolEntry): Labels => ({
    node: cluster.nodes[node]!.name,
    database,
    user,
  });
  metrics.gauge(
    'tidemark_server_connections',
    'Server connections of a pool by state.',
    function* () {
      for (const entry of cluster.entries()) {
        const labels = labelsOf(entry);
        for (const state of connectionStates) yield [{ ...labels, state }, entry.stat[state]];
      }
    },
  );
  metrics.gauge(
    'tidemark_pool_waiting',
    'Requests that wait for a server connection of a pool.',
    function* () {
      for (const entry of cluster.entries()) yield [labelsOf(entry), entry.stat.waiting];
    },
  );
  metrics.gauge(
    'tidemark_pool_wait_seconds_max',
    'For how long the first of them has waited; 0 while nobody waits.',
    function* () {
      for (const entry of cluster.entries()) yield [labelsOf(entry), entry.stat.waitMsMax / 1000];
    },
    'max',
  );
}
