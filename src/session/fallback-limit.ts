/** Somebody who waits for a place. */
export interface FallbackWaiter {
  cancel(): void;
}

/**
 * How many reads may be on the primary because replicas lag: so that these do not take the primary
 * down with them. Places are given in the order in which they were asked for.
 */
export class FallbackLimit {
  /** 0: any number. */
  readonly max: number;
  /** Reads that were given up, because no place became free in time. */
  refused = 0;
  #inUse = 0;
  readonly #waiting = new Set<() => void>();

  constructor(max: number) {
    this.max = max;
  }

  get inUse(): number {
    return this.#inUse;
  }

  tryTake(): boolean {
    if (this.max !== 0 && this.#inUse >= this.max) return false;
    this.#inUse += 1;
    return true;
  }

  /** Calls back once with a place; never before this returns. */
  wait(taken: () => void): FallbackWaiter {
    // A function of its own, so that equal callbacks are two waiters.
    const waiter = () => taken();
    this.#waiting.add(waiter);
    return { cancel: () => this.#waiting.delete(waiter) };
  }

  /** The place goes to whoever waits longest. */
  release(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#inUse -= 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
