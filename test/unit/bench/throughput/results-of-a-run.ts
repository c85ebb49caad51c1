import type { ThroughputResults } from '../../../../bench/throughput/results.ts';
import { summarise } from '../../../../bench/throughput/summary.ts';
import type { Measurement } from '../../../../bench/throughput/turn.ts';

export function measurement(over: Partial<Measurement> = {}): Measurement {
  return {
    ...{ transactionsPerSecond: 1_000, p50Ms: 1, p95Ms: 2, p99Ms: 3 },
    ...{ cpuMicrosPerTransaction: 25, memoryMib: 80, shareOnReplicas: 1 },
    ...{ ownReads: null, staleReads: null, failedTransactions: 0, error: null },
    ...over,
  };
}

const baselines = ['direct', 'pgbouncer'];

/** Select-only at two numbers of clients, and mixed at one; PgBouncer failed in one of them. */
export function resultsOfARun(): ThroughputResults {
  const runs = (...rates: number[]) =>
    rates.map((transactionsPerSecond) => measurement({ transactionsPerSecond }));
  const point = (
    workload: 'select-only' | 'mixed',
    clients: number,
    measurements: Record<string, Measurement[]>,
  ) => ({
    ...{ workload, clients, protocol: 'simple' as const, measurements },
    outcomes: summarise(new Map(Object.entries(measurements)), baselines),
  });
  const unseen = { cpuMicrosPerTransaction: null, memoryMib: null, shareOnReplicas: null };
  return {
    at: '2026-11-21T00:00:00.000Z',
    command: 'npm run bench -- --clients 1,32',
    machine: {
      ...{ platform: 'linux x64', cores: 4, cpu: 'Some CPU', memoryGib: 8 },
      ...{ node: 'v20.0.0', loadBefore: 0.1 },
    },
    loads: [2, 3],
    settings: { seconds: 5, repetitions: 2, scale: 10 },
    postgres: { server_version: '18.4' },
    versions: { Tidemark: '1', pgbench: '15' },
    note: null,
    leftOut: ['Pgpool-II: it is not installed here.'],
    targets: [
      { key: 'direct', name: 'Direct <a & b>', settings: {} },
      { key: 'pgbouncer', name: 'PgBouncer', settings: { version: '1.18' } },
      { key: 'tidemark', name: 'Tidemark', settings: {} },
    ],
    baselines,
    points: [
      point('select-only', 32, {
        direct: [measurement({ transactionsPerSecond: 4_000, ...unseen })],
        pgbouncer: runs(2_000, 4_000),
        tidemark: runs(3_000, 5_000),
      }),
      point('select-only', 1, {
        direct: [measurement({ transactionsPerSecond: 1_000, ...unseen })],
        pgbouncer: [
          measurement({
            ...{ transactionsPerSecond: 0, p50Ms: null, p95Ms: null, p99Ms: null },
            ...{ cpuMicrosPerTransaction: null, error: 'pgbench ended with code 2' },
          }),
        ],
        tidemark: runs(900, 1_100),
      }),
      point('mixed', 32, {
        direct: [measurement({ ...unseen, ownReads: 10, staleReads: 0 })],
        pgbouncer: [measurement({ ...unseen, ownReads: 20, staleReads: 0 })],
        tidemark: [measurement({ shareOnReplicas: 0.876, ownReads: 30, staleReads: 4 })],
      }),
    ],
  };
}
