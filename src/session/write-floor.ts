/** When any session of this proxy last had a write acknowledged: what `global` reads must see. */
export class WriteFloor {
  /** Of the monitor's clock; -Infinity before the first. */
  acknowledgedMs = Number.NEGATIVE_INFINITY;

  raise(nowMs: number): void {
    this.acknowledgedMs = nowMs;
  }
}
