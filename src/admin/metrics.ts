import { collectDefaultMetrics, Registry } from 'prom-client';
import type { AdminSources } from './admin-sources.ts';
import { addClientMetrics } from './client-metrics.ts';
import { MetricSet } from './metric-set.ts';
import { addNodeMetrics } from './node-metrics.ts';
import { addPoolMetrics } from './pool-metrics.ts';
import { addReadMetrics } from './read-metrics.ts';
import { addRequestMetrics } from './request-metrics.ts';
import { addSampleMetrics } from './sample-metrics.ts';
import { addWorkerMetrics } from './worker-metrics.ts';

/**
 * The proxy's own metrics. Their owners count in plain numbers; here they are read when somebody
 * scrapes, so that nothing is added to the path of a statement.
 */
export function createMetrics(sources: AdminSources): Registry {
  const metrics = new MetricSet();
  addRequestMetrics(metrics, sources);
  addReadMetrics(metrics, sources);
  addNodeMetrics(metrics, sources);
  addSampleMetrics(metrics, sources);
  addPoolMetrics(metrics, sources);
  addClientMetrics(metrics, sources);
  addWorkerMetrics(metrics);
  return metrics.registry;
}

let processRegistry: Registry | null = null;

/**
 * Memory, CPU, event loop and garbage collection under the names that every Node.js dashboard
 * knows. One for the process, because the observers behind it cannot be taken away again.
 */
export function processMetrics(): Registry {
  if (processRegistry === null) {
    processRegistry = new Registry();
    collectDefaultMetrics({ register: processRegistry });
  }
  return processRegistry;
}
