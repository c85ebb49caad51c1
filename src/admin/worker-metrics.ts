import { type MetricSet, single } from './metric-set.ts';

/** Of a process that serves clients: several together say how many they are. */
export function addWorkerMetrics(metrics: MetricSet): void {
  metrics.gauge('tidemark_workers', 'Processes that serve clients.', () => single(1));
  // None can count its own end.
  addWorkerCrashes(metrics, () => 0);
}

export function addWorkerCrashes(metrics: MetricSet, read: () => number): void {
  metrics.counter(
    'tidemark_worker_crashes_total',
    'Worker processes that have ended unasked, each replaced by another.',
    () => single(read()),
  );
}
