import { beforeEach, describe, expect, it } from 'vitest';
import type { Consistency } from '../../../src/config.ts';
import type { Monitor } from '../../../src/lag/monitor.ts';
import { noRequirement } from '../../../src/lag/read-requirement.ts';
import { Settings, settingFromSet } from '../../../src/pool/settings.ts';
import { consistencySetting, ReadFloor } from '../../../src/session/read-floor.ts';

const maxStalenessMs = 1_000;
let nowMs = 0;
beforeEach(() => {
  nowMs = 10_000;
});

function floorOf(consistency: Consistency = 'session'): ReadFloor {
  const monitor = { now: () => nowMs } as unknown as Monitor;
  return new ReadFloor(monitor, {
    consistency,
    maxStalenessMs,
    waitTimeoutMs: 0,
    onTimeout: 'primary',
    lostToken: 'error',
    fallbackReadsMax: 0,
    databases: {},
    users: {},
    sampleIntervalMs: 0,
    primaryWaitTimeoutMs: 0,
  });
}

const chosen = (level: string) =>
  Settings.of([[consistencySetting, settingFromSet(consistencySetting, `'${level}'`)]]);
const replicaRead = { node: 1, generation: 7, isPrimary: false };
const primaryAnswer = { node: 0, generation: 3, isPrimary: true };

describe('the level', () => {
  it('is that of the session, else of the configuration', () => {
    const floor = floorOf('bounded');
    expect(floor.consistencyOf(Settings.none)).toBe('bounded');
    expect(floor.consistencyOf(chosen('Eventual'))).toBe('eventual');
    expect(floor.consistencyOf(chosen('nonsense'))).toBe('bounded');
  });
});

describe('the requirement', () => {
  it('of an eventual read is none, whatever was written', () => {
    const floor = floorOf('eventual');
    floor.raise(primaryAnswer);
    expect(floor.requirement(Settings.none)).toEqual(noRequirement);
  });

  it('of a bounded read is the lag budget, whatever was written and seen', () => {
    const floor = floorOf('bounded');
    floor.raise(primaryAnswer);
    floor.raise(replicaRead);
    nowMs += 500;
    expect(floor.requirement(Settings.none)).toEqual({ ...noRequirement, freshAsOfMs: 9_500 });
  });

  it('of a session read covers its writes and what it has seen', () => {
    const floor = floorOf();
    expect(floor.requirement(Settings.none)).toEqual({ ...noRequirement, freshAsOfMs: 9_000 });
    floor.raise(primaryAnswer);
    nowMs += 10;
    floor.raise(replicaRead);
    nowMs += 10;
    expect(floor.requirement(Settings.none)).toEqual({
      freshAsOfMs: 10_000,
      previousNode: 1,
      previousGeneration: 7,
      previousReadEndMs: 10_010,
    });
    nowMs += 5_000;
    expect(floor.requirement(Settings.none).freshAsOfMs).toBe(14_020);
  });

  it.each(['eventual', 'bounded'])('keeps what was seen before a read of level %s', (level) => {
    const floor = floorOf();
    floor.requirement(Settings.none);
    floor.raise(replicaRead);
    nowMs += 10;
    floor.requirement(chosen(level));
    floor.raise({ ...replicaRead, node: 2 });
    expect(floor.requirement(Settings.none)).toMatchObject({
      freshAsOfMs: 10_000,
      previousNode: 2,
      previousReadEndMs: 10_010,
    });
    // On the same server replay has only gone forward.
    const same = floorOf();
    same.raise(replicaRead);
    same.requirement(chosen(level));
    same.raise(replicaRead);
    expect(same.requirement(Settings.none).freshAsOfMs).toBe(nowMs - maxStalenessMs);
  });

  it('never goes down while it is a session read', () => {
    const floor = floorOf();
    let before = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < 100; i++) {
      nowMs += (i * 7919) % 700;
      if (i % 3 === 0) floor.raise(i % 2 === 0 ? primaryAnswer : replicaRead);
      const { freshAsOfMs } = floor.requirement(Settings.none);
      expect(freshAsOfMs).toBeGreaterThanOrEqual(before);
      before = freshAsOfMs;
    }
  });
});
