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

/** How long statements of one text, whatever their literals, keep a server busy, and what they return. */
export class Pace {
  /**
   * How quick it can be: of the runs in this period, and in the one before. On a busy machine most
   * take longer than they need, and some still do not.
   */
  #bestMs = Number.POSITIVE_INFINITY;
  #bestBeforeMs = Number.POSITIVE_INFINITY;
  #periodSinceMs = Number.NEGATIVE_INFINITY;
  #periodRuns = 0;
  #meanBytes = 0;
  #shortToCome = 1;

  /** A server was at it for so long, up to `nowMs` on any monotonic clock, and returned so much. */
  note(tookMs: number, bytes: number, nowMs: number): void {
    if (this.#periodRuns >= periodRunsMin && nowMs - this.#periodSinceMs >= periodMsMin) {
      this.#bestBeforeMs = this.#bestMs;
      this.#bestMs = Number.POSITIVE_INFINITY;
      this.#periodRuns = 0;
    }
    if (this.#periodRuns === 0) this.#periodSinceMs = nowMs;
    this.#periodRuns += 1;
    if (tookMs < this.#bestMs) this.#bestMs = tookMs;
    this.#meanBytes += (bytes - this.#meanBytes) * weight;
    if (tookMs >= longMsMin) this.#shortToCome = shortWanted;
    else if (this.#shortToCome > 0) this.#shortToCome -= 1;
  }

  /** Others may wait behind it. */
  get isShort(): boolean {
    if (this.#shortToCome > 0 || this.#meanBytes > smallBytesMax) return false;
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
