import {
  AggregatorRegistry,
  type MetricObjectWithValues,
  type MetricValue,
  type Registry,
} from 'prom-client';

type Metric = MetricObjectWithValues<MetricValue<string>>;
/** What one process has to say at one moment. Plain data, as it passes between processes. */
export type ProcessMetrics = readonly Metric[];

/**
 * The metrics of several processes as those of one: each metric by its own rule (`aggregator`).
 * What cannot be put together is that of the first process.
 */
export function mergedMetrics(processes: readonly ProcessMetrics[]): Registry {
  const [first = [], ...others] = processes;
  const whole = first.map(
    (metric): Metric =>
      metric.aggregator === 'omit' ? { ...metric, aggregator: 'first' } : metric,
  );
  return AggregatorRegistry.aggregate([whole, ...others] as Metric[][]) as Registry;
}

/**
 * What has been counted, without what is the case at the moment: what is left of a process that has
 * ended. Without it totals would fall, which Prometheus takes for a new start of all of them.
 */
export function countsOf(processes: readonly ProcessMetrics[]): ProcessMetrics {
  const counted = processes.map((metrics) =>
    // prom-client's declarations take the type for an enum, and its objects have the word.
    metrics.filter(({ type }) => String(type) !== 'gauge'),
  );
  // Merged metrics hold their values, which the declarations do not say.
  return mergedMetrics(counted).getMetricsAsArray() as Metric[];
}
