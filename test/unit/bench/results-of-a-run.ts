import { parseOptions } from '../../../bench/staleness/options.ts';
import type { StalenessResults } from '../../../bench/staleness/results.ts';
import { summarise } from '../../../bench/staleness/summary.ts';
import { Tally } from '../../../bench/staleness/tally.ts';
import type { Target } from '../../../bench/staleness/target.ts';

const connect = () => Promise.reject(new Error('not in this test'));
const settings = { version: '1.0' };

export const primaryOnly: Target = {
  ...{ key: 'primary-only', name: 'Primary only', promise: 'everything', settings, connect },
  vows: { session: true, current: true, maxAgeMs: 0 },
};
export const twoDsns: Target = {
  ...{ key: 'two-dsns', name: 'Two DSNs <a & b>', promise: 'nothing', settings, connect },
  vows: { session: false, current: false, maxAgeMs: null },
};

export function tallyOf(
  latencyMs: number,
  reads: number,
  stale: number,
  onReplicas: number,
): Tally {
  const tally = new Tally();
  tally.measuredMs = 2_000;
  for (let read = 0; read < reads; read++) {
    const isStale = read < stale;
    tally.sawRead({
      ...{ own: true, latencyMs, wentBack: false, behindOwnWrite: isStale },
      onReplica: read < onReplicas,
      ageMs: isStale ? 7 : null,
    });
  }
  return tally;
}

/** Two targets, healthy and behind. */
export function resultsOfARun(): StalenessResults {
  return {
    at: '2026-01-01T00:00:00.000Z',
    machine: {
      ...{ platform: 'linux x64', cores: 2, cpu: 'a processor', memoryGib: 4 },
      ...{ node: 'v20.19.0', loadBefore: 0.5 },
    },
    options: parseOptions([])!,
    postgres: { server_version: '18.4', fsync: 'on' },
    leftOut: ['Pgpool-II: not here.'],
    targets: [primaryOnly, twoDsns],
    delays: [0, 50].map((delayMs) => ({
      delayMs,
      measuredMs: [delayMs + 1.5, delayMs + 2],
      outcomes: [
        summarise(primaryOnly, tallyOf(1, 100, 0, 0)),
        summarise(twoDsns, tallyOf(2.5, 100, delayMs === 0 ? 0 : 40, 100)),
      ],
    })),
  };
}
