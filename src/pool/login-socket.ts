import assert from 'node:assert';
import type { Socket } from 'node:net';

/** Why a login cannot go on: the peer closed or reset the connection, or the time is over. */
export class LoginAborted extends Error {
  readonly reason: 'closed' | 'timeout';

  constructor(reason: 'closed' | 'timeout', message: string) {
    super(message);
    this.name = 'LoginAborted';
    this.reason = reason;
  }
}

interface Reader {
  readonly bytes: number;
  readonly resolve: (data: Buffer) => void;
  readonly reject: (error: Error) => void;
}

function ignoreError(): void {}

/**
 * Reads exact numbers of bytes from a socket while a login runs, under one deadline for all of
 * it. The socket flows only while somebody reads, so at most what was asked for and one chunk
 * is held. Ends with `release` (the socket goes on elsewhere) or `discard` (it closes).
 */
export class LoginSocket {
  readonly #socket: Socket;
  readonly #deadline: NodeJS.Timeout;
  #held: Buffer = Buffer.alloc(0);
  #reader: Reader | null = null;
  #failure: LoginAborted | null = null;
  #abort: (failure: LoginAborted) => void = () => {};
  readonly #aborted: Promise<never>;

  constructor(socket: Socket, timeoutMs: number) {
    this.#socket = socket;
    this.#aborted = new Promise((_, reject) => {
      this.#abort = reject;
    });
    // It may fail while nobody waits; whoever reads next is told then.
    this.#aborted.catch(() => {});
    this.#deadline = setTimeout(this.#onTimeout, timeoutMs);
    socket.on('data', this.#onData);
    socket.on('error', this.#onError);
    socket.on('end', this.#onClosed);
    socket.on('close', this.#onClosed);
    socket.pause();
    // What happened to the socket before it came here is not told again by an event.
    if (socket.destroyed) this.#onClosed();
  }

  /** Bytes that have arrived and have not been read. */
  get heldBytes(): number {
    return this.#held.length;
  }

  /** The next `bytes` bytes. Rejects with LoginAborted; one read at a time. */
  read(bytes: number): Promise<Buffer> {
    assert(this.#reader === null && bytes >= 0);
    // Bytes come before the failure: a peer says why, then closes.
    if (this.#held.length >= bytes) return Promise.resolve(this.#take(bytes));
    if (this.#failure !== null) return Promise.reject(this.#failure);
    this.#socket.resume();
    return new Promise((resolve, reject) => {
      this.#reader = { bytes, resolve, reject };
    });
  }

  /** Waits for other work under the same deadline. */
  during<T>(work: T | Promise<T>): Promise<T> {
    return Promise.race([work, this.#aborted]);
  }

  write(data: Buffer): void {
    if (this.#socket.writable) this.#socket.write(data);
  }

  /**
   * Gives the socket back, paused and without listeners, with the bytes that were not read. An
   * error in the same turn of the event loop is still caught, so the new owner must attach its
   * listeners in that turn. Raises LoginAborted if the connection broke meanwhile.
   */
  release(): Buffer {
    if (this.#failure !== null) throw this.#failure;
    this.#detach();
    this.#socket.on('error', ignoreError);
    setImmediate(() => this.#socket.off('error', ignoreError));
    return this.#held;
  }

  /** Sends a last message and closes: now if there is none, else when the peer has taken it. */
  discard(farewell: Buffer | null, lingerMs: number): void {
    this.#detach();
    const socket = this.#socket;
    if (socket.destroyed) return;
    socket.on('error', ignoreError);
    if (farewell === null || !socket.writable) {
      socket.destroy();
      return;
    }
    // Input is read and thrown away: a close with unread input is a reset, and that would take
    // the farewell from the peer. A peer that never closes its side is cut off.
    const cut = setTimeout(() => socket.destroy(), lingerMs);
    socket.once('close', () => clearTimeout(cut));
    socket.end(farewell);
    socket.resume();
  }

  #take(bytes: number): Buffer {
    const taken = this.#held.subarray(0, bytes);
    this.#held = this.#held.subarray(bytes);
    return taken;
  }

  #detach(): void {
    assert(this.#reader === null, 'the login is still reading');
    clearTimeout(this.#deadline);
    this.#socket.off('data', this.#onData);
    this.#socket.off('error', this.#onError);
    this.#socket.off('end', this.#onClosed);
    this.#socket.off('close', this.#onClosed);
    this.#socket.pause();
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const reader = this.#reader;
    if (reader === null || this.#held.length < reader.bytes) return;
    this.#socket.pause();
    this.#reader = null;
    reader.resolve(this.#take(reader.bytes));
  };

  readonly #onTimeout = (): void => {
    this.#fail(new LoginAborted('timeout', 'the login took too long'));
  };

  readonly #onError = (error: Error): void => {
    // Where a name has several addresses, each has its error and the whole has no message.
    const errors: readonly Error[] = error instanceof AggregateError ? error.errors : [error];
    this.#fail(new LoginAborted('closed', errors.map(({ message }) => message).join('; ')));
  };

  readonly #onClosed = (): void => {
    this.#fail(new LoginAborted('closed', 'the connection was closed'));
  };

  #fail(failure: LoginAborted): void {
    this.#failure ??= failure;
    this.#abort(this.#failure);
    const reader = this.#reader;
    this.#reader = null;
    reader?.reject(this.#failure);
  }
}
