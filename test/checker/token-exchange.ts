import type { Random } from './random.ts';

export interface PassedToken {
  readonly number: number;
  readonly text: string;
  /** Who took it, and through which proxy. */
  readonly session: number;
  readonly proxy: number;
}

const kept = 64;

/** Where sessions leave tokens for each other. */
export class TokenExchange {
  #count = 0;
  readonly #newest: PassedToken[] = [];

  leave(text: string, session: number, proxy: number): PassedToken {
    this.#count += 1;
    const token = { number: this.#count, text, session, proxy };
    this.#newest.push(token);
    if (this.#newest.length > kept) this.#newest.shift();
    return token;
  }

  /** One of the newest more often than one of the older ones. */
  find(random: Random): PassedToken | undefined {
    const age = Math.floor(random.next() ** 2 * this.#newest.length);
    return this.#newest[this.#newest.length - 1 - age];
  }
}
