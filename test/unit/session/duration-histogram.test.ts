import fc from 'fast-check';
import { expect, it } from 'vitest';
import { bucketBoundsMs, DurationHistogram } from '../../../src/session/duration-histogram.ts';

it('has bounds in rising order', () => {
  expect(bucketBoundsMs).toEqual([...new Set(bucketBoundsMs)].toSorted((a, b) => a - b));
});

it('counts every duration in each bucket whose bound it does not exceed', () => {
  const duration = fc.oneof(
    fc.constantFrom(...bucketBoundsMs),
    fc.double({ min: 0, max: 1_000_000, noNaN: true }),
    fc.constant(0),
  );
  fc.assert(
    fc.property(fc.array(duration), (durations) => {
      const histogram = new DurationHistogram();
      for (const ms of durations) histogram.observe(ms);
      const bounds = [...bucketBoundsMs, Number.POSITIVE_INFINITY];
      expect(histogram.cumulativeCounts()).toEqual(
        bounds.map((bound) => durations.filter((ms) => ms <= bound).length),
      );
      expect(histogram.sumMs).toBe(durations.reduce((sum, ms) => sum + ms, 0));
    }),
  );
});

// One of these would make every mean from then on meaningless.
it.each([-1, Number.NaN, Number.POSITIVE_INFINITY])('refuses %s', (ms) => {
  const histogram = new DurationHistogram();
  expect(() => histogram.observe(ms)).toThrow('no duration');
  expect(histogram.cumulativeCounts().at(-1)).toBe(0);
});
