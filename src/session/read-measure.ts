import type { LoopTurns } from './loop-turns.ts';
import type { Pace } from './pace.ts';

/** Measures reads of one session that have a server connection to themselves, one at a time. */
export class ReadMeasure {
  readonly #turns: LoopTurns;
  #pace: Pace | null = null;
  #sentMs: number | null = null;
  #bytes = 0;

  constructor(turns: LoopTurns) {
    this.#turns = turns;
  }

  /** A read of this kind is about to be sent. */
  begin(pace: Pace): void {
    this.#pace = pace;
    this.#bytes = 0;
  }

  sent(): void {
    if (this.#pace !== null) this.#sentMs = this.#turns.sentMs();
  }

  returned(bytes: number): void {
    this.#bytes += bytes;
  }

  answered(): void {
    const turns = this.#turns;
    if (this.#sentMs !== null)
      this.#pace?.note(turns.serverMs(this.#sentMs), this.#bytes, turns.now());
    this.failed();
  }

  failed(): void {
    this.#pace = null;
    this.#sentMs = null;
  }
}
