import { fallbackReasons, lostHistoryKinds, waitOutcomes } from '../session/route-counts.ts';
import type { AdminSources } from './admin-sources.ts';
import { type MetricSet, single } from './metric-set.ts';

/** What freshness costs the reads that need it. */
export function addReadMetrics(metrics: MetricSet, sources: AdminSources): void {
  const { routes, gate, fallbackLimit } = sources;
  metrics.histogram(
    'tidemark_read_wait_seconds',
    'How long reads waited for a replica to become fresh enough, by where they went then.',
    () => waitOutcomes.map((outcome) => [{ outcome }, routes.readWaits[outcome]]),
  );
  metrics.gauge(
    'tidemark_gate_waiters',
    'Requests that wait for a fresh replica or for a primary.',
    () => single(gate.size),
  );
  metrics.counter(
    'tidemark_read_fallbacks_total',
    'Reads that went to the primary because no replica was fresh enough.',
    () => fallbackReasons.map((reason) => [{ reason }, routes.fallbacks(reason)]),
  );
  metrics.gauge(
    'tidemark_fallback_reads',
    'Reads that are on the primary because no replica was fresh enough.',
    () => single(fallbackLimit.inUse),
  );
  metrics.counter(
    'tidemark_fallback_limit_total',
    'Reads kept from the primary because as many as may be were there already.',
    () => single(fallbackLimit.refused),
  );
  metrics.counter(
    'tidemark_lost_history_total',
    'Sessions and tokens that named a commit which a failover has lost.',
    () => lostHistoryKinds.map((kind) => [{ kind }, routes.lost[kind]]),
  );
}
