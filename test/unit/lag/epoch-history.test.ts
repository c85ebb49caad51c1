import { describe, expect, it } from 'vitest';
import { EpochHistory, type PrimaryRun } from '../../../src/lag/epoch-history.ts';
import type { Lsn } from '../../../src/lag/lsn.ts';
import { TimelineHistory } from '../../../src/lag/timeline-history.ts';

const lsn = (value: number) => BigInt(value) as Lsn;

/** Node 0 on timeline 1, cleanly started. */
const first: PrimaryRun = {
  node: 0,
  postmasterStartTime: 'first',
  timeline: 1,
  recoveryEndLsn: null,
  recoveredOnTimeline: null,
};

/** Node 1, seen as a replica on the timeline before. */
const promoted = (timeline: number, switchLsn: number): PrimaryRun => ({
  node: timeline,
  postmasterStartTime: `of ${timeline}`,
  timeline,
  recoveryEndLsn: lsn(switchLsn),
  recoveredOnTimeline: timeline - 1,
});

/** A sample every 10 ms from `fromMs` to `toMs`, at the position of the same number. */
function sample(history: EpochHistory, fromMs: number, toMs: number, unflushed = 0): void {
  for (let ms = fromMs; ms <= toMs; ms += 10) {
    history.add(ms, ms + 1, lsn(ms), lsn(ms - unflushed));
  }
}

function started(): EpochHistory {
  const history = new EpochHistory();
  history.enter(first, 5);
  sample(history, 10, 100);
  return history;
}

describe('EpochHistory: one primary', () => {
  it('knows nothing before the first, but that nothing was before everything', () => {
    const history = new EpochHistory();
    expect(history.survived(Number.NEGATIVE_INFINITY)).toBe(true);
    expect(history.survived(1)).toBe(false);
    expect(history.timelines).toBeNull();
  });

  it('has lost nothing while it runs', () => {
    const history = started();
    for (const ms of [1, 50, 100, 101, 1e9]) expect(history.survived(ms)).toBe(true);
  });

  it('has lost nothing when the monitor connects anew, or after a clean restart', () => {
    const history = started();
    history.enter({ ...first }, 150);
    expect(history.survived(149)).toBe(true);
    sample(history, 160, 200);
    history.enter({ ...first, postmasterStartTime: 'second' }, 250);
    sample(history, 260, 300);
    for (const ms of [1, 100, 155, 249, 301]) expect(history.survived(ms)).toBe(true);
  });

  it('has lost in a crash what came after the last sample on disk', () => {
    const history = new EpochHistory();
    history.enter(first, 5);
    sample(history, 10, 100, 25);
    const second = { ...first, postmasterStartTime: 'second', recoveryEndLsn: lsn(95) };
    history.enter(second, 150);
    expect(history.survived(70)).toBe(true);
    // 75 is on disk for sure. What lies above may be what a run wrote that nobody saw.
    expect(history.survived(71)).toBe(false);
    expect(history.survived(150)).toBe(false);
    expect(history.survived(151)).toBe(true);
    expect(history.survived(Number.NEGATIVE_INFINITY)).toBe(true);
  });

  it('believes where recovery ended when that is lower', () => {
    const history = started();
    history.enter({ ...first, postmasterStartTime: 'second', recoveryEndLsn: lsn(64) }, 150);
    expect(history.survived(60)).toBe(true);
    expect(history.survived(61)).toBe(false);
  });

  it('notices the crash of a backend, which the postmaster survives', () => {
    const history = started();
    history.enter({ ...first, recoveryEndLsn: lsn(64) }, 150);
    expect(history.survived(100)).toBe(false);
    sample(history, 160, 200);
    history.enter({ ...first, recoveryEndLsn: lsn(180) }, 250);
    expect(history.survived(180)).toBe(true);
    expect(history.survived(200)).toBe(false);
    expect(history.survived(100)).toBe(false);
  });

  it('trusts nothing of before when another log was put in place', () => {
    const history = started();
    history.enter({ ...first, postmasterStartTime: 'second' }, 150);
    history.add(160, 161, lsn(40), lsn(40));
    expect(history.survived(10)).toBe(false);
    expect(history.survived(161)).toBe(false);
    expect(history.survived(162)).toBe(true);
  });

  it('trusts nothing of before when another server is on the same timeline', () => {
    const history = started();
    history.enter({ ...first, node: 1, recoveryEndLsn: lsn(90) }, 150);
    expect(history.survived(10)).toBe(false);
    expect(history.survived(151)).toBe(true);
  });
});

describe('EpochHistory: promotions', () => {
  it('keeps what lies below the switch point', () => {
    const history = started();
    history.enter(promoted(2, 64), 150);
    sample(history, 160, 200);
    expect(history.survived(60)).toBe(true);
    expect(history.survived(61)).toBe(false);
    expect(history.survived(150)).toBe(false);
    expect(history.survived(155)).toBe(true);
    expect(history.timelines!.survives(1, lsn(64))).toBe('yes');
    expect(history.timelines!.survives(1, lsn(65))).toBe('lost');
  });

  it('can lose later what survived the first one', () => {
    const history = started();
    history.enter(promoted(2, 64), 150);
    sample(history, 160, 200);
    history.learn(TimelineHistory.parse(2, '1\t0/40\tx'));
    // Timeline 3 was made from timeline 1, by a server that had less.
    history.enter({ ...promoted(3, 30), recoveredOnTimeline: 1 }, 250);
    expect(history.survived(20)).toBe(false);
    history.learn(TimelineHistory.parse(3, '1\t0/1E\tx'));
    expect(history.survived(30)).toBe(true);
    for (const ms of [31, 60, 155, 200, 250]) expect(history.survived(ms)).toBe(false);
    expect(history.survived(251)).toBe(true);
  });

  it('keeps through two in a row what is in both', () => {
    const history = started();
    history.enter(promoted(2, 90), 150);
    sample(history, 160, 200);
    history.enter(promoted(3, 181), 250);
    for (const ms of [90, 155, 180, 251]) expect(history.survived(ms)).toBe(true);
    for (const ms of [91, 150, 181, 250]) expect(history.survived(ms)).toBe(false);
    expect(history.timelines!.survives(1, lsn(90))).toBe('yes');
    expect(history.timelines!.survives(2, lsn(182))).toBe('lost');
  });

  it('claims nothing of a promotion that it has not seen, until the history comes', () => {
    for (const unseen of [
      { ...promoted(2, 64), recoveredOnTimeline: null },
      { ...promoted(3, 64), recoveredOnTimeline: 1 },
      { ...promoted(2, 64), recoveryEndLsn: null },
    ]) {
      const history = started();
      history.enter(unseen, 150);
      expect(history.survived(10)).toBe(false);
      expect(history.survived(151)).toBe(true);
      expect(history.timelines!.survives(1, lsn(1))).toBe('unknown');
      history.learn(TimelineHistory.parse(9, '1\t0/40\tx'));
      expect(history.survived(10)).toBe(false);
      history.learn(TimelineHistory.parse(unseen.timeline!, '1\t0/40\tx'));
      expect(history.survived(60)).toBe(true);
      expect(history.survived(65)).toBe(false);
    }
  });

  it('takes the last position on disk when the old primary may have crashed unseen', () => {
    const history = new EpochHistory();
    history.enter(first, 5);
    sample(history, 10, 100, 25);
    history.enter(promoted(2, 300), 150);
    expect(history.survived(70)).toBe(true);
    expect(history.survived(80)).toBe(false);
  });

  it('forgets the oldest of many, towards lost', () => {
    const history = started();
    for (let timeline = 2; timeline < 12; timeline++) {
      const atMs = timeline * 100;
      history.enter(promoted(timeline, atMs - 5), atMs);
      sample(history, atMs + 10, atMs + 90);
    }
    expect(history.survived(50)).toBe(false);
    expect(history.survived(1050)).toBe(true);
    expect(history.survived(Number.NEGATIVE_INFINITY)).toBe(true);
  });
});
