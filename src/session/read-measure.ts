import type { Pace } from './pace.ts';

/** Measures reads of one session that have a server connection to themselves, one at a time. */
export class ReadMeasure {
  readonly #now: () => number;
  #pace: Pace | null = null;
  #sentAtMs = 0;
  #bytes = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** A read of this kind is about to be sent. */
  begin(pace: Pace): void {
    this.#pace = pace;
    this.#bytes = 0;
  }

  sent(): void {
    if (this.#pace !== null) this.#sentAtMs = this.#now();
  }

  returned(bytes: number): void {
    this.#bytes += bytes;
  }

  answered(): void {
    this.#pace?.note(this.#now() - this.#sentAtMs, this.#bytes);
    this.#pace = null;
  }

  failed(): void {
    this.#pace = null;
  }
}
