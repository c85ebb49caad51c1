import { Exchange, type ReplySink } from '../pool/exchange.ts';
import type { PreparedText } from '../pool/prepared.ts';
import type { SequenceInterest } from '../pool/sequence-interest.ts';
import type { ServerConnection } from '../pool/server-connection.ts';
import { Frontend, TxStatus } from '../protocol/codes.ts';
import { query } from '../protocol/frontend.ts';
import { BatchSender, type SenderSession } from './batch-sender.ts';
import { bringClientNamed, bringNamedOnly } from './client-named.ts';
import { bringSettings, sendDeferred } from './in-front.ts';
import type { Request } from './request.ts';
import type { SessionState } from './session-state.ts';
import type { ClientStatements } from './statements.ts';

/** Why a request may be kept from its client until it has a result. */
interface Leave {
  readonly retry: boolean;
  readonly renew: boolean;
}

/**
 * What a session has sent on the server connection that it holds, up to the ReadyForQuery that ends
 * it: one request, or the parts of a batch that the client has not ended.
 */
export class Transmission {
  exchange: Exchange;
  /** Extended messages went out without Sync: the exchange is open. */
  isBatchOpen = false;
  /** A part of the open batch has executed something. */
  hasExecuted = false;
  /** Nobody would notice if what is under way ran on another server instead. */
  canRunAgain = false;
  /** The server has refused a part of it. */
  sawError = false;
  /** Nobody else may have the server connection after this session. */
  mustClose = false;
  /** What was sent last ends in an error of ours: what the client sends of it goes nowhere. */
  isHeadUnsent = false;
  readonly #sink: ReplySink;
  readonly #session: SenderSession;
  readonly #state: SessionState;
  readonly #sequences: SequenceInterest;
  /** CopyDone and CopyFail messages of the batch that went out before the server asked for data. */
  #copyEndsAhead = 0;
  #borrowed: PreparedText[] = [];

  constructor(
    session: SenderSession & ReplySink,
    state: SessionState,
    sequences: SequenceInterest,
  ) {
    this.#sink = session;
    this.#session = session;
    this.#state = state;
    this.#sequences = sequences;
    this.exchange = new Exchange(session);
  }

  /**
   * Sends a request, or the next part of the open batch; in front of a request what the connection
   * lacks: settings, and a BEGIN that was answered before. `may.retry`: nothing that came before ties
   * it to this server; `may.renew`: it can run again with statements prepared anew. False: the
   * server takes no more for now.
   */
  send(
    server: ServerConnection,
    request: Request,
    may: Leave,
    deferred: readonly string[],
  ): boolean {
    try {
      return this.#send(server, request, may, deferred);
    } catch (error) {
      // What has left of it has replies that nobody expects.
      server.close('session-state');
      throw error;
    }
  }

  #send(
    server: ServerConnection,
    request: Request,
    may: Leave,
    deferred: readonly string[],
  ): boolean {
    const { exchange } = this;
    if (this.isBatchOpen) this.#continue(request, may.retry);
    else this.#begin(server, request, may, deferred);
    this.hasExecuted ||= request.isExecuting;
    this.#copyEndsAhead += request.copyEnds;
    if (request.pinsUnparsed) this.#state.pins.add('unparsed');
    const sender = new BatchSender(this.#session, server, exchange.steps, this.#borrowed);
    const flows = sender.send(request);
    this.isHeadUnsent = sender.hasFailed;
    if (this.isBatchOpen) server.expectMore(exchange);
    else server.expect(exchange);
    const isIgnored = exchange.isSkipping && exchange.isComplete;
    this.isBatchOpen = isIgnored || request.end === 'flush' || request.end === 'unfinished';
    return flows;
  }

  #begin(
    server: ServerConnection,
    request: Request,
    may: Leave,
    deferred: readonly string[],
  ): void {
    this.canRunAgain = may.retry;
    this.#session.statements.settle();
    this.sawError = false;
    this.hasExecuted = false;
    this.#copyEndsAhead = 0;
    this.exchange.reset((may.retry && request.isExecuting) || may.renew);
    bringSettings(server, this.#state.settings);
    if (server.txStatus !== TxStatus.Failed) this.#bringNamed(server, request, deferred.length > 0);
    if (server.txStatus === TxStatus.Idle) this.#bringChannels(server, request);
    this.#discardSequences(server, request, deferred.length > 0);
    sendDeferred(server, deferred);
  }

  /** What SQL speaks of by its name has to be there. */
  #bringNamed(server: ServerConnection, request: Request, begins: boolean): void {
    const { statements } = this.#session;
    const { end, sqlNames, namesTaken } = request;
    if (request.listsStatements && !this.#session.knowsServerNames)
      bringNamedOnly(server, statements, this.exchange);
    // What the rest of an open batch names is not known, and then nothing can be put in front;
    // within a transaction what fails ends it, so that it is made before.
    const isOpen = begins || request.begins !== null || end === 'flush' || end === 'unfinished';
    const mayNameAny = server.txStatus === TxStatus.Idle && (isOpen || request.mayNameAny);
    const names = mayNameAny ? anyName(server, statements, sqlNames) : sqlNames;
    if (names.length === 0) return;
    bringClientNamed(
      server,
      names,
      request.mayNameAny ? [] : namesTaken,
      statements,
      this.exchange,
    );
  }

  /** Others' currval() and lastval() are not for this session. */
  #discardSequences(server: ServerConnection, request: Request, begins: boolean): void {
    const asks = request.readsSequences;
    // Later it could give a transaction its snapshot before it has taken its locks.
    const isFirst = server.txStatus === TxStatus.Idle;
    const mayTake = begins || request.begins !== null || request.access === 'write';
    const takes = isFirst && mayTake && !this.#state.isReadOnly;
    if (server.txStatus === TxStatus.Failed || !(asks || takes)) return;
    const discards = this.#state.sequences.take(server, asks, this.#sequences);
    if (discards) server.runOwn(query('DISCARD SEQUENCES'), () => {});
  }

  /** The session asks what it listens to, which the server connection does not know. */
  #bringChannels(server: ServerConnection, request: Request): void {
    if (request.listsChannels && this.#state.channels.size > 0) {
      server.listens = true;
      server.runOwn(query(this.#state.channels.sql), () => {});
    }
  }

  #continue(request: Request, mayRetry: boolean): void {
    const { exchange } = this;
    // PostgreSQL 18 then forgets, at Sync, to end the batch's transaction (xact_started in
    // postgres.c): whatever comes next fails with XX000.
    if (request.end === 'query' || request.end === 'call') this.mustClose = true;
    // The parts before are answered and executed nothing: this one can still run elsewhere.
    this.canRunAgain = mayRetry && exchange.isComplete && !exchange.isSkipping && !this.hasExecuted;
    exchange.forgetDone();
    if (!this.canRunAgain) return;
    // What they have prepared is there for the client, also when this one runs again.
    this.#session.statements.settle();
    exchange.restart(request.isExecuting);
  }

  /** CopyData or its end goes out before the server has asked for it. */
  noteCopyAhead(type: number): void {
    if (type !== Frontend.CopyData) this.#copyEndsAhead += 1;
  }

  /** The server asks for CopyData: true if the end of it has gone out already. */
  takeCopyEnd(): boolean {
    if (this.#copyEndsAhead === 0) return false;
    this.#copyEndsAhead -= 1;
    return true;
  }

  /** Goes on without what was sent: its replies are somebody else's business. */
  renew(): void {
    this.exchange = new Exchange(this.#sink);
    this.isBatchOpen = false;
  }

  /** What was sent has its answer, or will not get it: nothing is kept for its sake. */
  end(): void {
    this.exchange.forgetDone();
    if (this.#borrowed.length === 0) return;
    for (const text of this.#borrowed) this.#session.texts.drop(text);
    this.#borrowed = [];
  }
}

/** Those that it names, that the session has made, and that others have and it must not find. */
function anyName(
  { prepared }: ServerConnection,
  statements: ClientStatements,
  named: readonly string[],
): readonly string[] {
  if (statements.hasSql || prepared.hasClientNames)
    return [...new Set([...named, ...statements.sqlNames, ...prepared.clientNames])];
  return named;
}
