import { expect, it } from 'vitest';
import { pauseMsAfter } from '../../../src/workers/worker-slot.ts';

it('waits longer and longer before a worker that ends again and again, up to a limit', () => {
  const pauses = Array.from({ length: 20 }, (_, failures) => pauseMsAfter(failures));
  expect(pauses.slice(0, 4)).toEqual([100, 200, 400, 800]);
  expect(pauses.at(-1)).toBe(10_000);
  expect(pauses).toEqual(pauses.toSorted((a, b) => a - b));
});
