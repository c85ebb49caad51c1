import { Frontend } from '../protocol/codes.ts';
import { heldMessageBytesMax } from './client-input.ts';
import { type Classify, Request, type RequestEnd } from './request.ts';
import type { ClientStatements } from './statements.ts';

/** Gathers a client's messages into requests, one at a time. */
export class RequestIntake {
  /** What is gathered, and runs when it is over. */
  readonly request = new Request();
  /** The request was handed over; the next message begins a new one. */
  isOver = true;
  readonly #statements: ClientStatements;
  readonly #classify: Classify;

  constructor(statements: ClientStatements, classify: Classify) {
    this.#statements = statements;
    this.#classify = classify;
  }

  /** A message has come that belongs to a request. */
  begin(): void {
    if (!this.isOver) return;
    this.forget();
    this.isOver = false;
  }

  /** The request that was handed over has been answered: idle clients keep nothing of theirs. */
  forget(): void {
    if (this.isOver && this.request.count > 0) this.request.reset();
  }

  /** Takes a message, or (`isHead`) the beginning of one. How it ends the request; null: not. */
  take(
    type: number,
    buffer: Buffer,
    start: number,
    end: number,
    isHead: boolean,
  ): RequestEnd | null {
    const { request } = this;
    switch (type) {
      case Frontend.Query:
        if (isHead) request.takeOversizedQuery(buffer, start, end);
        else request.takeQuery(buffer, start, end, this.#statements, this.#classify);
        return 'query';
      case Frontend.FunctionCall:
        request.takeCall(buffer, start, end, isHead);
        return 'call';
      case Frontend.CopyData:
      case Frontend.CopyDone:
      case Frontend.CopyFail:
        request.takeCopy(type, buffer, start, end, isHead);
        return isHead || request.bytes > heldMessageBytesMax ? 'unfinished' : null;
      default:
        return this.#takeExtended(type, buffer, start, end, isHead);
    }
  }

  #takeExtended(
    type: number,
    buffer: Buffer,
    start: number,
    end: number,
    isHead: boolean,
  ): RequestEnd | null {
    const { request } = this;
    if (isHead) {
      request.takeOversized(type, buffer, start, end, this.#statements);
      return 'unfinished';
    }
    request.takeExtended(type, buffer, start, end, this.#statements, this.#classify);
    if (type === Frontend.Sync) return 'sync';
    if (type === Frontend.Flush) return 'flush';
    return request.bytes > heldMessageBytesMax ? 'unfinished' : null;
  }
}
