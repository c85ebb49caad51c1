import { type PinReason, pinReasons } from '../router/statement.ts';
import type { ClientSession } from '../session/client-session.ts';
import type { AdminSources } from './admin-sources.ts';
import type { MetricSet } from './metric-set.ts';

/** Who is connected, and to what. */
export function addClientMetrics(metrics: MetricSet, { sessions, version }: AdminSources): void {
  metrics.gauge('tidemark_clients', 'Clients that are logged in, by state.', () => {
    // Every state has a series, also while nobody is in it.
    const clients: Record<ClientSession['phase'], number> = {
      idle: 0,
      waiting: 0,
      active: 0,
      copying: 0,
      closed: 0,
    };
    for (const { phase } of sessions()) clients[phase] += 1;
    const { closed: _, ...loggedIn } = clients;
    return Object.entries(loggedIn).map(([state, count]) => [{ state }, count]);
  });
  metrics.gauge(
    'tidemark_pinned_clients',
    'Clients that keep a server connection between transactions, by reason.',
    () => {
      const counts = new Map<PinReason, number>(pinReasons.map((reason) => [reason, 0]));
      for (const session of sessions()) {
        for (const reason of session.pinReasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
      }
      return [...counts].map(([reason, count]) => [{ reason }, count]);
    },
  );
  metrics.gauge(
    'tidemark_build_info',
    'Always 1; the version is its label.',
    () => [[{ version }, 1]],
    'first',
  );
}
