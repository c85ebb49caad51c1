import { beforeEach, describe, expect, it } from 'vitest';
import type { Consistency } from '../../../src/config.ts';
import type { Lsn } from '../../../src/lag/lsn.ts';
import type { Monitor } from '../../../src/lag/monitor.ts';
import { noRequirement } from '../../../src/lag/read-requirement.ts';
import { ReadFloor } from '../../../src/session/read-floor.ts';
import { WriteFloor } from '../../../src/session/write-floor.ts';
import { freshnessConfig, policyWith } from './policies.ts';

const { maxStalenessMs } = freshnessConfig;
let nowMs = 0;
let epoch = 1;
let presentPrimary = 0;
/** Moments up to this one are part of the present history. */
let survivedMs = 0;
/** So are moments after this one. */
let enteredMs = 0;
beforeEach(() => {
  nowMs = 10_000;
  epoch = 1;
  presentPrimary = 0;
  survivedMs = Number.POSITIVE_INFINITY;
  enteredMs = Number.POSITIVE_INFINITY;
});

const writes = () => new WriteFloor();

function floorOf(writeFloor = writes()): ReadFloor {
  const monitor = {
    now: () => nowMs,
    primary: () => presentPrimary,
    get epoch() {
      return epoch;
    },
    survived: (momentMs: number) => momentMs <= survivedMs || momentMs > enteredMs,
  } as unknown as Monitor;
  return new ReadFloor(monitor, writeFloor);
}

const at = (consistency: Consistency) => policyWith({ consistency });
const session = at('session');
const { budget } = session;
const replicaRead = { node: 1, generation: 7, isPrimary: false };
const primaryAnswer = { node: 0, generation: 3, isPrimary: true };

describe('the requirement', () => {
  it('of an eventual read is none, whatever was written', () => {
    const floor = floorOf();
    floor.raise(primaryAnswer);
    expect(floor.requirement(at('eventual'), null)).toEqual(noRequirement);
  });

  it('of a bounded read is the lag budget, whatever was written and seen', () => {
    const floor = floorOf();
    floor.raise(primaryAnswer);
    floor.raise(replicaRead);
    nowMs += 500;
    expect(floor.requirement(at('bounded'), null)).toEqual({
      ...noRequirement,
      freshAsOfMs: 9_500,
      budget,
    });
  });

  it('of a session read covers its writes and what it has seen', () => {
    const floor = floorOf();
    expect(floor.requirement(session, null)).toEqual({
      ...noRequirement,
      freshAsOfMs: 9_000,
      budget,
    });
    floor.raise(primaryAnswer);
    nowMs += 10;
    floor.raise(replicaRead);
    nowMs += 10;
    expect(floor.requirement(session, null)).toEqual({
      freshAsOfMs: 10_000,
      previousNode: 1,
      previousGeneration: 7,
      previousReadEndMs: 10_010,
      minLsn: null,
      budget,
    });
    nowMs += 5_000;
    expect(floor.requirement(session, null).freshAsOfMs).toBe(14_020);
  });

  it('of a session read covers what it was notified of', () => {
    const floor = floorOf();
    floor.notified();
    const notifiedMs = nowMs;
    nowMs += 10;
    expect(floor.requirement(session, null).freshAsOfMs).toBe(notifiedMs);
  });

  it.each(['eventual', 'bounded'] as const)(
    'keeps what was seen before a read of level %s',
    (level) => {
      const floor = floorOf();
      floor.requirement(session, null);
      floor.raise(replicaRead);
      nowMs += 10;
      floor.requirement(at(level), null);
      floor.raise({ ...replicaRead, node: 2 });
      expect(floor.requirement(session, null)).toMatchObject({
        freshAsOfMs: 10_000,
        previousNode: 2,
        previousReadEndMs: 10_010,
      });
      // On the same server replay has only gone forward.
      const same = floorOf();
      same.raise(replicaRead);
      same.requirement(at(level), null);
      same.raise(replicaRead);
      expect(same.requirement(session, null).freshAsOfMs).toBe(nowMs - maxStalenessMs);
    },
  );

  it('never goes down while it is a session read', () => {
    const floor = floorOf();
    let before = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < 100; i++) {
      nowMs += (i * 7919) % 700;
      if (i % 3 === 0) floor.raise(i % 2 === 0 ? primaryAnswer : replicaRead);
      const { freshAsOfMs } = floor.requirement(session, null);
      expect(freshAsOfMs).toBeGreaterThanOrEqual(before);
      before = freshAsOfMs;
    }
  });

  it('of a global read covers what any session wrote, and its own', () => {
    const shared = writes();
    const floor = floorOf(shared);
    floor.raise(primaryAnswer);
    nowMs += 10;
    shared.raise(nowMs);
    nowMs += 10;
    floor.raise(replicaRead);
    expect(floor.requirement(at('global'), null)).toMatchObject({
      freshAsOfMs: 10_010,
      previousNode: 1,
    });
    expect(floor.requirement(session, null).freshAsOfMs).toBe(10_000);
    expect(floorOf(shared).requirement(at('global'), null).freshAsOfMs).toBe(10_010);
  });

  it('of a strong read is the present moment', () => {
    const floor = floorOf();
    floor.raise(primaryAnswer);
    nowMs += 10;
    expect(floor.requirement(at('strong'), null)).toEqual({
      ...noRequirement,
      freshAsOfMs: 10_010,
    });
  });

  it.each(['eventual', 'bounded', 'session', 'global', 'strong'] as const)(
    'of a read of level %s has the token beside everything else',
    (level) => {
      const lsn = 77n as Lsn;
      const floor = floorOf();
      expect(floor.requirement(at(level), lsn)).toEqual({
        ...floor.requirement(at(level), null),
        minLsn: lsn,
      });
    },
  );
});

describe('a change of history', () => {
  it('that took what the session had is told once, and forgotten', () => {
    const floor = floorOf();
    floor.raise(primaryAnswer);
    nowMs += 10;
    floor.raise(replicaRead);
    expect(floor.wasLost()).toBe(false);
    epoch = 2;
    survivedMs = 10_005;
    expect(floor.wasLost()).toBe(true);
    expect(floor.wasLost()).toBe(false);
    expect(floor.requirement(session, null)).toMatchObject({
      freshAsOfMs: nowMs - maxStalenessMs,
      previousNode: -1,
    });
  });

  it('is said also when the next answer came before anybody asked', () => {
    const floor = floorOf();
    floor.raise(primaryAnswer);
    epoch = 2;
    presentPrimary = 2;
    survivedMs = 9_000;
    enteredMs = 10_020;
    nowMs += 50;
    // A request that waited for the new primary.
    floor.raise({ ...primaryAnswer, node: 2 });
    expect(floor.requirement(session, null)).toMatchObject({
      freshAsOfMs: 10_050,
      previousNode: 2,
    });
    expect(floor.wasLost()).toBe(true);
    expect(floor.wasLost()).toBe(false);
  });

  it('is told when a former primary answers late, and what it said counts for nothing', () => {
    const floor = floorOf();
    epoch = 2;
    presentPrimary = 2;
    floor.raise(primaryAnswer);
    expect(floor.wasLost()).toBe(true);
    expect(floor.requirement(session, null)).toMatchObject({
      freshAsOfMs: nowMs - maxStalenessMs,
      previousNode: -1,
    });
    // While there is none, the next one decides.
    presentPrimary = -1;
    floor.raise(primaryAnswer);
    expect(floor.wasLost()).toBe(false);
  });

  it('that took nothing of it is nobody’s business', () => {
    const idle = floorOf();
    const floor = floorOf();
    floor.raise(primaryAnswer);
    epoch = 2;
    survivedMs = 10_000;
    expect(floor.wasLost()).toBe(false);
    expect(floor.requirement(session, null).freshAsOfMs).toBe(10_000);
    survivedMs = 0;
    expect(idle.wasLost()).toBe(false);
  });
});
