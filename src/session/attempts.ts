import type { Classifier } from '../router/classifier.ts';
import type { Route } from '../router/route.ts';
import type { Request } from './request.ts';
import { type Retry, retryFor } from './retry-policy.ts';

/** A request runs on at most this many servers. */
const attemptsMax = 3;

/** The servers that one request has been tried on, and why not on one alone. */
export class Attempts {
  #count = 0;
  #retry: Retry | null = null;

  /** A new request. */
  begin(): void {
    this.#count = 1;
    this.#retry = null;
  }

  get areLeft(): boolean {
    return this.#count < attemptsMax;
  }

  /** A replica refused it with this ErrorResponse: whether it should run elsewhere. */
  refusedBy(request: Request, buffer: Buffer, start: number, end: number): boolean {
    if (!this.areLeft) return false;
    this.#retry = retryFor(buffer, start, end, request.sessionOnly);
    return this.#retry !== null;
  }

  /** Its statements on the server were too old: whether to prepare them anew, wherever it goes. */
  outdated(): boolean {
    if (!this.areLeft) return false;
    this.#retry = null;
    return true;
  }

  /** A replica refused the role of the session: whether to ask the primary, which may know it. */
  refusedRole(): boolean {
    if (!this.areLeft) return false;
    this.#retry = 'retry-session';
    return true;
  }

  again(): void {
    this.#count += 1;
  }

  /** Where it must go after what has happened, or null: wherever it belongs. */
  get route(): Route | null {
    const needsPrimary = this.#retry === 'retry-refused' || this.#retry === 'retry-session';
    if (!needsPrimary && this.#count <= 2) return null;
    return { target: 'primary', reason: this.#retry ?? 'retry-lost' };
  }

  /** The primary ran what a replica refused: it is a write from now on. */
  learn(request: Request, classifier: () => Classifier): void {
    if (this.#count === 1 || this.#retry !== 'retry-refused') return;
    for (const classified of request.learnable) classifier().learnWrite(classified);
  }
}
