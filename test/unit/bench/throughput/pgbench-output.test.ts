import { describe, expect, it } from 'vitest';
import {
  parseLogLatencies,
  parseProgress,
  parseSummary,
  percentile,
  summariseLatencies,
  transactionsBetween,
} from '../../../../bench/throughput/pgbench-output.ts';

const summary = `transaction type: multiple scripts
scaling factor: 10
query mode: simple
number of clients: 8
number of transactions actually processed: 12345
number of failed transactions: 3 (0.024%)
latency average = 3.238 ms
initial connection time = 41.187 ms
tps = 2470.417131 (without initial connection time)
`;

describe('what pgbench prints', () => {
  it('has the throughput without the time for connecting, and failed transactions', () => {
    expect(parseSummary(summary)).toEqual({
      transactions: 12_345,
      failed: 3,
      perSecond: 2_470.417131,
    });
  });

  it('has no failed transactions before version 15', () => {
    const old = summary.replace(/^number of failed.*\n/m, '');
    expect(parseSummary(old)).toMatchObject({ failed: 0, transactions: 12_345 });
  });

  it('has no summary when it was ended before', () => {
    expect(parseSummary('')).toBeNull();
    expect(parseSummary('pgbench (15.18)\n')).toBeNull();
  });

  it('tells its progress, and other lines are not taken for it', () => {
    const line = 'progress: 2.0 s, 8123.4 tps, lat 0.983 ms stddev 0.412, 0 failed';
    expect(parseProgress(line)).toEqual({ atSeconds: 2, perSecond: 8_123.4 });
    expect(parseProgress('pgbench: error: client 0 aborted in command 1')).toBeNull();
  });

  it('is added up from the first line of progress on', () => {
    const lines = [
      { atSeconds: 1, perSecond: 5_000 },
      { atSeconds: 2, perSecond: 100 },
      { atSeconds: 4.5, perSecond: 200 },
    ];
    expect(transactionsBetween(lines)).toBe(600);
    expect(transactionsBetween(lines.slice(0, 1))).toBe(0);
    expect(transactionsBetween([])).toBe(0);
  });
});

describe("pgbench's log", () => {
  const log = `0 1 1500 0 1700000000 999999
1 1 250 0 1700000001 0
1 2 failed 0 1700000001 5
0 2 99 2 1700000002 12 34
`;

  it('has the latencies of those that did not fail', () => {
    expect(parseLogLatencies(log, 0)).toEqual([1_500, 250, 99]);
  });

  it('is read from the moment on that measuring began', () => {
    expect(parseLogLatencies(log, 1_700_000_001_000)).toEqual([250, 99]);
    expect(parseLogLatencies(log, 1_700_000_001_001)).toEqual([99]);
  });
});

describe('percentiles', () => {
  it('are values that were measured', () => {
    const hundred = Float64Array.from({ length: 100 }, (_, index) => index + 1);
    expect([0, 1, 50, 95, 99, 100].map((percent) => percentile(hundred, percent))).toEqual([
      1, 1, 50, 95, 99, 100,
    ]);
    expect(percentile(Float64Array.of(7), 50)).toBe(7);
    expect(percentile(Float64Array.of(), 50)).toBeNull();
  });

  it('sort by number, in milliseconds', () => {
    const latencies = [1_000, 20_000, 9_000, 300];
    expect(summariseLatencies(latencies)).toEqual({ p50Ms: 1, p95Ms: 20, p99Ms: 20 });
    expect(summariseLatencies([])).toEqual({ p50Ms: null, p95Ms: null, p99Ms: null });
  });
});
