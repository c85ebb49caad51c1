import type { Socket } from 'node:net';

/** Beyond this nothing is gathered: to copy it would cost more than another write. */
const gatheredBytesMax = 16 * 1024;

/**
 * The sending side of a server connection. What is sent in one turn of the event loop leaves as one
 * write at the end of it, so that the reads of several sessions go out together. Whoever knows that
 * nobody else sends takes `hold` and `flush`: as one write too, but at once.
 */
export class Outgoing {
  readonly #socket: Socket;
  readonly #pieces: Buffer[] = [];
  #bytes = 0;
  #isHeld = false;
  #endsWithTurn = false;
  readonly #endTurn = () => {
    this.#endsWithTurn = false;
    this.flush();
  };

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** False: stop producing until the socket's `drain`. */
  send(bytes: Buffer): boolean {
    this.#pieces.push(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes > gatheredBytesMax) return this.#write();
    if (!this.#isHeld && !this.#endsWithTurn) {
      this.#endsWithTurn = true;
      setImmediate(this.#endTurn);
    }
    return !this.#socket.writableNeedDrain;
  }

  /** What is sent from here on leaves with `flush`, which the caller calls in the same turn. */
  hold(): void {
    this.#isHeld = true;
  }

  /** Writes what was sent so far. False: stop producing until the socket's `drain`. */
  flush(): boolean {
    this.#isHeld = false;
    return this.#pieces.length === 0 ? !this.#socket.writableNeedDrain : this.#write();
  }

  #write(): boolean {
    const pieces = this.#pieces;
    const bytes = this.#bytes;
    this.#bytes = 0;
    if (pieces.length === 1) return this.#socket.write(pieces.pop()!);
    if (bytes <= gatheredBytesMax) {
      this.#socket.write(Buffer.concat(pieces, bytes));
    } else {
      this.#socket.cork();
      for (const piece of pieces) this.#socket.write(piece);
      this.#socket.uncork();
    }
    // One by one: to set the length throws away the room for the next ones.
    while (pieces.length > 0) pieces.pop();
    return !this.#socket.writableNeedDrain;
  }
}
