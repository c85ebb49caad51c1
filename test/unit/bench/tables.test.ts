import { describe, expect, it } from 'vitest';
import { summarise } from '../../../bench/staleness/summary.ts';
import { brokenLines, staleReport } from '../../../bench/staleness/tables.ts';
import { markdownTable, textTable } from '../../../bench/support/text-table.ts';
import { primaryOnly, resultsOfARun, tallyOf } from './results-of-a-run.ts';

const columns = [
  { title: 'name', align: 'left', text: ({ name }: { name: string }) => name },
  { title: 'count', align: 'right', text: ({ count }: { count: number }) => String(count) },
] as const;
const rows = [
  { name: 'a', count: 1 },
  { name: 'longer', count: 1_000 },
  { name: 'x|y', count: 22 },
];

describe('tables', () => {
  it('align their columns in a terminal', () => {
    expect(textTable(columns, rows)).toBe(
      ['name    count', 'a           1', 'longer   1000', 'x|y        22'].join('\n'),
    );
  });

  it('are Markdown for files', () => {
    expect(markdownTable(columns, rows)).toBe(
      [
        '| name | count |',
        '| --- | --: |',
        '| a | 1 |',
        '| longer | 1000 |',
        '| x\\|y | 22 |',
      ].join('\n'),
    );
  });
});

describe('the report of the staleness bench', () => {
  it.each(['text', 'markdown'] as const)('shows shares, percentiles and ratios as %s', (format) => {
    const report = staleReport(resultsOfARun(), format);
    const cells = report
      .split('\n')
      .filter((line) => line.includes('Two DSNs'))
      .map((line) => line.split(/ {2,}|\s*\|\s*/).filter((cell) => cell !== ''));
    const latencies = ['2.50 (2.5x)', '2.50 (2.5x)', '-', '-', '50'];
    expect(cells.slice(1)).toEqual([
      ['Two DSNs <a & b>', '0.0 %', '100', '0', '0.00', '100.0 %', ...latencies],
      ['Two DSNs <a & b>', '40.0 %', '100', '0', '7.00', '100.0 %', ...latencies],
    ]);
  });

  it('says what was compared on what, what each promises, and what was left out', () => {
    const report = staleReport(resultsOfARun(), 'markdown');
    for (const part of ['fsync on', 'v20.19.0', '2 cores', 'Pgpool-II: not here.', '| nothing |']) {
      expect(report).toContain(part);
    }
    expect(report).toContain('All of them.');
  });

  it('lists the promises that were broken', () => {
    const results = resultsOfARun();
    const broken = summarise(primaryOnly, tallyOf(1, 100, 3, 0));
    const delays = [{ delayMs: 50, measuredMs: [], outcomes: [broken] }];
    const lines = brokenLines({ ...results, delays });
    expect(lines).toContain(
      "Primary only, replicas 50 ms behind: 3 reads missed the session's own write",
    );
    expect(staleReport({ ...results, delays }, 'text')).toContain(lines[0]);
  });
});
