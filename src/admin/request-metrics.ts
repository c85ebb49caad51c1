import { routedTo } from '../session/route-counts.ts';
import type { AdminSources } from './admin-sources.ts';
import { type MetricSet, single } from './metric-set.ts';

/** What became of requests. */
export function addRequestMetrics(metrics: MetricSet, { routes, cluster }: AdminSources): void {
  metrics.counter(
    'tidemark_requests_total',
    'Requests by node, the role they were routed to, and why.',
    function* () {
      for (const { node, reason, requests } of routes.entries()) {
        yield [{ node: cluster.nodes[node]!.name, role: routedTo(reason), reason }, requests];
      }
    },
  );
  metrics.counter(
    'tidemark_retries_total',
    'Requests run again on another server before the client saw anything.',
    () => single(routes.retries),
  );
  metrics.counter(
    'tidemark_shared_reads_total',
    'Reads sent behind those of other sessions on a server connection.',
    () => single(routes.shared),
  );
  metrics.counter(
    'tidemark_displaced_reads_total',
    'Shared reads run once more elsewhere, because the one before them took long.',
    () => single(routes.displaced),
  );
  metrics.histogram(
    'tidemark_primary_wait_seconds',
    'How long requests that needed the primary waited for one to appear.',
    () => [[{}, routes.primaryWaits]],
  );
  metrics.counter(
    'tidemark_errors_total',
    "Requests and logins answered with an error of the proxy's own, by SQLSTATE.",
    function* () {
      for (const [sqlstate, count] of routes.errors) yield [{ sqlstate }, count];
    },
  );
}
