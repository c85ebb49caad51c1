import type { Socket } from 'node:net';
import { FrameScanner, frontendLengthMax, Scan } from '../protocol/frames.ts';

/** A message of at most this many bytes is read whole; a longer one is streamed. */
export const heldMessageBytesMax = 1024 * 1024;
/** Enough of a long message to read the names at its start and judge its leading words. */
const headBytesMin = 8 * 1024;
/** What may wait unread while a request runs; beyond, the client's socket is not read. */
const waitingBytesMax = 256 * 1024;

export interface InputOwner {
  /** May the next message (or the next piece of a long one) be taken now? */
  readonly takesInput: boolean;
  /** A whole message, or the head of one whose pieces follow. */
  message(type: number, buffer: Buffer, start: number, end: number, isHead: boolean): void;
  /** A piece of the long message; `isLast`: it ends here. */
  piece(bytes: Buffer, isLast: boolean): void;
}

/** The incoming side of a client's socket: cut into messages, handed over one at a time. */
export class ClientInput {
  readonly #socket: Socket;
  readonly #owner: InputOwner;
  readonly #scanner = new FrameScanner({
    lengthMax: frontendLengthMax,
    assembledBytesMax: heldMessageBytesMax,
    headBytesMin,
  });
  readonly #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #isPumping = false;
  #isFull = false;
  /** The server does not take what the client sends. */
  #isHeldBack = false;

  constructor(socket: Socket, owner: InputOwner) {
    this.#socket = socket;
    this.#owner = owner;
  }

  /** The client stopped in the middle of a message. */
  get isMidMessage(): boolean {
    return this.#scanner.remaining > 0;
  }

  take(chunk: Buffer): void {
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    this.pump();
    this.#regulate();
  }

  /** Hands over as many messages as the owner takes. Raises ProtocolError. Safe to re-enter. */
  pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      while (this.#owner.takesInput && this.#next());
    } finally {
      this.#isPumping = false;
    }
    this.#regulate();
  }

  /** Stops or starts reading from the socket for the sake of a slow server. */
  holdBack(hold: boolean): void {
    this.#isHeldBack = hold;
    this.#regulate();
  }

  #next(): boolean {
    const scanner = this.#scanner;
    switch (scanner.next()) {
      case Scan.NeedMore: {
        const chunk = this.#waiting.shift();
        if (chunk === undefined) return false;
        this.#waitingBytes -= chunk.length;
        scanner.feed(chunk);
        return true;
      }
      case Scan.Frame:
        this.#owner.message(scanner.type, scanner.buffer, scanner.start, scanner.end, false);
        return true;
      case Scan.Head:
        this.#owner.message(scanner.type, scanner.buffer, scanner.start, scanner.end, true);
        return true;
      case Scan.Body:
        this.#owner.piece(
          scanner.buffer.subarray(scanner.start, scanner.end),
          scanner.remaining === 0,
        );
        return true;
    }
  }

  #regulate(): void {
    const isFull = this.#isHeldBack || this.#waitingBytes > waitingBytesMax;
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    if (isFull) this.#socket.pause();
    else this.#socket.resume();
  }
}
