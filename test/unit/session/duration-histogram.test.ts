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
    fc.constantFrom(0, Number.POSITIVE_INFINITY),
  );
  fc.assert(
    fc.property(fc.array(duration), (durations) => {
      const histogram = new DurationHistogram();
      for (const ms of durations) histogram.observe(ms);
      const bounds = [...bucketBoundsMs, Number.POSITIVE_INFINITY];
      expect(histogram.cumulativeCounts()).toEqual(
        bounds.map((bound) => durations.filter((ms) => ms <= bound).length),
      );
      const finite = durations.filter((ms) => Number.isFinite(ms));
      expect(histogram.sumMs).toBe(finite.reduce((sum, ms) => sum + ms, 0));
    }),
  );
});

it.each([-1, Number.NaN])('refuses %s', (ms) => {
  const histogram = new DurationHistogram();
  expect(() => histogram.observe(ms)).toThrow('a duration is not negative');
  expect(histogram.cumulativeCounts().at(-1)).toBe(0);
});
