import type { Config } from '../config.ts';
import type { WorkerPlace } from '../session/cancel-keys.ts';

/** All shares together are the total, and no two differ by more than one. 0 of 0: no limit. */
export function shareOf(total: number, { index, count }: WorkerPlace): number {
  return Math.floor(total / count) + (index < total % count ? 1 : 0);
}

/** The configuration of one worker: all of them together keep to the limits of `config`. */
export function withShareOfLimits(config: Config, place: WorkerPlace): Config {
  const { clients, pool, freshness } = config;
  return {
    ...config,
    // One address answers for all of them, which is the supervisor's.
    http: null,
    clients: { ...clients, max: shareOf(clients.max, place) },
    pool: { ...pool, size: shareOf(pool.size, place) },
    freshness: {
      ...freshness,
      fallbackReadsMax: shareOf(freshness.fallbackReadsMax, place),
    },
  };
}
