import type { AdminSources } from './admin-sources.ts';
import { createMetrics, processMetrics } from './metrics.ts';
import { type Readiness, readiness } from './readiness.ts';

/** What the pages are made of, wherever it comes from. */
export interface AdminAnswers {
  /** In the Prometheus text format. */
  metrics(): Promise<string>;
  readiness(isDraining: boolean): Readiness | Promise<Readiness>;
  /** The program's version. */
  readonly version: string;
}

/** Of a process that serves clients by itself. */
export function answersFrom(sources: AdminSources): AdminAnswers {
  const registry = createMetrics(sources);
  return {
    metrics: async () => `${await registry.metrics()}\n${await processMetrics().metrics()}`,
    readiness: (isDraining) => readiness(sources, isDraining),
    version: sources.version,
  };
}
