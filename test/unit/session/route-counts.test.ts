import { expect, it } from 'vitest';
import type { RouteReason } from '../../../src/router/route.ts';
import { RouteCounts } from '../../../src/session/route-counts.ts';

/** How many waits are counted where, after one for this reason. */
function waitsAfter(reason: RouteReason) {
  const routes = new RouteCounts(1);
  routes.placedAfter(10, reason);
  const { replica, primary, error } = routes.readWaits;
  const [byReplica, byPrimary, byError, forPrimary] = [
    replica,
    primary,
    error,
    routes.primaryWaits,
  ].map((histogram) => histogram.cumulativeCounts().at(-1));
  return { byReplica, byPrimary, byError, forPrimary };
}

const none = { byReplica: 0, byPrimary: 0, byError: 0, forPrimary: 0 };

it.each(['read-waited', 'read-only-transaction', 'retry'] as const)(
  'takes a wait before %s for a read that a replica served',
  (reason) => {
    expect(waitsAfter(reason)).toEqual({ ...none, byReplica: 1 });
  },
);

it.each(['wait-timeout', 'no-fresh-replica', 'no-replica'] as const)(
  'takes a wait before %s for a read that the primary served',
  (reason) => {
    expect(waitsAfter(reason)).toEqual({ ...none, byPrimary: 1 });
  },
);

it.each(['write', 'transaction', 'login', 'retry-refused'] as const)(
  'takes a wait before %s for one for a primary',
  (reason) => {
    expect(waitsAfter(reason)).toEqual({ ...none, forPrimary: 1 });
  },
);

it('adds up fallbacks over the nodes, as the primary may have been several', () => {
  const routes = new RouteCounts(2);
  routes.count(0, 'wait-timeout');
  routes.count(1, 'wait-timeout');
  routes.count(1, 'no-replica');
  routes.count(1, 'write');
  expect(routes.fallbacks('wait-timeout')).toBe(2);
  expect(routes.fallbacks('no-replica')).toBe(1);
  expect(routes.fallbacks('no-fresh-replica')).toBe(0);
});
