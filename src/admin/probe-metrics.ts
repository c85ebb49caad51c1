import type { AdminSources } from './admin-sources.ts';
import type { MetricSet } from './metric-set.ts';

/** What the monitor's samples cost, and what they have shown over time. */
export function addProbeMetrics(metrics: MetricSet, { cluster, probes }: AdminSources): void {
  metrics.counter(
    'tidemark_probe_samples_total',
    'Questions of the monitor to the node about its position, by what came of them.',
    function* () {
      for (const [node, { name }] of cluster.nodes.entries()) {
        const { ok, failed } = probes.samples(node);
        yield [{ node: name, result: 'ok' }, ok];
        yield [{ node: name, result: 'failed' }, failed];
      }
    },
  );
  metrics.histogram(
    'tidemark_replica_staleness_seconds',
    'Proven upper bound at each sample of a node while it was a replica.',
    () => cluster.nodes.map(({ name }, node) => [{ node: name }, probes.staleness[node]!]),
  );
}
