import { describe, expect, it } from 'vitest';
import { FreshnessClock } from '../../../src/lag/freshness-clock.ts';
import { type Lsn, parseLsn } from '../../../src/lag/lsn.ts';
import { noRequirement, type ReadRequirement } from '../../../src/lag/read-requirement.ts';

const NEVER = Number.NEGATIVE_INFINITY;
const lsn = (value: number) => BigInt(value) as Lsn;
const asOf = (freshAsOfMs: number): ReadRequirement => ({ ...noRequirement, freshAsOfMs });
const readFrom = (previousNode: number, previousGeneration: number, previousReadEndMs: number) => ({
  ...noRequirement,
  previousNode,
  previousGeneration,
  previousReadEndMs,
});

describe('FreshnessClock: positions that clients ask for', () => {
  const atLeast = (minLsn: number): ReadRequirement => ({ ...noRequirement, minLsn: lsn(minLsn) });

  it('takes who has replayed them, whether or not the primary was sampled', () => {
    const clock = new FreshnessClock(3);
    expect(clock.satisfies(1, atLeast(0))).toBe(false);
    clock.replicaSample(1, 1, 2, lsn(100), 1);
    expect(clock.satisfies(1, atLeast(100))).toBe(true);
    expect(clock.satisfies(1, atLeast(101))).toBe(false);
    expect(clock.satisfies(2, atLeast(100))).toBe(false);
  });

  it('asks for everything else as well', () => {
    const clock = new FreshnessClock(3);
    clock.primarySample(10, lsn(150));
    clock.replicaSample(1, 11, 12, lsn(150), 1);
    clock.replicaSample(2, 11, 12, lsn(120), 1);
    expect(clock.satisfies(1, { ...atLeast(120), freshAsOfMs: 10 })).toBe(true);
    expect(clock.satisfies(1, { ...atLeast(120), freshAsOfMs: 11 })).toBe(false);
    expect(clock.satisfies(2, { ...atLeast(120), freshAsOfMs: 10 })).toBe(false);
    const after1 = { ...atLeast(120), ...{ previousNode: 1, previousGeneration: 1 } };
    expect(clock.satisfies(1, { ...after1, previousReadEndMs: 20 })).toBe(true);
    expect(clock.satisfies(2, { ...after1, previousReadEndMs: 20 })).toBe(false);
    expect(clock.satisfies(1, { ...after1, minLsn: lsn(151), previousReadEndMs: 20 })).toBe(false);
  });

  it('forgets positions with the epoch', () => {
    const clock = new FreshnessClock(3);
    clock.primarySample(10, lsn(150));
    clock.replicaSample(1, 11, 12, lsn(150), 1);
    expect(clock.newestPrimaryLsn).toBe(150n);
    clock.newEpoch();
    expect(clock.newestPrimaryLsn).toBeNull();
    expect(clock.satisfies(1, atLeast(100))).toBe(false);
  });
});

describe('FreshnessClock: proofs', () => {
  it('proves nothing before both sides were sampled', () => {
    const clock = new FreshnessClock(2);
    expect(clock.freshAsOfMs(1)).toBe(NEVER);
    clock.replicaSample(1, 1, 2, lsn(100), 1);
    expect(clock.freshAsOfMs(1)).toBe(NEVER);
    expect(clock.satisfies(1, asOf(0))).toBe(false);
    expect(clock.satisfies(1, noRequirement)).toBe(true);
  });

  it('vouches for the moment the primary was asked, not the moment it answered', () => {
    const clock = new FreshnessClock(2);
    // Asked at 10, answered at 30: a commit acknowledged at 20 may lie beyond position 5.
    clock.primarySample(10, lsn(5));
    clock.replicaSample(1, 31, 32, lsn(5), 1);
    expect(clock.freshAsOfMs(1)).toBe(10);
    expect(clock.satisfies(1, asOf(10))).toBe(true);
    expect(clock.satisfies(1, asOf(20))).toBe(false);
  });

  it('uses the newest sample that the replica has passed, in whichever order samples come', () => {
    const clock = new FreshnessClock(2);
    clock.primarySample(10, lsn(5));
    clock.primarySample(20, lsn(7));
    clock.replicaSample(1, 21, 22, lsn(6), 1);
    expect(clock.freshAsOfMs(1)).toBe(10);
    clock.replicaSample(1, 23, 24, lsn(7), 1);
    expect(clock.freshAsOfMs(1)).toBe(20);
    // Idle primary: the replica need not be asked again to be fresh as of a later sample.
    clock.primarySample(30, lsn(7));
    expect(clock.freshAsOfMs(1)).toBe(30);
    clock.primarySample(40, lsn(8));
    expect(clock.freshAsOfMs(1)).toBe(30);
  });

  it('ignores a primary sample that is older than one it has', () => {
    const clock = new FreshnessClock(2);
    clock.replicaSample(1, 1, 2, lsn(9), 1);
    clock.primarySample(20, lsn(7));
    clock.primarySample(10, lsn(5));
    expect(clock.freshAsOfMs(1)).toBe(20);
    expect(clock.newestPrimarySampleMs).toBe(20);
  });

  it('pitfall 14: compares positions across the 32-bit boundary', () => {
    const clock = new FreshnessClock(2);
    clock.primarySample(10, parseLsn('0/FFFFFFFF'));
    clock.primarySample(20, parseLsn('1/0'));
    clock.replicaSample(1, 21, 22, parseLsn('0/FFFFFFFF'), 1);
    expect(clock.freshAsOfMs(1)).toBe(10);
    clock.replicaSample(1, 23, 24, parseLsn('1/0'), 1);
    expect(clock.freshAsOfMs(1)).toBe(20);
  });

  it('forgets a replica that is dropped, starts again or goes back', () => {
    const clock = new FreshnessClock(2);
    clock.primarySample(10, lsn(5));
    clock.primarySample(20, lsn(7));
    clock.replicaSample(1, 21, 22, lsn(7), 1);
    clock.dropNode(1);
    expect(clock.freshAsOfMs(1)).toBe(NEVER);
    clock.replicaSample(1, 23, 24, lsn(7), 1);
    clock.replicaSample(1, 25, 26, lsn(5), 2);
    expect(clock.freshAsOfMs(1)).toBe(10);
    clock.replicaSample(1, 27, 28, lsn(4), 2);
    expect(clock.freshAsOfMs(1)).toBe(NEVER);
  });

  it('forgets everything in a new epoch, also when the primary itself went back', () => {
    const clock = new FreshnessClock(2);
    clock.primarySample(10, lsn(5));
    clock.replicaSample(1, 11, 12, lsn(5), 1);
    clock.newEpoch();
    expect(clock.freshAsOfMs(1)).toBe(NEVER);
    expect(clock.newestPrimarySampleMs).toBe(NEVER);
    clock.primarySample(20, lsn(9));
    clock.replicaSample(1, 21, 22, lsn(9), 1);
    clock.primarySample(30, lsn(8));
    expect(clock.freshAsOfMs(1)).toBe(NEVER);
    clock.replicaSample(1, 31, 32, lsn(9), 1);
    expect(clock.freshAsOfMs(1)).toBe(30);
  });
});

describe('FreshnessClock: monotonic reads', () => {
  /** Replicas 1 and 2; 1 is ahead of 2, and both are behind the primary's second sample. */
  function uneven(): FreshnessClock {
    const clock = new FreshnessClock(3);
    clock.primarySample(10, lsn(5));
    clock.primarySample(20, lsn(9));
    clock.replicaSample(1, 21, 22, lsn(7), 1);
    clock.replicaSample(2, 21, 22, lsn(6), 1);
    return clock;
  }

  it('lets a session stay on the node it read from', () => {
    expect(uneven().satisfies(1, readFrom(1, 1, 25))).toBe(true);
    expect(uneven().satisfies(2, readFrom(2, 1, 25))).toBe(true);
  });

  it('does not take a restarted node for the one it read from', () => {
    const clock = uneven();
    clock.replicaSample(1, 30, 31, lsn(7), 2);
    expect(clock.satisfies(1, readFrom(1, 1, 25))).toBe(false);
    clock.dropNode(2);
    expect(clock.satisfies(2, readFrom(2, 1, 25))).toBe(false);
  });

  it('lets it move to a node that is fresh as of the end of that read', () => {
    const clock = uneven();
    expect(clock.satisfies(2, readFrom(1, 1, 25))).toBe(false);
    expect(clock.satisfies(2, readFrom(1, 1, 10))).toBe(true);
    clock.primarySample(26, lsn(9));
    clock.replicaSample(2, 27, 28, lsn(9), 1);
    expect(clock.satisfies(2, readFrom(1, 1, 25))).toBe(true);
    // Also after the node it read from is gone.
    clock.dropNode(1);
    expect(clock.satisfies(2, readFrom(1, 1, 25))).toBe(true);
  });

  it('lets it move to a node that has replayed what the old one had after that read', () => {
    const clock = uneven();
    clock.replicaSample(2, 23, 24, lsn(7), 1);
    // Node 1 was sampled before the read ended: the read may have seen more.
    expect(clock.satisfies(2, readFrom(1, 1, 25))).toBe(false);
    clock.replicaSample(1, 26, 27, lsn(7), 1);
    expect(clock.satisfies(2, readFrom(1, 1, 25))).toBe(true);
    clock.replicaSample(1, 28, 29, lsn(8), 1);
    expect(clock.satisfies(2, readFrom(1, 1, 25))).toBe(false);
  });

  it('does not use the position of a node that restarted since that read', () => {
    const clock = uneven();
    clock.replicaSample(1, 26, 27, lsn(6), 2);
    expect(clock.satisfies(2, readFrom(1, 1, 25))).toBe(false);
  });

  it('asks for freshness as well', () => {
    const requirement = { ...readFrom(1, 1, 5), freshAsOfMs: 20 };
    expect(uneven().satisfies(1, requirement)).toBe(false);
  });
});

describe('FreshnessClock: measured lag', () => {
  it('is how long the oldest missing position is known, and is soon forgiven', () => {
    const clock = new FreshnessClock(2);
    clock.primarySample(10, lsn(5));
    // The primary idles: the position stays the same, but the lag goes on.
    for (let ms = 20; ms <= 500; ms += 10) clock.primarySample(ms, lsn(5));
    clock.replicaSample(1, 500, 510, lsn(4), 1);
    expect(clock.expectedLagMs(1, 510)).toBe(500);
    clock.replicaSample(1, 1010, 1010, lsn(5), 1);
    expect(clock.expectedLagMs(1, 1010)).toBe(250);
    expect(clock.expectedLagMs(1, 6010)).toBeLessThan(1);
  });
});
