import { TxStatus } from '../protocol/codes.ts';
import type { ConnectionOwner, Exchange } from './exchange.ts';
import { giveBack } from './give-back.ts';
import type { Pool } from './pool.ts';
import type { ServerConnection } from './server-connection.ts';

/** Then others have a turn, and the pool a look at the connection. */
const openMsMax = 1_000;

/** A read that shares a server connection with those before and behind it. */
export interface Rider {
  readonly exchange: Exchange;
  /** False: what it has prepared on the connection must not be lost sight of. */
  readonly isMovable: boolean;
  /** One before it takes long: nobody listens to its exchange any more, it has to run elsewhere. */
  displaced(): void;
}

/**
 * A server connection that several sessions' reads are on at once, each sent behind the others
 * without waiting for their answers:
 *
 *     head (the server is at it) | behind it ... | the newest
 *
 * Each starts and ends outside of transactions and changes nothing. The connection goes back to its
 * pool whenever it has answered them all.
 */
export class SharedLine implements ConnectionOwner {
  /** What is shared are reads, which notify nobody. */
  readonly clientPid = null;
  readonly server: ServerConnection;
  readonly #pool: Pool;
  readonly #now: () => number;
  readonly #openedAtMs: number;
  /** In the order of their exchanges; null: it has left, its answer is on the way. */
  readonly #riders: (Rider | null)[] = [];
  #headSinceMs = 0;
  /** Nobody else gets on. */
  #isClosed = false;
  /** Its connection is not its own any more. */
  #isOver = false;

  constructor(pool: Pool, server: ServerConnection, now: () => number, nowMs: number) {
    this.#pool = pool;
    this.server = server;
    this.#now = now;
    this.#openedAtMs = nowMs;
    server.owner = this;
  }

  /** How many are on it. */
  get depth(): number {
    return this.#riders.length;
  }

  /** Takes more at this time of the pool's clock. What one of them prepares or closes there has to be certain for the next. */
  isOpenAt(nowMs: number): boolean {
    const { server } = this;
    return (
      !this.#isClosed &&
      server.closedFor === null &&
      server.prepared.isSettled &&
      nowMs - this.#openedAtMs < openMsMax
    );
  }

  /** Since when the server has been at the head, on the pool's clock; meaningful while there is one. */
  get headSinceMs(): number {
    return this.#headSinceMs;
  }

  /** The caller sends in the same turn; `nowMs` is the time of the pool's clock. */
  add(rider: Rider, nowMs: number): void {
    if (this.#riders.length === 0) this.#headSinceMs = nowMs;
    this.#riders.push(rider);
  }

  isHead(rider: Rider): boolean {
    return this.#riders[0] === rider;
  }

  /**
   * The head has been answered, at this time of the pool's clock. Returns for how long the server was
   * at it, in milliseconds.
   */
  headEnded(nowMs: number): number {
    const tookMs = nowMs - this.#headSinceMs;
    this.#headSinceMs = nowMs;
    this.#riders.shift();
    if (this.#isOver) return tookMs;
    if (this.server.txStatus !== TxStatus.Idle) this.server.close('protocol-violation');
    if (this.#isClosed) this.server.resume();
    this.endIfEmpty();
    return tookMs;
  }

  /** Its session does not want its answer any more. */
  leave(rider: Rider): void {
    const index = this.#riders.indexOf(rider);
    if (index < 0) return;
    this.#riders[index] = null;
    const { exchange } = rider;
    exchange.abandon(() => this.headEnded(this.#now()));
  }

  /** The head takes long, in time or in bytes: whoever can go elsewhere does. */
  keepToHead(): void {
    this.#isClosed = true;
    for (const rider of this.#riders.slice(1)) {
      if (rider === null || !rider.isMovable) continue;
      this.leave(rider);
      rider.displaced();
    }
  }

  /** Nobody else gets on, so that the connection comes free. */
  close(): void {
    this.#isClosed = true;
    this.endIfEmpty();
  }

  /** The connection is for whoever wants it next. */
  endIfEmpty(): void {
    if (this.#riders.length > 0 || this.#isOver) return;
    this.#isOver = true;
    this.#isClosed = true;
    this.#pool.lines.remove(this);
    giveBack(this.#pool, this.server);
  }

  // --- as the owner of the connection: what is nobody's in particular --------------------------

  forward(): boolean {
    return true;
  }

  notification(): null {
    return null;
  }

  drained(): void {}

  gone(): void {
    this.connectionLost();
  }

  /** The server connection has gone away, and everybody on it is told so. */
  connectionLost(): void {
    this.#isClosed = true;
    this.#isOver = true;
    this.#riders.length = 0;
    this.#pool.lines.remove(this);
  }
}
