import { expect, it } from 'vitest';
import { FallbackLimit } from '../../../src/session/fallback-limit.ts';

it('gives places in the order in which they were asked for', () => {
  const limit = new FallbackLimit(2);
  expect([limit.tryTake(), limit.tryTake(), limit.tryTake()]).toEqual([true, true, false]);
  const order: string[] = [];
  limit.wait(() => order.push('a'));
  const b = limit.wait(() => order.push('b'));
  limit.wait(() => order.push('c'));
  b.cancel();
  limit.release();
  limit.release();
  expect(order).toEqual(['a', 'c']);
  expect(limit.inUse).toBe(2);
  limit.release();
  limit.release();
  expect(limit.inUse).toBe(0);
});

it('has no end where it is 0', () => {
  const limit = new FallbackLimit(0);
  for (let i = 0; i < 1000; i++) expect(limit.tryTake()).toBe(true);
  expect(limit.inUse).toBe(1000);
});
