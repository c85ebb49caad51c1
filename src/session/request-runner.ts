import assert from 'node:assert';
import { ProxyError } from '../errors.ts';
import type { ServerLogin } from '../pool/cluster.ts';
import { Exchange, type ReplySink } from '../pool/exchange.ts';
import { cancelOn, giveBack, leaveToItself } from '../pool/give-back.ts';
import type { PreparedText } from '../pool/prepared.ts';
import { Op, steps } from '../pool/step.ts';
import { Frontend, TxStatus } from '../protocol/codes.ts';
import { errorField } from '../protocol/fields.ts';
import { query } from '../protocol/frontend.ts';
import type { Classified } from '../router/statement.ts';
import { BatchBuilder, type BuilderSession } from './batch-builder.ts';
import { CommitReport } from './commit-report.ts';
import { bringSettings, changesRole, sendDeferred } from './in-front.ts';
import type { Placed, PlacementFailure } from './placement.ts';
import type { Request } from './request.ts';
import { RequestPlacer } from './request-placer.ts';
import { RouteLog } from './route-log.ts';
import type { ClientKnowledge, LastRoute, RunnerOwner } from './runner-owner.ts';
import type { SessionContext } from './session-context.ts';
import type { SessionState } from './session-state.ts';
import { StatementEffects } from './statement-effects.ts';
import type { ClientStatements } from './statements.ts';

/** The server side of one session: places its requests, runs them, and runs them again. */
export class RequestRunner implements ReplySink, BuilderSession {
  /** BEGIN and SET TRANSACTION that were answered and not sent: they go with the next request. */
  readonly deferred: string[] = [];
  readonly texts;
  readonly statementsMax: number;
  readonly statements: ClientStatements;
  readonly #context: SessionContext;
  readonly #owner: RunnerOwner;
  readonly #state: SessionState;
  readonly #effects: StatementEffects;
  readonly #routes: RouteLog;
  readonly #placer: RequestPlacer;
  /** Null: the client has not asked for it. */
  readonly #report: CommitReport | null;
  /** ReadyForQuery was kept back for the report. */
  #isReporting = false;
  readonly #database: string;
  #placed: Placed | null = null;
  #exchange: Exchange;
  #request: Request | null = null;
  /** Extended messages went out without Sync: the exchange is open. */
  #isBatchOpen = false;
  /** The transaction that this request is part of was begun by an earlier one. */
  #wasInTransaction = false;
  #sawError = false;
  /** The request waits for the answers to the parts of its batch before it. */
  #awaitsAnswers = false;
  /** A part of the open batch has executed something. */
  #hasExecuted = false;
  /** Nobody else may have the server connection after this session. */
  #mustClose = false;
  /** CopyDone and CopyFail messages of the batch that went out before the server asked for data. */
  #copyEndsAhead = 0;
  /** Nobody would notice if what is under way ran on another server instead. */
  #canRunAgain = false;
  #borrowed: PreparedText[] = [];
  /** A cancel request came for the request that is under way. */
  #isCancelled = false;
  /** The running transaction has changed what the catalog says; it counts when it commits. */
  #hasChangedCatalog = false;
  /** What was sent last ends in an error of ours: what the client sends of it goes nowhere. */
  #isHeadUnsent = false;

  constructor(
    context: SessionContext,
    login: ServerLogin,
    client: ClientKnowledge,
    owner: RunnerOwner,
  ) {
    this.#context = context;
    this.#owner = owner;
    this.#state = client.state;
    this.#effects = new StatementEffects(client.state, client.statements, client.told);
    this.#routes = new RouteLog(context);
    this.#database = login.database;
    this.statements = client.statements;
    this.texts = context.cluster.prepared;
    this.statementsMax = context.config.pool.statementsMax;
    this.#exchange = new Exchange(this);
    this.#placer = new RequestPlacer(context, login, client.state, {
      placed: (placed) => this.#send(placed),
      notPlaced: (failure) => this.#notPlaced(failure),
      tell: (message) => owner.write(message),
    });
    this.#report = client.reportsLsn ? new CommitReport(context.monitor, context.gate) : null;
  }

  get lastRoute(): LastRoute | null {
    return this.#routes.last;
  }

  /** What the session's token has to cover, as a moment of the monitor's clock. */
  get coverMs(): number {
    // A notification may have told it of a commit at any time up to now.
    const isListening = this.#state.pins.has('listen') || this.#state.pins.has('unparsed');
    return isListening ? this.#context.monitor.now() : this.#placer.destination.floor.coverMs;
  }

  get isAttached(): boolean {
    return this.#placed !== null;
  }

  get isBatchOpen(): boolean {
    return this.#isBatchOpen;
  }

  /** SQL PREPARE, or text nobody has read, may have made statements that only the server knows. */
  get knowsServerNames(): boolean {
    return this.#state.pins.has('sql-prepare') || this.#state.pins.has('unparsed');
  }

  /** Runs a request: on the server the session holds, else wherever it belongs. */
  run(request: Request): void {
    this.#request = request;
    this.#isCancelled = false;
    this.#placer.begin();
    const isBegun = this.deferred.length === 0 || this.#isBatchOpen;
    this.#wasInTransaction = this.#state.inTransaction && isBegun;
    if (this.#placed === null) {
      this.#place(request);
    } else if (this.#mustMove(request, this.#placed)) {
      this.#moveBatch(request, this.#placed);
    } else {
      this.#runHere(request, this.#placed);
    }
  }

  /** What the server ignores, or ran a part of already, is not to be executed elsewhere. */
  #mustMove(request: Request, placed: Placed): boolean {
    if (!this.#isBatchOpen || this.#wasInTransaction) return false;
    if (this.#hasExecuted || this.#exchange.isSkipping) return false;
    return this.#placer.destination.mustMove(request, placed);
  }

  #moveBatch(request: Request, placed: Placed): void {
    if (this.#exchange.isComplete) {
      this.#leave(placed, true);
      this.#place(request);
    } else {
      this.#runWhenAnswered(request, placed);
    }
  }

  #runHere(request: Request, placed: Placed): void {
    if (this.#wasInTransaction && !this.#placer.destination.mayStay(request, placed)) {
      // The server has to fail as well: it holds the transaction.
      request.failure = new ProxyError('notOnReplica');
    } else if (
      this.#wasInTransaction &&
      !this.#placer.destination.isFreshEnoughHere(request, placed)
    ) {
      request.failure = new ProxyError('notFreshHere');
    }
    const reason = this.#placer.destination.reasonHere(request, placed, this.#wasInTransaction);
    this.#send({ ...placed, reason, waitedMs: 0 });
  }

  /** More bytes of the request that is being sent, or CopyData. False: wait for `drained`. */
  sendMore(bytes: Buffer): boolean {
    if (this.#placed === null || this.#isHeadUnsent) return true;
    return this.#placed.server.send(bytes);
  }

  /** CopyData or its end for a COPY of the open batch that the server has not begun yet. */
  copyAhead(type: number, bytes: Buffer): boolean {
    if (type !== Frontend.CopyData) this.#copyEndsAhead += 1;
    return this.sendMore(bytes);
  }

  /** The long message that outlasted its request has ended. */
  endMore(): void {
    const placed = this.#placed;
    if (placed === null || this.#request !== null || this.#state.pins.size > 0) return;
    if (placed.server.isReleasable) this.#release(placed);
  }

  /** The client takes bytes again. */
  resumeServer(): void {
    this.#placed?.server.resume();
  }

  /** A cancel request for this session. True: the request was only waiting, and is given up. */
  cancel(): boolean {
    if (this.#request === null) return false;
    if (this.#placed === null) {
      this.#placer.cancel();
      this.#request = null;
      this.deferred.length = 0;
      return true;
    }
    const { server, node, pool } = this.#placed;
    // What the proxy has put in front (BEGIN, settings) must not be hit in its place.
    this.#isCancelled = true;
    server.whenNext(this.#exchange, () => {
      cancelOn(this.#context.cluster.nodes[node]!, pool, server);
    });
    return false;
  }

  /** The client is gone; `inCopy`: the server waits for its CopyData. */
  close(midFrame: boolean, inCopy: boolean): void {
    this.#placer.close();
    this.#report?.cancel();
    this.#endBorrowing();
    this.statements.close();
    const placed = this.#placed;
    if (placed === null) return;
    this.#placed = null;
    leaveToItself(placed.pool, placed.server, {
      exchange: this.#exchange,
      address: this.#context.cluster.nodes[placed.node]!,
      mayCancel: this.#wasInTransaction || (this.#request?.mayBeCutOff ?? false),
      mustClose: midFrame || this.#state.pins.size > 0,
      copyToEnd: inCopy,
      lacksSync: this.#isBatchOpen,
    });
  }

  // --- where to --------------------------------------------------------------------------------

  #place(request: Request): void {
    this.#placer.place(request, this.deferred.length > 0);
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
    this.#routes.note(placed, this.#request);
    if (!this.#isBatchOpen && changesRole(server, this.#state.settings)) this.#becomeRole(placed);
    else this.#transmit(placed);
  }

  #becomeRole(placed: Placed): void {
    const { server } = placed;
    const { settings } = this.#state;
    server.runOwn(query(settings.differenceFrom(server.settings)), (exchange) => {
      if (this.#placed?.server !== server) return;
      if (server.closedFor !== null) {
        this.lost(this.#exchange, null, false);
      } else if (exchange.error === null) {
        server.settings = settings;
        if (this.#isCancelled) {
          this.#release(placed);
          this.#notPlaced(new ProxyError('queryCanceled'));
        } else {
          this.#transmit(placed);
        }
      } else {
        server.settings = null;
        this.#release(placed);
        const message = errorField(exchange.error, 0, exchange.error.length, 'M') ?? '';
        this.#notPlaced(new ProxyError('settingsRefused', message));
      }
    });
  }

  #transmit(placed: Placed): void {
    const { server } = placed;
    const request = this.#request;
    assert(request !== null, 'a server connection without a request');
    const exchange = this.#exchange;
    const mayRetry = this.#mayRetry(request, placed);
    server.socket.cork();
    if (this.#isBatchOpen) {
      // PostgreSQL 18 then forgets, at Sync, to end the batch's transaction (xact_started in
      // postgres.c): whatever comes next fails with XX000.
      if (request.end === 'query' || request.end === 'call') this.#mustClose = true;
      // The parts before are answered and executed nothing: this one can still run elsewhere.
      this.#canRunAgain =
        mayRetry && exchange.isComplete && !exchange.isSkipping && !this.#hasExecuted;
      exchange.makeRoom();
      if (this.#canRunAgain) {
        // What they have prepared is there for the client, also when this one runs again.
        this.statements.settle();
        exchange.restart(request.isExecuting);
      }
    } else {
      this.#canRunAgain = mayRetry;
      this.statements.settle();
      this.#sawError = false;
      this.#hasExecuted = false;
      this.#copyEndsAhead = 0;
      bringSettings(server, this.#state.settings);
      sendDeferred(server, this.deferred);
      exchange.reset(mayRetry && request.isExecuting);
    }
    this.#hasExecuted ||= request.isExecuting;
    this.#copyEndsAhead += request.copyEnds;
    if (request.pinsUnparsed) this.#state.pins.add('unparsed');
    const builder = new BatchBuilder(this, server, exchange.steps);
    const pieces = builder.build(request);
    this.#isHeadUnsent = builder.hasFailed;
    if (builder.borrowed.length > 0) this.#borrowed.push(...builder.borrowed);
    if (this.#isBatchOpen) server.expectMore(exchange);
    else server.expect(exchange);
    const isIgnored = exchange.isSkipping && exchange.isComplete;
    this.#isBatchOpen = isIgnored || request.end === 'flush' || request.end === 'unfinished';
    let flows = true;
    for (const piece of pieces) flows = server.send(piece);
    server.socket.uncork();
    this.#owner.sent(flows);
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
    this.#canRunAgain = false;
    const done = () => this.#runAwaiting(request);
    this.#exchange.steps.push({ op: Op.Fake, skip: false, replacement: null, done });
    server.expectMore(this.#exchange);
  }

  #runAwaiting(request: Request): void {
    const isWanted = this.#awaitsAnswers && this.#request === request && this.#placed !== null;
    this.#awaitsAnswers = false;
    if (isWanted) this.run(request);
  }

  /** Goes on without this server connection, which ends what it has begun by itself. */
  #leave(placed: Placed, lacksSync: boolean): void {
    leaveToItself(placed.pool, placed.server, {
      exchange: this.#exchange,
      address: this.#context.cluster.nodes[placed.node]!,
      mayCancel: false,
      mustClose: false,
      copyToEnd: false,
      lacksSync,
    });
    this.#exchange = new Exchange(this);
    this.#placed = null;
    this.#placer.ended();
    this.#isBatchOpen = false;
  }

  // --- replies ---------------------------------------------------------------------------------

  forward(bytes: Buffer): boolean {
    return this.#owner.write(bytes);
  }

  drained(): void {
    this.#owner.drained();
  }

  copyIn(exchange: Exchange): void {
    if (this.#copyEndsAhead > 0) {
      this.#copyEndsAhead -= 1;
      return;
    }
    // The server ignores a Sync that it reads while it copies (CopyGetData, copyfromparse.c), so
    // the one that has gone out with the batch gets no answer: the client sends another.
    if (exchange.steps.at(-1) === steps.sync) {
      exchange.steps.pop();
      this.#isBatchOpen = true;
    }
    this.#owner.copyIn();
  }

  refused(): void {
    this.#sawError = true;
    const request = this.#request;
    if (this.#awaitsAnswers && request !== null) {
      // The server ignores what follows: there is nothing to run elsewhere.
      queueMicrotask(() => this.#runAwaiting(request));
      return;
    }
    // A Query behind a refused extended message is ignored like everything else up to Sync.
    if (this.#exchange.isSkipping && this.#exchange.isComplete) this.#isBatchOpen = true;
    this.#owner.refused();
  }

  reports(name: string, value: string): boolean {
    return this.#effects.reports(name, value);
  }

  lastWords(): Buffer | null {
    return this.#effects.lastWords();
  }

  keepsReady(status: number): boolean {
    this.#isReporting =
      this.#report !== null &&
      status === TxStatus.Idle &&
      this.#mayHaveWritten(this.#request!, this.#placed!);
    return this.#isReporting;
  }

  retries(_exchange: Exchange, buffer: Buffer, start: number, end: number): boolean {
    return this.#placer.attempts.refusedBy(buffer, start, end);
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
    if (!mayBeShared) this.#mustClose = true;
  }

  ready(exchange: Exchange, status: number): void {
    const placed = this.#placed!;
    const request = this.#request!;
    if (!exchange.dropped) this.statements.settle();
    this.#endBorrowing();
    if (this.#sawError || exchange.dropped) placed.server.prepared.unnamed = null;
    if (exchange.dropped) {
      this.#leave(placed, false);
      this.#runAgain(placed.node, request);
      return;
    }
    this.deferred.length = 0;
    this.#request = null;
    this.#isBatchOpen = false;
    this.#state.ready(status, this.#sawError, placed.server);
    if (!this.#sawError && !this.#state.isReadOnly) {
      this.#placer.attempts.learn(request, () =>
        this.#context.databases.classifier(this.#database),
      );
    }
    this.#hasChangedCatalog ||= request.ddl;
    this.#placer.destination.answered(request, placed, this.#mayHaveWritten(request, placed));
    if (status === TxStatus.Idle) {
      if (this.#hasChangedCatalog) this.#context.databases.changed(this.#database);
      this.#hasChangedCatalog = false;
      this.statements.endTransaction();
      // A COPY that failed has not ended the message that the client is sending.
      if (this.#state.pins.size === 0 && !this.#owner.isMidMessage) this.#release(placed);
    }
    if (this.#isReporting) this.#reportCommit();
    else this.#owner.answered();
  }

  #reportCommit(): void {
    this.#isReporting = false;
    this.#report!.start((messages) => {
      this.#owner.write(messages);
      this.#owner.answered();
    });
  }

  /** On the primary, also what has failed: CALL and query strings commit before they fail. */
  #mayHaveWritten(request: Request, { isPrimary }: Placed): boolean {
    return (
      isPrimary && (request.access === 'write' || request.hasEffects || this.#wasInTransaction)
    );
  }

  lost(exchange: Exchange, message: string | null, midFrame: boolean): void {
    const placed = this.#placed;
    const request = this.#request;
    // What awaits answers was not sent, and its own end is known.
    const lacksSync = this.#isBatchOpen && !this.#awaitsAnswers;
    this.#placed = null;
    this.#placer.ended();
    this.#awaitsAnswers = false;
    this.#endBorrowing();
    if (placed === null || request === null) return;
    this.#context.monitor.nudge(placed.node);
    if (midFrame) {
      this.#owner.cut();
      return;
    }
    this.#isBatchOpen = false;
    if (lacksSync && exchange.isComplete && this.#isPreparationOnly(request, placed)) {
      this.#request = null;
      this.statements.settle();
      return;
    }
    const mayRun = !exchange.emitted && this.#canRunAgain && this.#placer.attempts.areLeft;
    if (mayRun && (!lacksSync || this.#owner.takesBack())) {
      this.#runAgain(placed.node, request);
      return;
    }
    this.#request = null;
    this.statements.settle();
    this.deferred.length = 0;
    this.#placer.destination.lost(placed);
    const error = new ProxyError(
      request.access === 'read' && !placed.isPrimary ? 'readLost' : 'serverLost',
    );
    if (message !== null) error.withDetail(`The server said: ${message}`);
    this.#owner.failed(error, lacksSync);
  }

  /**
   * The parts of the open batch so far were answered, and what they have prepared is prepared again
   * wherever its next part goes: a driver that describes before it binds.
   */
  #isPreparationOnly(request: Request, placed: Placed): boolean {
    return !this.#hasExecuted && this.#mayRetry(request, placed);
  }

  /** The server connection went away between requests, with what the session kept on it. */
  gone(): void {
    this.#placed = null;
    this.#placer.ended();
    this.#owner.gone();
  }

  #runAgain(failedNode: number, request: Request): void {
    this.statements.forget();
    this.#context.routes.retries += 1;
    this.#sawError = false;
    this.#placer.placeAgain(request, this.deferred.length > 0, failedNode);
  }

  #endBorrowing(): void {
    if (this.#borrowed.length === 0) return;
    for (const text of this.#borrowed) this.texts.drop(text);
    this.#borrowed = [];
  }

  #release({ pool, server }: Placed): void {
    this.#placed = null;
    this.#placer.ended();
    if (this.#mustClose) {
      this.#mustClose = false;
      server.owner = null;
      server.close('session-state');
      return;
    }
    giveBack(pool, server);
  }
}
