import { describe, expect, it } from 'vitest';
import { aimLines } from '../../../../bench/clients/aims.ts';
import type { Worked } from '../../../../bench/clients/crowd-command.ts';
import { parseOptions } from '../../../../bench/clients/options.ts';
import { clientsReport } from '../../../../bench/clients/report.ts';
import type { ClientsResults } from '../../../../bench/clients/results.ts';
import { sumOfMetric } from '../../../../bench/support/tidemark.ts';

const latencies = { count: 5, p50Ms: 1, p90Ms: 2, p99Ms: 3, maxMs: 4 };
const joined = { seconds: 1, logins: latencies, failures: [] };
const memory = { rss: 100_000_000, heapUsed: 1, heapTotal: 1, external: 1 };
const worked = (...statementsByClient: number[]): Worked => ({
  ...{ seconds: 1, statementsByClient, waits: latencies, failures: [] },
});

const results = (over: Partial<ClientsResults> = {}): ClientsResults => ({
  at: '2026-01-01T00:00:00.000Z',
  command: 'npm run bench:clients',
  machine: { platform: 'x', cores: 1, cpu: 'y', memoryGib: 1, node: 'v', loadBefore: 0 },
  ...{ version: '1', postgres: {}, note: null, clients: 1_000, logins: 100, busy: 2 },
  ...{ settleSeconds: 1, base: memory, filled: memory },
  settled: { ...memory, rss: memory.rss + 25_000_000 },
  ...{ storm: joined, others: joined },
  loads: [{ load: 'reads', alone: worked(9, 9), among: worked(5, 10) }],
  ...over,
});

const isEachMet = (found: ClientsResults) => aimLines(found).map(({ isMet }) => isMet);

describe('the aims of the bench of clients', () => {
  it('are met at their limits', () => {
    expect(isEachMet(results())).toEqual([true, true, true, true]);
  });

  it('are missed beyond them', () => {
    const settled = { ...memory, rss: memory.rss + 25_100_000 };
    expect(isEachMet(results({ settled }))).toEqual([false, true, true, true]);
    const failed = { ...joined, failures: ['E:FATAL:53300'] };
    expect(isEachMet(results({ storm: failed }))).toEqual([true, false, true, true]);
    expect(isEachMet(results({ others: failed }))).toEqual([true, true, false, true]);
    const loads = [{ load: 'reads', alone: worked(9, 9), among: worked(4, 10) }] as const;
    expect(isEachMet(results({ loads }))).toEqual([true, true, true, false]);
  });

  it('are in the report, with what was measured', () => {
    const report = clientsReport(results({ settled: { ...memory, rss: 130_000_000 } }), 'markdown');
    expect(report).toContain('- NOT met: An idle client takes at most 25 KB of RSS: 30.0 KB.');
    expect(report).toContain(
      '| reads, among 1000 idle clients | 15 | 1.00 | 3.00 | 4.00 | 5 to 10 |',
    );
  });
});

describe('the options of the bench of clients', () => {
  it('have defaults', () => {
    expect(parseOptions([])).toMatchObject({ clients: 10_000, logins: 1_000, busy: 32 });
    expect(parseOptions(['--help'])).toBeNull();
  });

  it.each([
    ['--clients', '0'],
    ['--clients', '25001'],
    ['--settle', ''],
    ['--fsync', 'maybe'],
  ])('refuse %s %s', (option, value) => {
    expect(() => parseOptions([option, value])).toThrow(option);
  });
});

describe('a metric', () => {
  it('is the sum of its series', () => {
    const metrics = 'a_total{x="1"} 2\na_total{x="2"} 3\na_total_more 9\nb 1e3\n';
    expect(sumOfMetric(metrics, 'a_total')).toBe(5);
    expect(sumOfMetric(metrics, 'a_total', 'x="2"')).toBe(3);
    expect(sumOfMetric(metrics, 'b')).toBe(1_000);
    expect(sumOfMetric(metrics, 'c')).toBe(0);
  });
});
