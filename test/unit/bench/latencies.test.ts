import { describe, expect, it } from 'vitest';
import { Latencies } from '../../../bench/support/latencies.ts';

describe('Latencies', () => {
  it('has no figures before the first measurement', () => {
    expect(new Latencies().summary()).toEqual({
      count: 0,
      p50Ms: null,
      p90Ms: null,
      p99Ms: null,
      maxMs: null,
    });
  });

  it('gives percentiles within a tenth of a percent, from microseconds to seconds', () => {
    for (const unitMs of [0.001, 1, 100]) {
      const latencies = new Latencies();
      for (let one = 1; one <= 1_000; one++) latencies.record(one * unitMs);
      const { count, p50Ms, p90Ms, p99Ms, maxMs } = latencies.summary();
      expect(count).toBe(1_000);
      const expected = [500, 900, 990, 1_000];
      for (const [index, found] of [p50Ms, p90Ms, p99Ms, maxMs].entries()) {
        expect(found! / (expected[index]! * unitMs)).toBeCloseTo(1, 2.6);
      }
    }
  });

  it('adds what another has measured', () => {
    const [all, some, none] = [new Latencies(), new Latencies(), new Latencies()];
    all.record(1);
    some.record(100);
    all.add(some);
    all.add(none);
    none.add(some);
    expect(all.summary().count).toBe(2);
    expect(all.summary().maxMs).toBeCloseTo(100, 0);
    expect(all.summary().p50Ms).toBeCloseTo(1, 2);
    expect(none.summary().p50Ms).toBeCloseTo(100, 0);
  });

  it('takes a clock that did not move', () => {
    const latencies = new Latencies();
    latencies.record(0);
    expect(latencies.summary().p50Ms).toBeLessThan(0.001);
  });
});
