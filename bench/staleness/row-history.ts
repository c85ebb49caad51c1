/** What became of one row: which version was acknowledged when, as the one clock of the bench saw it. */
export class RowHistory {
  readonly id: number;
  /** Index: version. Version 0 is the row as it was made. */
  readonly #acknowledgedAtMs: number[] = [Number.NEGATIVE_INFINITY];

  constructor(id: number) {
    this.id = id;
  }

  /** The newest version that its writer knows to be committed. */
  get acknowledged(): number {
    return this.#acknowledgedAtMs.length - 1;
  }

  /** The next version has been acknowledged. A row has one writer, which waits for each answer. */
  acknowledge(atMs: number): void {
    this.#acknowledgedAtMs.push(atMs);
  }

  /**
   * For how long a newer version had been acknowledged when a read that returned this one was
   * sent; null: it was the newest.
   */
  ageMs(version: number, sentMs: number): number | null {
    const replacedAtMs = this.#acknowledgedAtMs[version + 1];
    return replacedAtMs === undefined || replacedAtMs > sentMs ? null : sentMs - replacedAtMs;
  }
}
