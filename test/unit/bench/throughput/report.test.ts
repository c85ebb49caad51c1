import { describe, expect, it } from 'vitest';
import { aimLines } from '../../../../bench/throughput/aims.ts';
import { throughputPlot } from '../../../../bench/throughput/plot.ts';
import { throughputReport } from '../../../../bench/throughput/tables.ts';
import { expectWellFormed } from '../../../support/well-formed-svg.ts';
import { resultsOfARun } from './results-of-a-run.ts';

/** The table under the heading, as rows of cells. */
function tableOf(report: string, title: string): string[][] {
  const [, after = ''] = report.split(`## ${title}`);
  const lines = after.split(/^## /m)[0]!.split('\n');
  return lines
    .filter((line) => line.startsWith('|') && !line.startsWith('| -'))
    .map((line) => line.split('|').map((cell) => cell.trim()));
}

describe('the tables', () => {
  const report = throughputReport(resultsOfARun(), 'markdown');

  it('are by workload and protocol, with the clients in order', () => {
    const [head, ...rows] = tableOf(report, 'Select-only, simple protocol');
    expect(head).toContain('× PgBouncer');
    expect(head).not.toContain('stale own reads');
    expect(rows.map(([, clients, name]) => `${clients} ${name}`)).toEqual([
      ...['1 Direct <a & b>', '1 PgBouncer', '1 Tidemark'],
      ...['32 Direct <a & b>', '32 PgBouncer', '32 Tidemark'],
    ]);
  });

  it('have medians, spreads and ratios of the same repetition', () => {
    const [head, ...rows] = tableOf(report, 'Select-only, simple protocol');
    const cell = (row: number, title: string) => rows[row]![head!.indexOf(title)];
    expect(cell(5, 'tps')).toBe('4000');
    expect(cell(5, 'spread')).toBe('3000–5000');
    expect(cell(5, '× PgBouncer')).toBe('1.38');
    expect(cell(3, '× Direct <a & b>')).toBe('-');
    expect(cell(5, 'CPU µs/tx')).toBe('25');
    expect(cell(3, 'CPU µs/tx')).toBe('-');
    expect(cell(1, 'failed')).toBe('0, see below');
  });

  it('say where reads went, and which missed what their session wrote', () => {
    const [head, , , ours] = tableOf(
      report,
      'Mixed: 90 % reads, a third of them of what the session wrote, simple protocol',
    );
    expect(ours![head!.indexOf('on replicas')]).toBe('87.6 %');
    expect(ours![head!.indexOf('stale own reads')]).toBe('4 of 30');
  });

  it('come with the machine, the command, what was left out and what went wrong', () => {
    for (const format of ['text', 'markdown'] as const) {
      const words = throughputReport(resultsOfARun(), format);
      expect(words).toContain('npm run bench -- --clients 1,32');
      expect(words).toContain('Some CPU');
      expect(words).toContain('2026-11-21');
      expect(words).toContain('Left out: Pgpool-II');
      expect(words).toContain('PgBouncer, select-only, simple, 1 clients: pgbench ended');
      expect(words).not.toMatch(/NaN|undefined|null|Infinity/);
    }
  });
});

describe('the aims', () => {
  it('are judged at the points that they are for', () => {
    const lines = aimLines(resultsOfARun());
    expect(lines).toContain(
      'select-only, 32 clients and more: throughput at least 1.2 × PgBouncer: met at 1 of 1 points (worst: 1.38, simple, 32 clients)',
    );
    expect(lines).toContain(
      'select-only, 32 clients and more: throughput at least 1 × Direct <a & b>: met at 0 of 1 points (worst: 0.75, simple, 32 clients)',
    );
    // PgBouncer failed at 1 client, Pgpool-II and tpcb were not there.
    expect(lines).toHaveLength(3);
  });
});

describe('the plot', () => {
  const plot = throughputPlot(resultsOfARun());

  it('is well-formed, whatever the names are', () => {
    expect(plot).toContain('Direct &lt;a &amp; b&gt;');
    expectWellFormed(plot);
  });

  it('draws throughput to scale', () => {
    const circles = [...plot.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)" r="3" fill="#0b5fa5"/g)];
    const [one, many] = circles.map(([, x, y]) => ({ x: Number(x), y: Number(y) }));
    expect(many!.x).toBeGreaterThan(one!.x);
    // 1,000 and 4,000 of 6,000 on an axis of 150 pixels; the higher is drawn above.
    expect(one!.y - many!.y).toBeCloseTo((150 * 3_000) / 6_000, 1);
  });
});
