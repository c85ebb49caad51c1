/** When any session of this proxy last had a write acknowledged: what `global` reads must see. */
export class WriteFloor {
  /** Of the monitor's clock; -Infinity before the first. */
  acknowledgedMs = Number.NEGATIVE_INFINITY;

  raise(nowMs: number): void {
    this.acknowledgedMs = nowMs;
  }
}

/**
 * The same where other processes acknowledge writes as well. One may have done so just now and not
 * have told: to ask the primary what it has is surer than to be told by them, and no slower.
 */
export class WriteFloorOfMany implements WriteFloor {
  readonly #now: () => number;

  /** `now`: the monitor's clock. */
  constructor(now: () => number) {
    this.#now = now;
  }

  get acknowledgedMs(): number {
    return this.#now();
  }

  raise(): void {}
}
