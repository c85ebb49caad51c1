import type { Classified } from '../router/statement.ts';

const shortMsMax = 2;
const smallBytesMax = 16 * 1024;
/** A server that was at it for so long was not only short of processors. */
const longMsMin = 500;
/** After that, so many must have been short before others may wait behind one again. */
const shortWanted = 100;
/** Of the mean: a new measurement counts this much. */
const weight = 1 / 8;
/** "Lately": this many runs, and at least this long. */
const periodRunsMin = 50;
const periodMsMin = 1_000;
/** A moment in which the machine did something else counts no more than this. */
const sharedMsMax = 50;
/** Before a kind is tried again that has kept others waiting. */
const pauseMs = 10_000;

/** How long statements of one text, whatever their literals, keep a server busy, and what they return. */
export class Pace {
  /**
   * How quick it can be, with a connection to itself: in this period and in the one before. On a busy
   * machine nearly all runs take longer than they need.
   */
  #bestMs = Number.POSITIVE_INFINITY;
  #bestBeforeMs = Number.POSITIVE_INFINITY;
  #periodSinceMs = 0;
  #periodRuns = 0;
  /** On shared connections, where a server has nothing else to do: for how long it was at them. */
  #sharedMs = 0;
  #sharedSinceMs = 0;
  #sharedRuns = 0;
  /** Until then it does not share, though it can be quick: it was not when it did. */
  #pausedUntilMs = Number.NEGATIVE_INFINITY;
  #meanBytes = 0;
  #shortToCome = 1;

  /**
   * A server was at one for so long that had a connection to itself, up to `nowMs` on any monotonic
   * clock, and returned so much.
   */
  note(tookMs: number, bytes: number, nowMs: number): void {
    if (nowMs >= this.#pausedUntilMs) this.#pausedUntilMs = Number.NEGATIVE_INFINITY;
    if (this.#periodRuns >= periodRunsMin && nowMs - this.#periodSinceMs >= periodMsMin) {
      this.#bestBeforeMs = this.#bestMs;
      this.#bestMs = Number.POSITIVE_INFINITY;
      this.#periodRuns = 0;
    }
    if (this.#periodRuns === 0) this.#periodSinceMs = nowMs;
    this.#periodRuns += 1;
    if (tookMs < this.#bestMs) this.#bestMs = tookMs;
    this.#look(tookMs, bytes);
  }

  /** The same for one that was among others. */
  noteShared(tookMs: number, bytes: number, nowMs: number): void {
    if (this.#sharedRuns >= periodRunsMin && nowMs - this.#sharedSinceMs >= periodMsMin) {
      if (this.#sharedMs > shortMsMax * this.#sharedRuns) this.#pausedUntilMs = nowMs + pauseMs;
      this.#sharedRuns = 0;
      this.#sharedMs = 0;
    }
    if (this.#sharedRuns === 0) this.#sharedSinceMs = nowMs;
    this.#sharedRuns += 1;
    this.#sharedMs += Math.min(tookMs, sharedMsMax);
    this.#look(tookMs, bytes);
  }

  #look(tookMs: number, bytes: number): void {
    this.#meanBytes += (bytes - this.#meanBytes) * weight;
    if (tookMs >= longMsMin) this.#shortToCome = shortWanted;
    else if (this.#shortToCome > 0) this.#shortToCome -= 1;
  }

  /** Others may wait behind it. */
  get isShort(): boolean {
    if (this.#shortToCome > 0 || this.#meanBytes > smallBytesMax) return false;
    if (this.#pausedUntilMs !== Number.NEGATIVE_INFINITY) return false;
    return this.#bestMs <= shortMsMax || this.#bestBeforeMs <= shortMsMax;
  }
}

/** By the class that the classifier keeps for all statements that differ in literals only. */
export class Paces {
  readonly #paces = new WeakMap<Classified, Pace>();

  of(classified: Classified): Pace {
    let pace = this.#paces.get(classified);
    if (pace === undefined) {
      pace = new Pace();
      this.#paces.set(classified, pace);
    }
    return pace;
  }
}
