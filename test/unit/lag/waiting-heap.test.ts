import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Waiting, WaitingHeap } from '../../../src/lag/waiting-heap.ts';

interface Item extends Waiting {
  readonly key: number;
}
const byKey = (a: Item, b: Item) => a.key - b.key || a.order - b.order;

describe('a heap of waiters', () => {
  it('is what a sorted list is', () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ do: fc.constant('push' as const), key: fc.nat(20) }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant('end' as const), at: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('visit' as const), key: fc.nat(20) }) },
    );
    let compactions = 0;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 800, size: 'max' }), (steps) => {
        const heap = new WaitingHeap<Item>(({ key }) => key);
        let list: Item[] = [];
        let ended = 0;
        for (const [order, one] of steps.entries()) {
          if (one.do === 'push') {
            const item = { order, isOver: false, key: one.key };
            heap.push(item);
            list.push(item);
          } else if (one.do === 'end' && list.length > 0) {
            const item = list[one.at % list.length]!;
            item.isOver = true;
            heap.noteOver();
            list = list.filter((other) => other !== item);
            if (++ended > 64 && ended > list.length) compactions++;
          } else if (one.do === 'visit') {
            const visited: Item[] = [];
            heap.visitUpTo(one.key, (item) => visited.push(item));
            const expected = list.filter(({ key }) => key <= one.key);
            expect(visited.sort(byKey)).toEqual(expected.sort(byKey));
          }
          expect(heap.isEmpty).toBe(list.length === 0);
          expect(heap.peek()).toBe(list.toSorted(byKey)[0] ?? null);
        }
        const all: Item[] = [];
        heap.visitAll((item) => all.push(item));
        expect(all.sort(byKey)).toEqual(list.sort(byKey));
      }),
      { numRuns: 60 },
    );
    expect(compactions).toBeGreaterThan(0);
  });
});
