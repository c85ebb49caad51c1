import type { Classified } from '../router/statement.ts';

const shortMsMax = 2;
const smallBytesMax = 16 * 1024;
/** A server that was at it for so long was not only short of processors. */
const longMsMin = 500;
/** After that, so many must have been short before others may wait behind one again. */
const shortWanted = 100;
/** Of the estimates: a new measurement counts this much. */
const weight = 1 / 8;

/** How long statements of one text, whatever their literals, keep a server busy, and what they return. */
export class Pace {
  /** How quick it can be: on a busy machine most take longer than they need. */
  #bestMs = Number.POSITIVE_INFINITY;
  #meanBytes = 0;
  #shortToCome = 1;

  /** A server was at it for so long, and returned so much. */
  note(tookMs: number, bytes: number): void {
    if (tookMs < this.#bestMs) this.#bestMs = tookMs;
    else this.#bestMs += (tookMs - this.#bestMs) * weight * weight;
    this.#meanBytes += (bytes - this.#meanBytes) * weight;
    if (tookMs >= longMsMin) this.#shortToCome = shortWanted;
    else if (this.#shortToCome > 0) this.#shortToCome -= 1;
  }

  /** Others may wait behind it. */
  get isShort(): boolean {
    return (
      this.#shortToCome === 0 && this.#bestMs <= shortMsMax && this.#meanBytes <= smallBytesMax
    );
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
