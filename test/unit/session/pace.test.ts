import { describe, expect, it } from 'vitest';
import { Pace } from '../../../src/session/pace.ts';

/** Of runs behind each other. */
function paceOf(...tookMs: number[]): Pace {
  const pace = new Pace();
  let nowMs = 5_000;
  for (const ms of tookMs) {
    nowMs += ms;
    pace.note(ms, 100, nowMs);
  }
  return pace;
}

const times = (count: number, ms: number) => Array<number>(count).fill(ms);

describe('a statement is short', () => {
  it('when it was', () => {
    expect(paceOf(0.3).isShort).toBe(true);
  });

  it('when it can be, on a machine that has other things to do', () => {
    expect(paceOf(9, 14, 0.8, 12, 11).isShort).toBe(true);
  });

  it('when a few of the many runs of the last second were', () => {
    const pace = new Pace();
    // Ten thousand in a second, on as many connections as there are.
    for (let run = 0; run < 50_000; run++) pace.note(run % 1_000 === 0 ? 1 : 9, 100, run / 10);
    expect(pace.isShort).toBe(true);
  });

  it('when the machine has stood still for a moment', () => {
    const pace = paceOf(0.3);
    for (let run = 0; run < 1_000; run++)
      pace.noteShared(run % 100 === 0 ? 400 : 0.3, 100, run * 10);
    expect(pace.isShort).toBe(true);
  });
});

describe('a statement is not short', () => {
  it('before it has run', () => {
    expect(paceOf().isShort).toBe(false);
  });

  it('when it never was', () => {
    expect(paceOf(9, 14, 12, 11).isShort).toBe(false);
  });

  it('when it turned out to be long behind others, until some time later', () => {
    const pace = paceOf(0.3);
    for (let run = 0; run < 100; run++) pace.noteShared(30, 100, 10_000 + run * 30);
    expect(pace.isShort).toBe(false);
    for (let run = 0; run < 100; run++) pace.note(0.3, 100, 13_000 + run * 30);
    expect(pace.isShort).toBe(false);
    pace.note(0.3, 100, 25_000);
    expect(pace.isShort).toBe(true);
  });

  it('any more, when it has long ceased to be', () => {
    expect(paceOf(0.3, ...times(100, 40)).isShort).toBe(false);
  });

  it('for some time after it has kept a server busy', () => {
    expect(paceOf(...times(1_000, 0.3), 2_000).isShort).toBe(false);
    expect(paceOf(0.3, 2_000, ...times(20, 0.3)).isShort).toBe(false);
    expect(paceOf(0.3, 2_000, ...times(200, 0.3)).isShort).toBe(true);
  });

  it('when it returns much', () => {
    const pace = new Pace();
    for (let round = 0; round < 100; round++) pace.note(0.3, 1_000_000, round);
    expect(pace.isShort).toBe(false);
    for (let round = 0; round < 100; round++) pace.note(0.3, 100, round);
    expect(pace.isShort).toBe(true);
  });
});
