/** The event loop is taken to have waited, when a turn is first seen this long after the end of the one before. */
const waitedMsMin = 0.2;

/**
 * Turns of the event loop, of which a busy one may take longer than a server does: what has come is
 * seen when the next one begins. A turn is known from when something measured is sent or answered in
 * it; what else happened before that is the server's time for all that is known here. Time is in
 * milliseconds.
 *
 *     begin .. send .. end | wait | begin: the answer was not there when the turn before began, and
 *                                   where the loop has waited, not when that ended either
 */
export class LoopTurns {
  readonly now: () => number;
  #isRunning = false;
  #beganMs = 0;
  #previousBeganMs = 0;
  #endedMs = 0;
  readonly #end = () => {
    this.#isRunning = false;
    this.#endedMs = this.now();
  };

  constructor(now: () => number) {
    this.now = now;
  }

  /** When something is sent that is to be measured. */
  sentMs(): number {
    this.#look();
    return this.now();
  }

  /** For how long a server was at what was sent then and is answered now, without the turns known here. */
  serverMs(sentMs: number): number {
    this.#look();
    const hasWaited = this.#beganMs - this.#endedMs > waitedMsMin;
    const cameMs = hasWaited ? this.#beganMs : this.#previousBeganMs;
    return Math.max(0, cameMs - sentMs);
  }

  #look(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#previousBeganMs = this.#beganMs;
    this.#beganMs = this.now();
    setImmediate(this.#end);
  }
}
