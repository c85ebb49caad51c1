import { describe, expect, it } from 'vitest';
import { aimLines } from '../../../bench/staleness/aims.ts';
import { summarise } from '../../../bench/staleness/summary.ts';
import { brokenLines, stalenessReport } from '../../../bench/staleness/tables.ts';
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
    const report = stalenessReport(resultsOfARun(), format);
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
    const report = stalenessReport(resultsOfARun(), 'markdown');
    for (const part of ['fsync on', 'v20.19.0', '2 cores', 'Pgpool-II: not here.', '| nothing |']) {
      expect(report).toContain(part);
    }
    expect(report).toContain('All of them.');
  });

  it('holds the shares of the levels against their aims, with healthy replicas', () => {
    const results = resultsOfARun();
    const outcomes = (['session', 'strong'] as const).map((level) => {
      const target = { ...primaryOnly, key: `tidemark-${level}`, name: level };
      return summarise(target, tallyOf(1, 100, 0, 90));
    });
    const delays = [{ delayMs: 0, measuredMs: [], outcomes }];
    const [session, strong, ...others] = aimLines({ ...results, delays });
    expect(session).toMatch(/^session, .* 90\.0 % .* 95 % .*: missed$/);
    expect(strong).toMatch(/^strong, .* 90\.0 % .* 80 % .*: met$/);
    expect(others).toEqual([]);
    expect(aimLines({ ...results, delays: [{ ...delays[0]!, delayMs: 50 }] })).toEqual([]);
    expect(stalenessReport({ ...results, delays }, 'markdown')).toContain(`- ${strong}`);
  });

  it('lists the promises that were broken', () => {
    const results = resultsOfARun();
    const broken = summarise(primaryOnly, tallyOf(1, 100, 3, 0));
    const delays = [{ delayMs: 50, measuredMs: [], outcomes: [broken] }];
    const lines = brokenLines({ ...results, delays });
    expect(lines).toContain(
      "Primary only, replicas 50 ms behind: 3 reads missed the session's own write",
    );
    expect(stalenessReport({ ...results, delays }, 'text')).toContain(lines[0]);
  });
});
