/** What a heap of waiters holds. */
export interface Waiting {
  /** Rises with each waiter: among equals the one that came first is first. */
  readonly order: number;
  /** It was answered or cancelled, and only takes up room. */
  isOver: boolean;
}

/** With fewer dead entries nothing is gained by looking for them. */
const DEAD_MAX = 64;

/**
 * A binary heap of waiters, the least key first. Nothing is changed while it is visited. Those who are over are left where they are until
 * they come up, or outnumber the others.
 */
export class WaitingHeap<T extends Waiting> {
  #items: T[] = [];
  #over = 0;
  readonly #key: (item: T) => number | bigint;

  constructor(key: (item: T) => number | bigint) {
    this.#key = key;
  }

  get isEmpty(): boolean {
    return this.#items.length === this.#over;
  }

  push(item: T): void {
    this.#items.push(item);
    this.#rise(this.#items.length - 1);
  }

  /** The first that is not over. */
  peek(): T | null {
    let first = this.#items[0];
    while (first?.isOver === true) {
      this.#over -= 1;
      this.#removeFirst();
      first = this.#items[0];
    }
    return first ?? null;
  }

  /** Calls `visit` for those whose key is at most `limit`, in no particular order. */
  visitUpTo(limit: number | bigint, visit: (item: T) => void): void {
    const items = this.#items;
    const descend = (at: number): void => {
      const item = items[at];
      if (item === undefined || this.#key(item) > limit) return;
      if (!item.isOver) visit(item);
      descend(2 * at + 1);
      descend(2 * at + 2);
    };
    descend(0);
  }

  /** An item of this heap is over. */
  noteOver(): void {
    this.#over += 1;
    if (this.#over <= DEAD_MAX || this.#over * 2 <= this.#items.length) return;
    this.#items = this.#items.filter((item) => !item.isOver);
    this.#over = 0;
    for (let i = (this.#items.length >>> 1) - 1; i >= 0; i--) this.#sink(i);
  }

  /** Calls `visit` for all, in no particular order. */
  visitAll(visit: (item: T) => void): void {
    for (const item of this.#items) if (!item.isOver) visit(item);
  }

  #isBefore(a: T, b: T): boolean {
    const keyA = this.#key(a);
    const keyB = this.#key(b);
    return keyA === keyB ? a.order < b.order : keyA < keyB;
  }

  #removeFirst(): void {
    const last = this.#items.pop()!;
    if (this.#items.length === 0) return;
    this.#items[0] = last;
    this.#sink(0);
  }

  #rise(from: number): void {
    const items = this.#items;
    const item = items[from]!;
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!this.#isBefore(item, items[parent]!)) break;
      items[at] = items[parent]!;
      at = parent;
    }
    items[at] = item;
  }

  #sink(from: number): void {
    const items = this.#items;
    const item = items[from]!;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && this.#isBefore(items[child + 1]!, items[child]!)) child++;
      if (!this.#isBefore(items[child]!, item)) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = item;
  }
}
