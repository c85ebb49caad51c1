import { expect, it } from 'vitest';
import { CancelKeys, workerOf } from '../../../src/session/cancel-keys.ts';

const single = { index: 0, count: 1 };

it('finds the holder by the whole key, and only by that', () => {
  const keys = new CancelKeys<string>(single);
  const short = keys.issue(0, () => 'short').key;
  const long = keys.issue(2, () => 'long').key;
  expect(short.secret).toHaveLength(4);
  expect(keys.issue(1, () => 'older').key.secret).toHaveLength(4);
  expect(long.secret).toHaveLength(32);
  expect(keys.find(short.pid, short.secret)).toBe('short');
  expect(keys.find(long.pid, Buffer.from(long.secret))).toBe('long');
  expect(keys.find(short.pid, long.secret)).toBeNull();
  expect(keys.find(long.pid, short.secret)).toBeNull();
  expect(keys.find(long.pid, long.secret.subarray(0, 4))).toBeNull();
  expect(keys.find(long.pid, Buffer.alloc(0))).toBeNull();
  const wrong = Buffer.from(short.secret);
  wrong[3]! ^= 1;
  expect(keys.find(short.pid, wrong)).toBeNull();
  keys.revoke(short.pid);
  expect(keys.find(short.pid, short.secret)).toBeNull();
});

it('gives out numbers that say which worker has done so', () => {
  for (const count of [2, 3, 64]) {
    for (const index of [0, 1, count - 1]) {
      const keys = new CancelKeys<null>({ index, count });
      for (let i = 0; i < 200; i++) {
        const { pid } = keys.issue(0, () => null).key;
        expect(workerOf(pid, count)).toBe(index);
        expect(pid > 2 ** 22 && pid <= 0x7fff_ffff).toBe(true);
      }
    }
  }
  expect(workerOf(4711, 2)).toBeNull();
});

it('gives out distinct positive 31-bit process ids that no process has', () => {
  const keys = new CancelKeys<number>(single);
  const pids = Array.from({ length: 2000 }, (_, i) => keys.issue(0, () => i).key.pid);
  expect(new Set(pids).size).toBe(pids.length);
  for (const pid of pids) expect(pid > 2 ** 22 && pid <= 0x7fff_ffff).toBe(true);
});
