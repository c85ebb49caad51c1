import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatLsn, type Lsn, parseLsn } from '../../../src/lag/lsn.ts';
import { TimelineHistory, TimelineHistorySyntaxError } from '../../../src/lag/timeline-history.ts';

const lsn = (value: number) => BigInt(value) as Lsn;

describe('TimelineHistory.parse', () => {
  it('reads what writeTimeLineHistory writes, with comments and blank lines', () => {
    const history = TimelineHistory.parse(
      4,
      '1\t0/30000A0\tno recovery target specified\n\n# a comment\n  \t\n  2\t0/5000000\tbefore 2000-01-01\n3\t1/A\n',
    );
    expect(history.timeline).toBe(4);
    expect(history.switches).toEqual([
      { timeline: 1, switchLsn: parseLsn('0/30000A0') },
      { timeline: 2, switchLsn: parseLsn('0/5000000') },
      { timeline: 3, switchLsn: parseLsn('1/A') },
    ]);
  });

  it.each([
    'garbage',
    '1',
    '1\t',
    '1\t0',
    '1\t0/G\tx',
    '0\t0/1\tx',
    '-1\t0/1\tx',
    '1\t0/1x',
    '2\t0/1\n1\t0/2\n',
    '1\t0/1\n1\t0/2\n',
    '4\t0/1\n',
    '5\t0/1\n',
  ])('refuses %j', (text) => {
    expect(() => TimelineHistory.parse(4, text)).toThrow(TimelineHistorySyntaxError);
  });

  it('throws nothing else, whatever it is given', () => {
    fc.assert(
      fc.property(fc.nat(5), fc.string({ unit: 'binary' }), (timeline, text) => {
        try {
          TimelineHistory.parse(timeline, text);
        } catch (error) {
          if (!(error instanceof TimelineHistorySyntaxError)) throw error;
        }
      }),
    );
  });
});

describe('TimelineHistory: what survives', () => {
  const history = TimelineHistory.parse(5, '1\t0/64\tx\n3\t0/C8\tx\n');

  it('takes ancestors up to their switch points', () => {
    expect(history.survives(5, lsn(1_000_000))).toBe('yes');
    expect(history.survives(1, lsn(100))).toBe('yes');
    expect(history.survives(1, lsn(101))).toBe('lost');
    expect(history.survives(3, lsn(200))).toBe('yes');
    expect(history.survives(3, lsn(201))).toBe('lost');
  });

  it('knows nothing of timelines that are no ancestors', () => {
    for (const timeline of [2, 4, 6]) expect(history.survives(timeline, lsn(1))).toBe('unknown');
    expect(new TimelineHistory(9, []).survives(1, lsn(1))).toBe('unknown');
  });

  it('takes the lower of two switch points when the later one lies below the earlier', () => {
    // A standby that was to follow timeline 2 and was promoted before it got to where that began.
    const early = TimelineHistory.parse(3, '1\t0/64\tx\n2\t0/50\tx\n');
    expect(early.survives(1, lsn(80))).toBe('yes');
    expect(early.survives(1, lsn(81))).toBe('lost');
    expect(early.survives(2, lsn(81))).toBe('lost');
  });

  it('goes on after a promotion', () => {
    const next = history.continuedBy(7, lsn(300));
    expect(next.timeline).toBe(7);
    expect(next.survives(5, lsn(300))).toBe('yes');
    expect(next.survives(5, lsn(301))).toBe('lost');
    expect(next.survives(3, lsn(201))).toBe('lost');
    const text = next.switches.map(
      ({ timeline, switchLsn }) => `${timeline}\t${formatLsn(switchLsn)}\tx`,
    );
    expect(TimelineHistory.parse(7, text.join('\n')).switches).toEqual(next.switches);
  });
});
