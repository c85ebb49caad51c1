import assert from 'node:assert';
import type { Socket } from 'node:net';
import { TxStatus } from '../protocol/codes.ts';
import type { DisconnectReason } from './disconnect-reason.ts';
import { type ConnectionOwner, Exchange } from './exchange.ts';
import { Outgoing } from './outgoing.ts';
import { PreparedOnServer } from './prepared.ts';
import { type PipelineOwner, ReplyPipeline } from './reply-pipeline.ts';
import { Settings } from './settings.ts';
import { type Step, steps } from './step.ts';

/** What a server login hands over. */
export interface LoggedIn {
  readonly socket: Socket;
  readonly pid: number;
  readonly secret: Buffer;
  readonly params: Map<string, string>;
  readonly rest: Buffer;
}

const ownQuery: readonly Step[] = [steps.skippedQuery];

/** One logged-in connection to a server: its socket, what it holds, and the replies it owes. */
export class ServerConnection implements PipelineOwner {
  readonly socket: Socket;
  readonly pid: number;
  readonly secret: Buffer;
  /** Last value of every parameter the server reported (GUC_REPORT). */
  readonly params: Map<string, string>;
  readonly prepared = new PreparedOnServer();
  /** What the session settings of this backend are; null: unknown. */
  settings: Settings | null = Settings.none;
  /** As they were before the running transaction changed them; undefined: it has not. */
  #settingsBefore: Settings | null | undefined;
  /** A function of the user's was called on it, which may have set anything. */
  ranCode = false;
  /** Who wrote last on it, and alone may ask what currval() says there; null: nobody has. */
  sequenceUser: object | null = null;
  /** LISTEN was executed on it: UNLISTEN before anybody else has it. */
  listens = false;
  readonly openedAtMs: number;
  /** Whom this connection is checked out to. */
  owner: ConnectionOwner | null = null;
  idleSinceMs = 0;
  /** Cancel requests on their way to this backend: it may not serve anybody else until they end. */
  cancelsInFlight = 0;
  txStatus: number = TxStatus.Idle;
  /** Set once; `onClosed` tells the pool. */
  closedFor: DisconnectReason | null = null;
  /** Called once when no reply is expected any more. */
  onQuiet: (() => void) | null = null;
  onClosed: ((connection: ServerConnection, reason: DisconnectReason) => void) | null = null;

  readonly #replies = new ReplyPipeline(this);
  readonly #outgoing: Outgoing;

  constructor(login: LoggedIn, nowMs: number) {
    this.socket = login.socket;
    this.#outgoing = new Outgoing(login.socket);
    this.pid = login.pid;
    this.secret = login.secret;
    this.params = login.params;
    this.openedAtMs = nowMs;
    this.idleSinceMs = nowMs;
    this.socket.on('data', (chunk: Buffer) => this.#replies.read(chunk));
    this.socket.on('error', () => this.close('socket-error'));
    this.socket.on('close', () => this.close('server-closed'));
    this.socket.on('end', () => this.close('server-closed'));
    this.socket.on('drain', () => this.owner?.drained());
    if (login.rest.length > 0) this.#replies.read(login.rest);
    this.socket.resume();
  }

  /** May go to another session: nothing expected, no transaction, no cancel under way. */
  get isReleasable(): boolean {
    return (
      this.closedFor === null &&
      this.txStatus === TxStatus.Idle &&
      this.#replies.isEmpty &&
      this.cancelsInFlight === 0
    );
  }

  get isQuiet(): boolean {
    return this.#replies.isEmpty;
  }

  /** Appends to the pipeline; the caller sends the bytes in the same turn. */
  expect(exchange: Exchange): void {
    assert(this.closedFor === null, 'a closed connection takes no requests');
    this.#replies.expect(exchange);
  }

  /** Steps were added to `exchange`, which is already in the pipeline. */
  expectMore(exchange: Exchange): void {
    this.#replies.expectMore(exchange);
  }

  /**
   * Leaves with what else is sent in this turn of the event loop, or, between `hold` and `flush`, with
   * that. False: stop producing until the owner hears of `drained`.
   */
  send(bytes: Buffer): boolean {
    return this.#outgoing.send(bytes);
  }

  hold(): void {
    this.#outgoing.hold();
  }

  flush(): boolean {
    return this.#outgoing.flush();
  }

  /** Calls back when the server is at this exchange: at once, later, or never if it is not there. */
  whenNext(exchange: Exchange, reached: () => void): void {
    this.#replies.whenNext(exchange, reached);
  }

  /** Runs a simple query (or else what `expected` says) of the proxy's own; its replies are dropped. */
  runOwn(
    message: Buffer,
    finished: (exchange: Exchange, status: number) => void,
    expected: readonly Step[] = ownQuery,
  ): Exchange {
    const exchange = new Exchange(null, finished);
    exchange.steps.push(...expected);
    this.expect(exchange);
    // A simple Query destroys the unnamed statement (exec_simple_query, tcop/postgres.c).
    this.prepared.unnamed = null;
    this.send(message);
    return exchange;
  }

  /** The backend's settings became `settings`, for good or until its transaction rolls back. */
  changeSettings(settings: Settings | null): void {
    if (this.#settingsBefore === undefined) this.#settingsBefore = this.settings;
    this.settings = settings;
  }

  /** Nobody follows what is set from here on, and where transactions end. */
  loseTrackOfSettings(): void {
    this.settings = null;
    this.#settingsBefore = null;
  }

  /** The transaction ended: what it set stays. */
  committed(): void {
    this.#settingsBefore = undefined;
  }

  /**
   * What the transaction set is undone. `wasBlock`: it was begun by BEGIN. Else what failed may have
   * committed a part before: with several statements in a pipeline VACUUM does, before 14.7 and 15.2.
   */
  rolledBack(wasBlock: boolean): void {
    if (this.#settingsBefore === undefined) return;
    this.settings = wasBlock ? this.#settingsBefore : null;
    this.#settingsBefore = undefined;
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** `lastWord`: what the sinks are told of the cause. */
  close(reason: DisconnectReason, lastWord?: string): void {
    if (this.closedFor !== null) return;
    this.closedFor = reason;
    const word =
      lastWord === undefined ? this.#replies.lastWord : { sqlstate: '', message: lastWord };
    this.socket.destroy();
    const { isMidFrame } = this.#replies;
    const pending = this.#replies.abandon();
    const { owner } = this;
    this.owner = null;
    this.onClosed?.(this, reason);
    for (const [index, exchange] of pending.entries()) {
      if (exchange.sink !== null) exchange.sink.lost(exchange, word, index === 0 && isMidFrame);
      else exchange.finished?.(exchange, 0);
    }
    if (pending.length === 0) owner?.gone(word);
  }

  quiet(): void {
    const { onQuiet } = this;
    this.onQuiet = null;
    onQuiet?.();
  }
}
