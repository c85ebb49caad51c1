import assert from 'node:assert';
import type { PoolConfig } from '../config.ts';
import { query } from '../protocol/frontend.ts';
import type { DisconnectReason } from './disconnect-reason.ts';
import type { ConnectionOwner } from './exchange.ts';
import type { ServerConnection } from './server-connection.ts';
import { SharedLines } from './shared-lines.ts';

/** Opens and logs in one server connection; rejects with an Error fit for a client. */
export type Connect = () => Promise<ServerConnection>;

/** After a failed connect, while other connections are open. */
const reconnectPauseMs = 200;

/** Why nobody could be served: the connection failed, or the wait took too long. */
export type AcquireFailure =
  | { readonly kind: 'connect'; readonly error: Error }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'closed' };

export interface Waiter {
  readonly served: (connection: ServerConnection) => void;
  readonly failed: (failure: AcquireFailure) => void;
  readonly deadlineMs: number;
  readonly sinceMs: number;
  /** Out of the queue: served, failed or given up. */
  settled: boolean;
}

/** Counts at one moment. */
export interface PoolStat {
  readonly active: number;
  readonly idle: number;
  readonly connecting: number;
  readonly waiting: number;
  /** Age of the oldest waiter. */
  readonly waitMsMax: number;
}

/**
 * The server connections of one (database, user, node).
 *
 *     idle (last in, first out)      waiters (first in, first out)
 *
 * Never both: whoever comes while others wait stands behind them. The most recently used
 * connection is taken first, so that the ones in excess grow old and are closed.
 */
export class Pool {
  /** Sessions that may come back to it. */
  holders = 0;
  /** Its connections that reads of several sessions share. */
  readonly lines: SharedLines;
  readonly #connect: Connect;
  readonly #config: PoolConfig;
  readonly #now: () => number;
  readonly #idle: ServerConnection[] = [];
  readonly #active = new Set<ServerConnection>();
  #waiters: Waiter[] = [];
  #connecting = 0;
  /** Idle connections that are being asked whether they live, each for one waiter. */
  #checking = 0;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;
  /** Bumped when connections opened before must not be used again. */
  #generation = 0;
  readonly #generations = new WeakMap<ServerConnection, number>();
  #unusedSinceMs: number;

  constructor(options: { connect: Connect; config: PoolConfig; now: () => number }) {
    this.#connect = options.connect;
    this.#config = options.config;
    this.#now = options.now;
    this.lines = new SharedLines(this, options.now);
    this.#unusedSinceMs = options.now();
  }

  get stat(): PoolStat {
    return {
      active: this.#active.size,
      idle: this.#idle.length,
      connecting: this.#connecting,
      waiting: this.#waiters.length,
      waitMsMax: this.#waiters.length === 0 ? 0 : this.#now() - this.#waiters[0]!.sinceMs,
    };
  }

  /** Requests under way or waiting. */
  get load(): number {
    return this.#active.size + this.lines.excess + this.#waiters.length;
  }

  get waiting(): number {
    return this.#waiters.length;
  }

  /** It may not open another connection. */
  get isFull(): boolean {
    return this.#active.size + this.#idle.length + this.#connecting >= this.#config.size;
  }

  /** An idle connection that needs no check, or null: then `acquire`. The hot path. */
  tryAcquire(nowMs = this.#now()): ServerConnection | null {
    const connection = this.#idle.at(-1);
    if (connection === undefined || this.#needsCheck(connection, nowMs)) return null;
    this.#idle.pop();
    this.#active.add(connection);
    return connection;
  }

  /** This very connection, if it is idle and needs no check. */
  takeIdle(connection: ServerConnection): boolean {
    const index = this.#idle.indexOf(connection);
    if (index < 0 || this.#needsCheck(connection)) return false;
    this.#idle.splice(index, 1);
    this.#active.add(connection);
    return true;
  }

  /** Calls back once, perhaps before it returns. */
  acquire(served: Waiter['served'], failed: Waiter['failed']): Waiter {
    const sinceMs = this.#now();
    const deadlineMs = sinceMs + this.#config.waitTimeoutMs;
    const waiter: Waiter = { served, failed, deadlineMs, sinceMs, settled: false };
    if (this.#closed) {
      waiter.settled = true;
      failed({ kind: 'closed' });
      return waiter;
    }
    this.#waiters.push(waiter);
    this.#pump();
    return waiter;
  }

  /** The waiter's client no longer wants a connection. */
  giveUp(waiter: Waiter): void {
    if (waiter.settled) return;
    waiter.settled = true;
    const index = this.#waiters.indexOf(waiter);
    if (index >= 0) this.#waiters.splice(index, 1);
  }

  /** Takes a connection back. It must be releasable: see `ServerConnection.isReleasable`. */
  release(connection: ServerConnection): void {
    assert(this.#active.has(connection), 'released a connection that is not checked out');
    assert(connection.isReleasable, 'released a connection that is still in use');
    const nowMs = this.#now();
    connection.owner = null;
    // A client that was slow to take the end of a result has stopped it.
    connection.resume();
    if (this.#isOver(connection, nowMs)) {
      connection.close(this.#closed ? 'shutdown' : 'lifetime');
      return;
    }
    connection.idleSinceMs = nowMs;
    this.#unusedSinceMs = nowMs;
    this.#active.delete(connection);
    this.#idle.push(connection);
    this.#pump();
  }

  /** Whom the connection to this backend is checked out to. */
  ownerOf(pid: number): ConnectionOwner | null {
    for (const connection of this.#active) if (connection.pid === pid) return connection.owner;
    return null;
  }

  /** Closes idle connections now and those in use when they come back. */
  retire(reason: DisconnectReason): void {
    this.#generation += 1;
    this.lines.close();
    for (const connection of [...this.#idle]) connection.close(reason);
  }

  /** Closes all connections, those in use too. */
  destroy(reason: DisconnectReason): void {
    this.retire(reason);
    for (const connection of [...this.#active]) connection.close(reason);
  }

  /** The server does not answer: who waits for it looks elsewhere, rather than for a time-out. */
  failWaiters(error: Error): void {
    this.#failAll({ kind: 'connect', error });
  }

  /** No more connections from here; those in use are closed when they come back. */
  close(): void {
    this.#closed = true;
    this.retire('shutdown');
    this.#failAll({ kind: 'closed' });
  }

  /** Closes what has been idle or open for too long. Called by the janitor, about once a second. */
  tidy(): void {
    const nowMs = this.#now();
    for (const connection of [...this.#idle]) {
      if (nowMs - connection.idleSinceMs > this.#config.idleTimeoutMs) {
        connection.close('idle-timeout');
      } else if (nowMs - connection.openedAtMs > this.#config.lifetimeMs) {
        connection.close('lifetime');
      }
    }
  }

  /** For how long it has held no connection and served nobody; 0 while it does. */
  get unusedForMs(): number {
    const { active, idle, connecting, waiting } = this.stat;
    return this.holders + active + idle + connecting + waiting > 0
      ? 0
      : this.#now() - this.#unusedSinceMs;
  }

  /** The one place that hands out connections and opens new ones. */
  #pump(): void {
    if (this.#closed) return;
    while (this.#waiters.length > 0) {
      const connection = this.#idle.at(-1);
      if (connection === undefined) break;
      const needsCheck = this.#needsCheck(connection);
      if (needsCheck && this.#checking >= this.#waiters.length) break;
      this.#idle.pop();
      this.#active.add(connection);
      if (needsCheck) this.#check(connection);
      else this.#serve(connection);
    }
    while (this.#waiters.length > this.#connecting + this.#checking && !this.isFull) {
      this.#open();
    }
    this.#armTimer();
  }

  #serve(connection: ServerConnection): void {
    const waiter = this.#waiters.shift();
    if (waiter === undefined) {
      this.#active.delete(connection);
      connection.idleSinceMs = this.#now();
      this.#idle.push(connection);
      return;
    }
    waiter.settled = true;
    waiter.served(connection);
  }

  #needsCheck(connection: ServerConnection, nowMs = this.#now()): boolean {
    return nowMs - connection.idleSinceMs > this.#config.checkAfterIdleMs;
  }

  /** It must not be used again. */
  #isOver(connection: ServerConnection, nowMs = this.#now()): boolean {
    const isOld = nowMs - connection.openedAtMs > this.#config.lifetimeMs;
    return this.#closed || isOld || this.#generations.get(connection) !== this.#generation;
  }

  /** A connection that idled for long may be dead without a sign: an empty query tells. */
  #check(connection: ServerConnection): void {
    this.#checking += 1;
    const timer = setTimeout(() => {
      connection.close('check-failed');
      // Those that idled even longer are no better: the waiter is not to try them one by one.
      for (const idle of [...this.#idle]) if (this.#needsCheck(idle)) idle.close('check-failed');
    }, this.#config.connectTimeoutMs);
    connection.runOwn(query(''), () => {
      clearTimeout(timer);
      this.#checking -= 1;
      if (connection.closedFor !== null) return;
      if (!connection.isReleasable || this.#isOver(connection)) {
        connection.close('check-failed');
        return;
      }
      connection.idleSinceMs = this.#now();
      this.#serve(connection);
    });
  }

  #open(): void {
    this.#connecting += 1;
    const generation = this.#generation;
    this.#connect().then(
      (connection) => {
        this.#connecting -= 1;
        if (this.#closed || generation !== this.#generation || connection.closedFor !== null) {
          connection.close(this.#closed ? 'shutdown' : 'node-down');
          this.#pump();
          return;
        }
        this.#generations.set(connection, generation);
        connection.onClosed = (closed) => this.#forget(closed);
        this.#active.add(connection);
        this.#serve(connection);
        this.#pump();
      },
      (error: Error) => {
        this.#connecting -= 1;
        this.#unusedSinceMs = this.#now();
        // With others open the waiters can still be served; without, nobody will.
        if (this.#active.size + this.#connecting === 0) this.#failAll({ kind: 'connect', error });
        else setTimeout(() => this.#pump(), reconnectPauseMs).unref();
      },
    );
  }

  #forget(connection: ServerConnection): void {
    this.#active.delete(connection);
    const index = this.#idle.indexOf(connection);
    if (index >= 0) this.#idle.splice(index, 1);
    this.#unusedSinceMs = this.#now();
    // Its place can be taken by a new one; not within the close of the old.
    if (this.#waiters.length > 0) queueMicrotask(() => this.#pump());
  }

  #failAll(failure: AcquireFailure): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) this.#fail(waiter, failure);
  }

  #fail(waiter: Waiter, failure: AcquireFailure): void {
    // The failure of one may make another's client give up.
    if (waiter.settled) return;
    waiter.settled = true;
    waiter.failed(failure);
  }

  /** One timer for the first waiter: all wait equally long, so it is the first to give up. */
  #armTimer(): void {
    const first = this.#waiters[0];
    if (this.#timer !== null || first === undefined) return;
    const delayMs = Math.max(1, first.deadlineMs - this.#now());
    this.#timer = setTimeout(() => {
      this.#timer = null;
      const nowMs = this.#now();
      while (this.#waiters.length > 0 && this.#waiters[0]!.deadlineMs <= nowMs) {
        this.#fail(this.#waiters.shift()!, { kind: 'timeout' });
      }
      this.#armTimer();
    }, delayMs);
    this.#timer.unref();
  }
}
