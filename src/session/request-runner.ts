import assert from 'node:assert';
import { ProxyError } from '../errors.ts';
import type { ServerLogin } from '../pool/cluster.ts';
import type { ConnectionOwner, Exchange, LastWord, ReplySink } from '../pool/exchange.ts';
import { cancelOn, giveBack, leaveToItself } from '../pool/give-back.ts';
import type { ServerConnection } from '../pool/server-connection.ts';
import type { Settings } from '../pool/settings.ts';
import { Op, steps } from '../pool/step.ts';
import { TxStatus } from '../protocol/codes.ts';
import type { RouteReason } from '../router/route.ts';
import type { Classified } from '../router/statement.ts';
import { Aftermath } from './aftermath.ts';
import type { BackToBase } from './back-to-base.ts';
import type { SenderSession } from './batch-sender.ts';
import { CommitReport } from './commit-report.ts';
import type { Destination } from './destination.ts';
import { ParseScope } from './parse-scope.ts';
import type { Placed, PlacementFailure } from './placement.ts';
import { Readying, type ReadyingOwner } from './readying.ts';
import type { Request } from './request.ts';
import { RequestPlacer } from './request-placer.ts';
import { hasNotRun, isStalePlan } from './retry-policy.ts';
import { RouteLog } from './route-log.ts';
import type { ClientKnowledge, LastRoute, RunnerOwner } from './runner-owner.ts';
import type { SessionContext } from './session-context.ts';
import type { SessionState } from './session-state.ts';
import { StatementEffects } from './statement-effects.ts';
import type { ClientStatements } from './statements.ts';
import { Transmission } from './transmission.ts';
import { UntoldChanges } from './untold-changes.ts';

/**
 * Time-outs that PostgreSQL ends a session with, because the session was told to have them:
 * idle_in_transaction_session_timeout, transaction_timeout, idle_session_timeout.
 */
const askedForEnds: ReadonlySet<string> = new Set(['25P03', '25P04', '57P05']);

/** The server side of one session: places its requests, runs them, and runs them again. */
export class RequestRunner implements ReplySink, ConnectionOwner, SenderSession, ReadyingOwner {
  /** BEGIN and SET TRANSACTION that were answered and not sent: they go with the next request. */
  readonly deferred: string[] = [];
  readonly texts;
  readonly statementsMax: number;
  readonly statements: ClientStatements;
  readonly scope: ParseScope;
  readonly #context: SessionContext;
  readonly #owner: RunnerOwner;
  readonly #state: SessionState;
  readonly #effects: StatementEffects;
  readonly routes: RouteLog;
  readonly clientPid: number;
  readonly #placer: RequestPlacer;
  readonly #aftermath: Aftermath;
  /** ReadyForQuery was kept back. */
  #holdsReady = false;
  readonly #database: string;
  #placed: Placed | null = null;
  /** Where it wrote last. */
  #lastWritten: Placed | null = null;
  readonly #sent: Transmission;
  #request: Request | null = null;
  /** The transaction that this request is part of was begun by an earlier one. */
  #wasInTransaction = false;
  /** The request waits for the answers to the parts of its batch before it. */
  #awaitsAnswers = false;
  /** The request waits for its session to be free of the server connection it has. */
  #waitsToMove = false;
  readonly #readying: Readying;
  readonly #changes: UntoldChanges;

  constructor(
    context: SessionContext,
    login: ServerLogin,
    client: ClientKnowledge,
    owner: RunnerOwner,
  ) {
    this.#context = context;
    this.#owner = owner;
    this.clientPid = client.subscriber.pid;
    this.#state = client.state;
    this.#effects = new StatementEffects(client);
    this.routes = new RouteLog(context);
    this.#database = login.database;
    this.statements = client.statements;
    this.texts = context.cluster.prepared;
    this.scope = new ParseScope(this.texts, login.database, client.state);
    this.statementsMax = context.config.pool.statementsMax;
    this.#sent = new Transmission(this, client.state, context.cluster.sequences);
    this.#placer = new RequestPlacer(context, login, client.state, {
      placed: (placed) => this.#send(placed),
      notPlaced: (failure) => this.#notPlaced(failure),
      tell: (message) => owner.write(message),
    });
    this.#readying = new Readying(client.state, this);
    this.#changes = new UntoldChanges(context.changes, login.database, this.#placer.destination);
    this.#aftermath = new Aftermath({
      state: client.state,
      login,
      hub: context.databases.notifications(login.database),
      subscriber: client.subscriber,
      report: client.reportsLsn ? new CommitReport(context.monitor, context.gate) : null,
    });
  }

  get destination(): Destination {
    return this.#placer.destination;
  }

  get lastRoute(): LastRoute | null {
    return this.routes.last;
  }

  /** What the session's token has to cover, as a moment of the monitor's clock. */
  get coverMs(): number {
    // A notification may have told it of a commit at any time up to now.
    const { channels, pins } = this.#state;
    const isListening = channels.size > 0 || pins.has('listen') || pins.has('unparsed');
    return isListening ? this.#context.monitor.now() : this.#placer.destination.floor.coverMs;
  }

  /** A notification has come for the session: what it tells of must be seen by its reads. */
  notified(): void {
    this.#placer.destination.floor.notified();
  }

  get isAttached(): boolean {
    return this.#placed !== null;
  }

  get isBatchOpen(): boolean {
    return this.#sent.isBatchOpen;
  }

  /** SQL PREPARE, or text nobody has read, may have made statements that only the server knows. */
  get knowsServerNames(): boolean {
    return this.#state.pins.has('sql-prepare') || this.#state.pins.has('unparsed');
  }

  get base(): Settings {
    return this.#state.base;
  }

  broughtBack(back: BackToBase): void {
    if (this.#placed !== null) this.#state.broughtBack(back, this.#placed.server);
  }

  /** Runs a request: on the server the session holds, else wherever it belongs. */
  run(request: Request): void {
    this.#request = request;
    for (const database of request.vacates) this.#context.changes.vacate(database);
    this.#readying.isCancelled = false;
    this.#placer.begin();
    const isBegun = this.deferred.length === 0 || this.#sent.isBatchOpen;
    this.#wasInTransaction = this.#state.inTransaction && isBegun;
    if (this.#placed === null) {
      this.#place(request);
    } else if (this.#aftermath.isAsking && isWantedElsewhere(this.#placed)) {
      // Perhaps nothing but the question ties the session to this server connection.
      this.#waitsToMove = true;
    } else if (this.#mustMove(request, this.#placed)) {
      this.#moveBatch(request, this.#placed);
    } else {
      this.#runHere(request, this.#placed);
    }
  }

  /** What the server ignores, or ran a part of already, is not to be executed elsewhere. */
  #mustMove(request: Request, placed: Placed): boolean {
    if (!this.#sent.isBatchOpen || this.#wasInTransaction) return false;
    if (this.#sent.hasExecuted || this.#sent.exchange.isSkipping) return false;
    return this.#placer.destination.mustMove(request, placed);
  }

  #moveBatch(request: Request, placed: Placed): void {
    if (this.#sent.exchange.isComplete) {
      this.#leave(placed, true);
      this.#place(request);
    } else {
      this.#runWhenAnswered(request, placed);
    }
  }

  #runHere(request: Request, placed: Placed): void {
    const { destination } = this.#placer;
    // On a replica, a batch that is open and has executed something has begun a transaction there.
    const isBegun = this.#wasInTransaction || (this.#sent.isBatchOpen && this.#sent.hasExecuted);
    if (isBegun && !destination.mayStay(request, placed)) {
      // The server has to fail as well: it holds the transaction.
      request.failure = new ProxyError('notOnReplica');
    } else if (this.#wasInTransaction && !destination.isFreshEnoughHere(request, placed)) {
      request.failure = new ProxyError('notFreshHere');
    }
    const reason = destination.reasonHere(request, placed, this.#wasInTransaction);
    this.#send(placedAgain(placed, reason));
  }

  /** More bytes of the request that is being sent, or CopyData. False: wait for `drained`. */
  sendMore(bytes: Buffer): boolean {
    if (this.#placed === null || this.#sent.isHeadUnsent) return true;
    return this.#placed.server.send(bytes);
  }

  /** CopyData or its end for a COPY of the open batch that the server has not begun yet. */
  copyAhead(type: number, bytes: Buffer): boolean {
    this.#sent.noteCopyAhead(type);
    return this.sendMore(bytes);
  }

  /** The long message that outlasted its request has ended. */
  endMore(): void {
    const placed = this.#placed;
    if (placed !== null) this.#releaseIfFree(placed.server);
  }

  /** The client takes bytes again. */
  resumeServer(): void {
    this.#placed?.server.resume();
  }

  /** A cancel request for this session. True: the request was only waiting, and is given up. */
  cancel(): boolean {
    if (this.#request === null) return false;
    if (this.#placed === null || this.#waitsToMove) {
      this.#placer.cancel();
      this.#waitsToMove = false;
      this.#request = null;
      this.deferred.length = 0;
      return true;
    }
    const { server, node, pool } = this.#placed;
    // What the proxy has put in front (BEGIN, settings) must not be hit in its place.
    this.#readying.isCancelled = true;
    server.whenNext(this.#sent.exchange, () => {
      cancelOn(this.#context.cluster.nodes[node]!, pool, server);
    });
    return false;
  }

  /** The client is gone; `inCopy`: the server waits for its CopyData. */
  close(midFrame: boolean, inCopy: boolean): void {
    this.#placer.close();
    this.#waitsToMove = false;
    this.#aftermath.close();
    this.#sent.end();
    this.statements.close();
    const placed = this.#placed;
    if (placed === null) return;
    this.#placed = null;
    leaveToItself(placed.pool, placed.server, {
      exchange: this.#sent.exchange,
      address: this.#context.cluster.nodes[placed.node]!,
      mayCancel: this.#wasInTransaction || (this.#request?.mayBeCutOff ?? false),
      mustClose: midFrame || this.#state.pins.size > 0 || this.#aftermath.isOpen,
      leavesTraces: this.#request?.hasEffects ?? false,
      copyToEnd: inCopy,
      lacksSync: this.#sent.isBatchOpen,
    });
  }

  // --- where to --------------------------------------------------------------------------------

  #place(request: Request): void {
    const last = this.#lastWritten;
    if (request.readsSequences && last !== null && this.#takeAgain(last)) {
      this.#send(placedAgain(last, request.reason ?? 'write'));
      return;
    }
    this.#placer.place(request, this.deferred.length > 0);
  }

  /** Where the session wrote last, if nobody else has written there since: it knows its sequences. */
  #takeAgain({ node, pool, server }: Placed): boolean {
    const isMine = this.#state.sequences.isAt(server) && server.closedFor === null;
    return isMine && this.#context.monitor.primary() === node && pool.takeIdle(server);
  }

  #notPlaced(failure: PlacementFailure): void {
    this.#request = null;
    this.deferred.length = 0;
    this.#owner.failed(failure, false);
  }

  // --- sending ---------------------------------------------------------------------------------

  #send(placed: Placed): void {
    const { server } = placed;
    this.#placed = placed;
    server.owner = this;
    const request = this.#request;
    assert(request !== null, 'a server connection without a request');
    this.routes.note(placed, request);
    this.#readying.begin(server, request, this.#sent.isBatchOpen);
  }

  // --- from what makes the connection ready ----------------------------------------------------

  holds(server: ServerConnection): boolean {
    return this.#placed?.server === server;
  }

  serverClosed(): void {
    this.lost(this.#sent.exchange, null, false);
  }

  serverNotReady(failure: ProxyError): void {
    const placed = this.#placed!;
    this.#release(placed);
    const mayTryPrimary = !this.#readying.isCancelled && !placed.isPrimary;
    if (mayTryPrimary && this.#placer.attempts.refusedRole()) {
      this.#runAgain(placed.node, this.#request!);
    } else {
      this.#notPlaced(failure);
    }
  }

  serverReady(): void {
    const placed = this.#placed!;
    const request = this.#request!;
    const mayRetry = this.#mayRetry(request, placed);
    const may = { retry: mayRetry, renew: this.#mayRenew(request) };
    const { server } = placed;
    // Nobody else sends on it: there is nothing to wait for.
    server.hold();
    this.#sent.send(server, request, may, this.deferred);
    this.#owner.sent(server.flush());
  }

  /** What it prepares can be prepared anew where a server's statement turns out to be too old. */
  #mayRenew(request: Request): boolean {
    return (
      request.end === 'sync' &&
      request.preparesNamed &&
      !this.#wasInTransaction &&
      !this.#sent.isBatchOpen &&
      this.#state.pins.size === 0
    );
  }

  /** Nothing that came before in the transaction or batch ties the request to this server. */
  #mayRetry(request: Request, placed: Placed): boolean {
    return (
      !placed.isPrimary &&
      !this.#wasInTransaction &&
      !request.isStreaming &&
      this.#state.pins.size === 0
    );
  }

  /** The answers to the parts before must not be lost with the server connection. */
  #runWhenAnswered(request: Request, { server }: Placed): void {
    this.#awaitsAnswers = true;
    this.#sent.canRunAgain = false;
    const done = () => this.#runAwaiting(request);
    this.#sent.exchange.steps.push({ op: Op.Fake, skip: false, replacement: null, done });
    server.expectMore(this.#sent.exchange);
  }

  #runAwaiting(request: Request): void {
    const isWanted = this.#awaitsAnswers && this.#request === request && this.#placed !== null;
    this.#awaitsAnswers = false;
    if (isWanted) this.run(request);
  }

  /** Goes on without this server connection, which ends what it has begun by itself. */
  #leave(placed: Placed, lacksSync: boolean): void {
    leaveToItself(placed.pool, placed.server, {
      exchange: this.#sent.exchange,
      address: this.#context.cluster.nodes[placed.node]!,
      mayCancel: false,
      mustClose: false,
      leavesTraces: false,
      copyToEnd: false,
      lacksSync,
    });
    this.#sent.renew();
    this.#placed = null;
    this.#placer.ended();
  }

  // --- replies ---------------------------------------------------------------------------------

  forward(bytes: Buffer): boolean {
    return this.#owner.write(bytes);
  }

  drained(): void {
    this.#owner.drained();
  }

  notification(frame: Buffer): Buffer | null {
    return this.#effects.notification(frame, this.#placed!.server.pid);
  }

  copyIn(exchange: Exchange): void {
    if (this.#sent.takeCopyEnd()) return;
    // The server ignores a Sync that it reads while it copies (CopyGetData, copyfromparse.c), so
    // the one that has gone out with the batch gets no answer: the client sends another.
    if (exchange.steps.at(-1) === steps.sync) {
      exchange.steps.pop();
      exchange.ignoredSync = true;
      this.#sent.isBatchOpen = true;
    }
    this.#owner.copyIn();
  }

  refused(buffer: Buffer, start: number, end: number): void {
    this.#sent.sawError = true;
    if (isStalePlan(buffer, start, end)) this.scope.outdated();
    const request = this.#request;
    if (this.#awaitsAnswers && request !== null) {
      // The server ignores what follows: there is nothing to run elsewhere.
      queueMicrotask(() => this.#runAwaiting(request));
      return;
    }
    // A Query behind a refused extended message is ignored like everything else up to Sync.
    if (this.#sent.exchange.isSkipping && this.#sent.exchange.isComplete)
      this.#sent.isBatchOpen = true;
    this.#owner.refused();
  }

  reports(name: string, value: string): boolean {
    return this.#effects.reports(name, value);
  }

  lastWords(status: number): Buffer | null {
    const told = this.#effects.lastWords();
    const news = status === TxStatus.Idle ? this.#owner.takeNotifications() : null;
    if (told === null || news === null) return told ?? news;
    return Buffer.concat([told, news]);
  }

  keepsReady(status: number): boolean {
    this.#holdsReady =
      status === TxStatus.Idle &&
      this.#aftermath.holdsReady(this.#mayHaveWritten(this.#request!, this.#placed!));
    return this.#holdsReady;
  }

  retries(_exchange: Exchange, buffer: Buffer, start: number, end: number): boolean {
    const { attempts } = this.#placer;
    const request = this.#request!;
    if (isStalePlan(buffer, start, end) && this.#mayRenew(request) && attempts.outdated()) {
      this.scope.outdated();
      return true;
    }
    return this.#sent.canRunAgain && attempts.refusedBy(request, buffer, start, end);
  }

  /** The `index`th statement of a query string completed. */
  completedAt(
    classified: Classified,
    index: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    if (this.#placed === null) return;
    const mayBeShared = this.#effects.completed(
      classified,
      index,
      this.#placed,
      buffer,
      start,
      end,
    );
    if (!mayBeShared) this.#sent.mustClose = true;
  }

  failedAt(
    classified: Classified,
    index: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    if (this.#placed === null || hasNotRun(buffer, start, end)) return;
    if (!this.#effects.failed(classified, index, this.#placed)) this.#sent.mustClose = true;
  }

  ready(exchange: Exchange, status: number): void {
    const placed = this.#placed!;
    const request = this.#request!;
    if (!exchange.dropped) this.statements.settle();
    this.#sent.end();
    if (this.#sent.sawError || exchange.dropped) placed.server.prepared.unnamed = null;
    if (exchange.dropped) {
      this.#leave(placed, false);
      this.#runAgain(placed.node, request);
      return;
    }
    // Of a function that may do anything.
    if (request.end === 'call') this.#state.called(placed.server);
    this.deferred.length = 0;
    this.#request = null;
    this.#sent.isBatchOpen = false;
    this.#state.ready(status, this.#sent.sawError, placed.server);
    if (!this.#sent.sawError && !this.#state.isReadOnly) {
      this.#placer.attempts.learn(request, () =>
        this.#context.databases.classifier(this.#database),
      );
    }
    if (placed.isPrimary && request.access === 'write') this.#lastWritten = placed;
    this.#changes.note(request);
    this.#placer.destination.answered(request, placed, this.#mayHaveWritten(request, placed));
    if (status === TxStatus.Idle) {
      this.#changes.tell();
      this.statements.endTransaction();
      this.scope.ended();
      if (this.#holdsReady) {
        this.#answerLater(placed.server);
        return;
      }
      this.#releaseIfFree(placed.server);
    }
    this.#owner.answered();
  }

  #freed(server: ServerConnection): void {
    const request = this.#waitsToMove ? this.#request : null;
    if (request !== null) this.#request = null;
    this.#releaseIfFree(server);
    // That the connection is gone may have ended the session.
    if (request === null || !this.#waitsToMove) return;
    this.#waitsToMove = false;
    this.run(request);
  }

  #answerLater(server: ServerConnection): void {
    this.#holdsReady = false;
    this.#aftermath.beforeReady(server, (messages) => {
      this.#owner.ready(messages);
      this.#releaseIfFree(server);
      this.#owner.answered();
    });
  }

  /** Others may have the server connection, unless something still ties the session to it. */
  #releaseIfFree(server: ServerConnection): void {
    const placed = this.#placed;
    if (placed?.server !== server || this.#request !== null) return;
    if (server.closedFor !== null) {
      this.gone(null);
      return;
    }
    if (server.txStatus !== TxStatus.Idle || !server.isQuiet) return;
    // A COPY that failed has not ended the message that the client is sending.
    if (this.#owner.isMidMessage) return;
    if (this.#aftermath.keepsServer(placed, () => this.#freed(server))) return;
    if (this.#state.pins.size === 0) this.#release(placed);
  }

  /** On the primary, also what has failed: CALL and query strings commit before they fail. */
  #mayHaveWritten(request: Request, { isPrimary }: Placed): boolean {
    return (
      isPrimary && (request.access === 'write' || request.hasEffects || this.#wasInTransaction)
    );
  }

  lost(exchange: Exchange, word: LastWord | null, midFrame: boolean): void {
    const placed = this.#placed;
    const request = this.#request;
    // What awaits answers was not sent, and its own end is known.
    const lacksSync = this.#sent.isBatchOpen && !this.#awaitsAnswers;
    this.#placed = null;
    this.#placer.ended();
    this.#awaitsAnswers = false;
    this.#sent.end();
    if (placed === null || request === null) return;
    this.#context.monitor.nudge(placed.node);
    if (midFrame) {
      this.#owner.cut();
      return;
    }
    this.#sent.isBatchOpen = false;
    if (lacksSync && exchange.isComplete && this.#isPreparationOnly(request, placed)) {
      this.#request = null;
      this.statements.settle();
      return;
    }
    const mayRun = !exchange.emitted && this.#sent.canRunAgain && this.#placer.attempts.areLeft;
    if (mayRun && (!lacksSync || this.#owner.takesBack())) {
      this.#runAgain(placed.node, request);
      return;
    }
    this.#request = null;
    this.statements.settle();
    this.deferred.length = 0;
    this.#placer.destination.lost(placed);
    // What becomes of it nobody knows, but there is nothing left to be rolled back.
    if (endsTransaction(request)) this.#state.endWithoutServer(false);
    if (word !== null && this.#endsSession(word)) {
      this.#owner.endedBy(word);
      return;
    }
    const error = new ProxyError(
      request.access === 'read' && !placed.isPrimary ? 'readLost' : 'serverLost',
    );
    if (word !== null) error.withDetail(`The server said: ${word.message}`);
    this.#owner.failed(error, lacksSync);
  }

  /**
   * The parts of the open batch so far were answered, and what they have prepared is prepared again
   * wherever its next part goes: a driver that describes before it binds.
   */
  #isPreparationOnly(request: Request, placed: Placed): boolean {
    return !this.#sent.hasExecuted && this.#mayRetry(request, placed);
  }

  /** The server connection went away between requests, with what the session kept on it. */
  gone(word: LastWord | null): void {
    this.#placed = null;
    this.#placer.ended();
    if (word !== null && this.#endsSession(word)) this.#owner.endedBy(word);
    else this.#owner.gone();
  }

  /** It would have ended without the proxy, and has nothing that it could go on with elsewhere. */
  #endsSession({ sqlstate }: LastWord): boolean {
    if (sqlstate === '') return false;
    return this.#state.pins.size > 0 || askedForEnds.has(sqlstate);
  }

  #runAgain(failedNode: number, request: Request): void {
    this.statements.forget();
    this.#context.routes.retries += 1;
    this.#sent.sawError = false;
    this.#placer.placeAgain(request, this.deferred.length > 0, failedNode);
  }

  #release({ pool, server }: Placed): void {
    this.#placed = null;
    this.#placer.ended();
    if (this.#sent.mustClose) {
      this.#sent.mustClose = false;
      server.owner = null;
      server.close('session-state');
      return;
    }
    giveBack(pool, server);
  }
}

/** Where the session is already. Its properties are named: to spread them takes a microsecond. */
function placedAgain(placed: Placed, reason: RouteReason): Placed {
  const { node, pool, server, isPrimary, generation } = placed;
  return { node, pool, server, isPrimary, generation, reason, waitedMs: 0 };
}

/** No session is held to a replica, and on the primary others may be waiting. */
function isWantedElsewhere({ isPrimary, pool }: Placed): boolean {
  return !isPrimary || pool.waiting > 0;
}

function endsTransaction({ classified }: Request): boolean {
  const effect = classified?.statements.at(-1)?.effect;
  return (effect?.kind === 'commit' || effect?.kind === 'rollback') && !effect.chain;
}
