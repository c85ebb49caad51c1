import type { AdminSources } from './admin-sources.ts';
import type { MetricSet } from './metric-set.ts';

/** What the monitor's samples cost, and what they have shown over time. */
export function addSampleMetrics(metrics: MetricSet, sources: AdminSources): void {
  const { cluster, monitor, staleness } = sources;
  metrics.counter(
    'tidemark_probe_samples_total',
    'Samples of the node by the monitor: answered, or failed or too late.',
    function* () {
      for (const [node, { name }] of cluster.nodes.entries()) {
        const { answered, failed } = monitor.samples(node);
        yield [{ node: name, result: 'ok' }, answered];
        yield [{ node: name, result: 'failed' }, failed];
      }
    },
  );
  metrics.histogram(
    'tidemark_replica_staleness_seconds',
    'Proven upper bound at each sample of the node while it was a replica.',
    () => cluster.nodes.map(({ name }, node) => [{ node: name }, staleness[node]!]),
  );
}
