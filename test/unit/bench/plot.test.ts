import { describe, expect, it } from 'vitest';
import { stalenessPlot } from '../../../bench/staleness/plot.ts';
import { expectWellFormed } from '../../support/well-formed-svg.ts';
import { resultsOfARun } from './results-of-a-run.ts';

const barHeight = '8';

/** Widths of the share bars by their colour, in the order of the drawing. */
function barWidths(plot: string, colour: string): number[] {
  return [...plot.matchAll(/<rect [^>]*width="([\d.]+)" height="(\d+)" fill="(#\w+)"/g)]
    .filter(([, width, height, fill]) => fill === colour && height === barHeight && width !== '3')
    .map(([, width]) => Number(width));
}

describe('the plot of the staleness bench', () => {
  const plot = stalenessPlot(resultsOfARun());

  it('is well-formed, whatever the names are', () => {
    expect(plot).toContain('Two DSNs &lt;a &amp; b&gt;');
    expectWellFormed(plot);
  });

  it('draws shares to scale, and a trace where there is nothing', () => {
    const [healthy, behind] = ['#8ecae6', '#2a7fb8'].map((colour) => barWidths(plot, colour));
    // Stale and on replicas, of the primary and then of the two DSNs.
    expect(healthy).toEqual([1, 1, 1, 230]);
    expect(behind).toEqual([1, 1, 230 * 0.4, 230]);
  });

  it('takes a run in which nothing was read', () => {
    const results = resultsOfARun();
    const reads = { count: 0, p50Ms: null, p90Ms: null, p99Ms: null, maxMs: null };
    const delays = results.delays.map((delay) => ({
      ...delay,
      outcomes: delay.outcomes.map((outcome) => ({ ...outcome, reads })),
    }));
    expect(stalenessPlot({ ...results, delays })).not.toMatch(/NaN|undefined|Infinity|null/);
  });
});
