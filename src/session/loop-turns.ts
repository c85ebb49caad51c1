/** The event loop has waited for something to come, when a turn begins this long after the one before. */
const waitedMsMin = 0.2;

/** When something was sent: in which turn, and at what time. */
export interface Sending {
  readonly turn: number;
  readonly atMs: number;
}

/**
 * Turns of the event loop, of which a busy one may take longer than a server does: what has come is
 * seen when the next one begins, and what is sent leaves at the end. Time is in milliseconds.
 *
 *     send ... end | wait | begin ... end | begin: the answer was not there when the one before began
 */
export class LoopTurns {
  readonly now: () => number;
  #turn = 0;
  #isRunning = false;
  #beganMs = 0;
  #previousBeganMs = 0;
  #endedMs = 0;
  #previousEndedMs = 0;
  readonly #end = () => {
    this.#isRunning = false;
    this.#previousEndedMs = this.#endedMs;
    this.#endedMs = this.now();
  };

  constructor(now: () => number) {
    this.now = now;
  }

  sending(): Sending {
    this.#look();
    return { turn: this.#turn, atMs: this.now() };
  }

  /** For how long a server has at least been at what was sent then and is answered now. */
  serverMs({ turn, atMs }: Sending): number {
    this.#look();
    const hasWaited = this.#beganMs - this.#endedMs > waitedMsMin;
    const cameMs = hasWaited ? this.#beganMs : this.#previousBeganMs;
    return Math.max(0, cameMs - this.#leftMs(turn, atMs));
  }

  /** What was sent many turns ago has taken so long that those do not matter. */
  #leftMs(turn: number, atMs: number): number {
    if (turn === this.#turn - 1) return this.#endedMs;
    return turn === this.#turn - 2 ? this.#previousEndedMs : atMs;
  }

  #look(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#turn += 1;
    this.#previousBeganMs = this.#beganMs;
    this.#beganMs = this.now();
    setImmediate(this.#end);
  }
}
