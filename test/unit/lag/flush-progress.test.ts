import { describe, expect, it } from 'vitest';
import { FlushProgress } from '../../../src/lag/flush-progress.ts';
import type { Lsn } from '../../../src/lag/lsn.ts';

const lsn = (position: number) => BigInt(position) as Lsn;

function progress(...samples: readonly (readonly [number, number, number])[]): FlushProgress {
  const flush = new FlushProgress();
  for (const [sentAtMs, insert, flushed] of samples) flush.add(sentAtMs, lsn(insert), lsn(flushed));
  return flush;
}

describe('FlushProgress', () => {
  it('expects nothing of what is on disk, or of what nobody has seen', () => {
    expect(new FlushProgress().expectedMs(lsn(100), 5)).toBe(-Infinity);
    expect(new FlushProgress().isFlushed(lsn(100))).toBe(true);
    const flush = progress([0, 200, 100]);
    expect(flush.isFlushed(lsn(100))).toBe(true);
    expect(flush.expectedMs(lsn(100), 5)).toBe(-Infinity);
    expect(flush.isFlushed(lsn(101))).toBe(false);
  });

  it('expects what waits to wait as long again', () => {
    const flush = progress([10, 200, 100], [11, 200, 100]);
    expect(flush.expectedMs(lsn(200), 10)).toBe(10);
    expect(flush.expectedMs(lsn(200), 13)).toBe(16);
    expect(flush.expectedMs(lsn(150), 60)).toBe(110);
  });

  it('begins anew when the log got as far as it had been', () => {
    const moving = progress([0, 200, 100], [10, 300, 200]);
    expect(moving.expectedMs(lsn(300), 12)).toBe(14);
    const stuck = progress([0, 200, 100], [10, 300, 199]);
    expect(stuck.expectedMs(lsn(300), 12)).toBe(24);
  });

  it('expects the next wait to be as long as the one before was seen to be', () => {
    const slow = progress([0, 200, 100], [90, 200, 100], [190, 200, 200], [300, 400, 200]);
    expect(slow.expectedMs(lsn(400), 301)).toBe(390);
    // Seen once and flushed when it was looked at again: nothing says that it waited.
    const fast = progress([0, 200, 100], [90, 200, 200], [300, 400, 200]);
    expect(fast.expectedMs(lsn(400), 301)).toBe(302);
  });

  it('forgets everything with its epoch', () => {
    const flush = progress([0, 200, 100], [90, 200, 100], [190, 400, 200]);
    flush.clear();
    expect(flush.isFlushed(lsn(400))).toBe(true);
    flush.add(200, lsn(20), lsn(10));
    expect(flush.expectedMs(lsn(20), 201)).toBe(202);
  });
});
