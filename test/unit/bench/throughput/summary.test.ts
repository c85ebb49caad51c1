import { describe, expect, it } from 'vitest';
import { median, spreadOf, summarise } from '../../../../bench/throughput/summary.ts';
import { measurement } from './results-of-a-run.ts';

describe('medians and spreads', () => {
  it('are of the numbers, not of their texts', () => {
    expect(median([10, 9, 100])).toBe(10);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(spreadOf([3, null, 1, 2])).toEqual({ median: 2, min: 1, max: 3 });
    expect(spreadOf([null, null])).toBeNull();
  });
});

describe('the summary of a point', () => {
  const runs = (...rates: number[]) =>
    rates.map((transactionsPerSecond) => measurement({ transactionsPerSecond }));

  it('compares within each repetition: what slows all of one down does not count', () => {
    const [direct, ours] = summarise(
      new Map([
        ['direct', runs(100, 1_000, 10)],
        ['tidemark', runs(200, 1_500, 30)],
      ]),
      ['direct'],
    );
    // 2, 1.5 and 3 times; the ratio of the medians alike would be 2, that of the means 1.6.
    expect(ours!.throughputTo).toEqual({ direct: 2 });
    expect(ours!.transactionsPerSecond).toEqual({ median: 200, min: 30, max: 1_500 });
    expect(direct!.throughputTo).toEqual({});
  });

  it('has no ratio to what was not measured or did nothing', () => {
    const [, ours] = summarise(
      new Map([
        ['pgbouncer', runs(0, 0)],
        ['tidemark', runs(200, 300)],
      ]),
      ['direct', 'pgbouncer'],
    );
    expect(ours!.throughputTo).toEqual({});
    expect(ours!.cpuTo).toEqual({ pgbouncer: 1 });
  });

  it('adds up what must not happen, and says each error once', () => {
    const [one] = summarise(
      new Map([
        [
          'pgpool',
          [
            measurement({ ownReads: 10, staleReads: 2, failedTransactions: 1, error: 'aborted' }),
            measurement({ ownReads: 30, staleReads: 0, failedTransactions: 2, error: 'aborted' }),
            measurement({ ownReads: null, staleReads: null }),
          ],
        ],
      ]),
      [],
    );
    expect(one).toMatchObject({
      ...{ ownReads: 40, staleReads: 2, failedTransactions: 3, errors: ['aborted'] },
    });
  });
});
