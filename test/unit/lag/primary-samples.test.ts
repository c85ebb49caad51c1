import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Lsn } from '../../../src/lag/lsn.ts';
import { PrimarySamples } from '../../../src/lag/primary-samples.ts';

const lsn = (value: number) => BigInt(value) as Lsn;

describe('PrimarySamples', () => {
  it('knows nothing without samples and below the first', () => {
    const samples = new PrimarySamples();
    expect(samples.freshAsOfMs(lsn(5))).toBe(Number.NEGATIVE_INFINITY);
    expect(samples.firstBeyondMs(lsn(5))).toBe(Number.POSITIVE_INFINITY);
    samples.add(10, lsn(6));
    expect(samples.freshAsOfMs(lsn(5))).toBe(Number.NEGATIVE_INFINITY);
    expect(samples.freshAsOfMs(lsn(6))).toBe(10);
  });

  it('uses the latest time that a position was seen for proofs, the first for lag', () => {
    const samples = new PrimarySamples();
    samples.add(10, lsn(6));
    samples.add(20, lsn(6));
    samples.add(30, lsn(6));
    samples.add(40, lsn(9));
    expect(samples.size).toBe(2);
    expect(samples.freshAsOfMs(lsn(6))).toBe(30);
    expect(samples.freshAsOfMs(lsn(8))).toBe(30);
    expect(samples.freshAsOfMs(lsn(9))).toBe(40);
    expect(samples.firstBeyondMs(lsn(5))).toBe(10);
    expect(samples.firstBeyondMs(lsn(6))).toBe(40);
  });

  it('refuses samples out of order', () => {
    const samples = new PrimarySamples();
    samples.add(10, lsn(6));
    expect(() => samples.add(9, lsn(7))).toThrow();
    expect(() => samples.add(11, lsn(5))).toThrow();
  });

  it('stays bounded, never proves more than all samples would, and loses little', () => {
    const steps = fc.record({
      // From 5000 samples a second, as while many reads wait, to one a second.
      everyMs: fc.constantFrom(0.2, 1, 20, 100, 1000),
      count: fc.constantFrom(6000, 20_000),
      lagMs: fc.double({ min: 0, max: 3_600_000, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(steps, { minLength: 1, maxLength: 4 }), (runs) => {
        const samples = new PrimarySamples();
        const all: { atMs: number; at: number }[] = [];
        let atMs = 0;
        for (const run of runs) {
          for (let i = 0; i < run.count; i++) {
            atMs += run.everyMs;
            samples.add(atMs, lsn(all.length));
            all.push({ atMs, at: all.length });
          }
          expect(samples.size).toBeLessThanOrEqual(4096);
          const wantedMs = atMs - run.lagMs;
          const exact = all.findLast((sample) => sample.atMs <= wantedMs);
          if (exact === undefined) continue;
          const proven = samples.freshAsOfMs(lsn(exact.at));
          expect(proven).toBeLessThanOrEqual(exact.atMs);
          expect(exact.atMs - proven).toBeLessThanOrEqual((atMs - proven) / 16 + 1e-6);
        }
      }),
      { numRuns: 20 },
    );
  });

  it('keeps every sample of the last second while there is room', () => {
    const samples = new PrimarySamples();
    for (let i = 0; i < 50_000; i++) samples.add(i, lsn(i));
    for (let i = 49_000; i < 50_000; i++) expect(samples.freshAsOfMs(lsn(i))).toBe(i);
  });

  it('still has a bound for a lag of a day', () => {
    const samples = new PrimarySamples();
    const dayMs = 86_400_000;
    for (let ms = 0; ms <= dayMs; ms += 100) samples.add(ms, lsn(ms));
    for (const lagMs of [60_000, 3_600_000, dayMs / 2]) {
      const proven = samples.freshAsOfMs(lsn(dayMs - lagMs));
      expect(proven).toBeLessThanOrEqual(dayMs - lagMs);
      expect(dayMs - proven).toBeLessThanOrEqual((lagMs * 16) / 15);
    }
  });
});
