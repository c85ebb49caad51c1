import type { Socket } from 'node:net';
import { ProxyError } from '../errors.ts';
import type { Waiter } from '../lag/gate.ts';
import { closeSocket } from '../pool/close-socket.ts';
import type { LastWord } from '../pool/exchange.ts';
import { ServerLoginError } from '../pool/server-handshake.ts';
import { errorResponse, readyForQuery, type TxStatusByte } from '../protocol/backend.ts';
import { Frontend, TxStatus } from '../protocol/codes.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import type { Classifier } from '../router/classifier.ts';
import type { PinReason } from '../router/statement.ts';
import { ClientInput, type InputOwner } from './client-input.ts';
import type { KeyHolder, Peer } from './key-holder.ts';
import { answerBatch, answerQuery, type LocalAnswer } from './local-answer.ts';
import { LocalStatements } from './local-statements.ts';
import type { Subscriber } from './notification-hub.ts';
import { KeptNotifications } from './notifications.ts';
import type { LaterAnswer } from './own-settings.ts';
import type { PlacementFailure } from './placement.ts';
import { ReadMeasure } from './read-measure.ts';
import type { Request, RequestEnd } from './request.ts';
import { RequestIntake } from './request-intake.ts';
import { RequestRunner } from './request-runner.ts';
import type { RunnerOwner } from './runner-owner.ts';
import type { SessionContext } from './session-context.ts';
import { checkEdge, copyTypes, isCopyMessage, type Phase } from './session-phase.ts';
import type { SessionState } from './session-state.ts';
import { SharedReads } from './shared-reads.ts';
import { ClientStatements } from './statements.ts';
import { ToldParameters } from './told-parameters.ts';

export interface SessionOptions {
  readonly socket: Socket;
  /** Of its cancel key: what its client takes for its backend's process id. */
  readonly pid: number;
  readonly user: string;
  readonly database: string;
  readonly state: SessionState;
  /** It is told its token with each commit. */
  readonly reportsLsn: boolean;
  /** Parameters as the client is told of them at its login. */
  readonly reported: ReadonlyMap<string, string>;
  readonly context: SessionContext;
  /** Called once when the session is over. */
  readonly closed: (session: ClientSession) => void;
}

/** A logged-in client: its messages become requests, its requests run one at a time. */
export class ClientSession implements InputOwner, RunnerOwner, Subscriber, Peer, KeyHolder {
  /** Of its cancel key. */
  readonly pid: number;
  readonly user: string;
  readonly database: string;
  readonly state: SessionState;
  readonly #socket: Socket;
  readonly #context: SessionContext;
  readonly #classifier: Classifier;
  readonly #closed: (session: ClientSession) => void;
  readonly #input: ClientInput;
  readonly #statements: ClientStatements;
  readonly #runner: RequestRunner;
  readonly #shared: SharedReads;
  readonly #measure: ReadMeasure;
  readonly #local: LocalStatements;
  readonly #intake: RequestIntake;
  #phase: Phase = 'idle';
  /** The rest of a long message goes to the server piece by piece, or nowhere. */
  #streaming: 'to-server' | 'dropped' | null = null;
  /** The proxy's own answer to the request is waited for. */
  #answerWaiter: Waiter | null = null;
  readonly #notifications = new KeptNotifications();
  /** An error was sent for an extended batch: everything up to its Sync is ignored. */
  #isSkippingToSync = false;
  /** The proxy shuts down: the session ends when its transaction has ended. */
  #isDraining = false;

  constructor(options: SessionOptions) {
    const { socket, context, state, user, database } = options;
    this.pid = options.pid;
    this.user = user;
    this.database = database;
    this.state = state;
    this.#socket = socket;
    this.#context = context;
    this.#closed = options.closed;
    this.#classifier = context.databases.classifier(database);
    this.#statements = new ClientStatements(context.cluster.prepared);
    this.#intake = new RequestIntake(this.#statements, (buffer, start, end) =>
      this.#classifier.classify(buffer, start, end, state.settings.hasBackslashEscapes),
    );
    const login = { user, database, password: context.serverPassword(user) };
    const client = {
      state,
      statements: this.#statements,
      told: new ToldParameters(options.reported),
      reportsLsn: options.reportsLsn,
      subscriber: this,
    };
    this.#runner = new RequestRunner(context, login, client, this);
    this.#shared = new SharedReads(context, login, client, this.#runner, this);
    this.#local = new LocalStatements(context, this.#runner, this.#statements, options);
    this.#measure = new ReadMeasure(context.turns);
    this.#input = new ClientInput(socket, this);
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('drain', () => {
      this.#runner.resumeServer();
      this.#shared.resumeServer();
      this.#tellNotifications();
      this.#pump();
    });
    socket.on('error', () => this.#end());
    socket.on('end', () => this.#end());
    socket.on('close', () => this.#end());
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Why it keeps its server connection between transactions. */
  get pinReasons(): readonly PinReason[] {
    return this.state.pins.reasons;
  }

  /** Takes what came behind the login, and everything after. */
  start(rest: Buffer): void {
    if (rest.length > 0) this.#read(rest);
    this.#socket.resume();
  }

  /** Somebody knows this session's cancel key. */
  cancel(): void {
    if (this.#phase === 'idle' && !this.#runner.isBatchOpen) return;
    const waiter = this.#answerWaiter;
    this.#answerWaiter = null;
    waiter?.cancel();
    if (waiter !== null || this.#cancelRun()) this.failed(new ProxyError('queryCanceled'), false);
  }

  #cancelRun(): boolean {
    return this.#shared.isBusy ? this.#shared.cancel() : this.#runner.cancel();
  }

  get peer(): Peer {
    return this;
  }

  signal(action: 'cancel' | 'terminate'): void {
    this.cancel();
    if (action === 'terminate') this.terminate(new ProxyError('terminatedByCommand'));
  }

  /** Ends at once when idle, else when the transaction has ended. */
  drain(): void {
    this.#isDraining = true;
    this.#betweenRequests();
  }

  /** Ends now, whatever runs. */
  terminate(error: ProxyError): void {
    this.#end(errorResponse({ ...error, message: error.message }));
  }

  // --- from the client -------------------------------------------------------------------------

  get takesInput(): boolean {
    // Whoever does not read the answers may not ask for more of them.
    if (this.#socket.writableNeedDrain) return false;
    return (
      this.#phase === 'idle' ||
      this.#phase === 'copying' ||
      this.#streaming === 'dropped' ||
      (this.#phase === 'active' && this.#streaming === 'to-server')
    );
  }

  #read(chunk: Buffer): void {
    if (this.#phase === 'closed') return;
    try {
      this.#input.take(chunk);
    } catch (error) {
      this.#brokeProtocol(error);
    }
  }

  #pump(): void {
    try {
      this.#input.pump();
    } catch (error) {
      this.#brokeProtocol(error);
    }
  }

  /** When the frame that is being read from the server has been passed on. */
  #pumpSoon(): void {
    queueMicrotask(() => this.#pump());
  }

  #brokeProtocol(error: unknown): void {
    if (!(error instanceof ProtocolError)) throw error;
    this.#context.log.info(
      { user: this.user, database: this.database, problem: error.message },
      'client broke the protocol',
    );
    this.terminate(new ProxyError('protocolViolation', error.message));
  }

  message(type: number, buffer: Buffer, start: number, end: number, isHead: boolean): void {
    if (isHead) this.#streaming = this.#phase === 'idle' ? 'dropped' : 'to-server';
    if (this.#phase === 'copying') {
      this.#copyMessage(type, buffer, start, end);
    } else if (type === Frontend.Terminate) {
      this.#end();
    } else if (this.#isSkippingToSync) {
      if (type === Frontend.Sync) this.#endSkipping();
    } else {
      this.#requestMessage(type, buffer, start, end, isHead);
    }
  }

  piece(bytes: Buffer, isLast: boolean): void {
    const target = this.#streaming;
    if (isLast) this.#streaming = null;
    if (target === 'to-server' && !this.#runner.sendMore(bytes)) this.#input.holdBack(true);
    if (!isLast) return;
    // Extended messages go on behind the long one; a long Query has nothing to follow.
    if (this.#phase === 'active' && this.#runner.isBatchOpen) this.#move('idle');
    else if (this.#phase === 'idle' && target === 'to-server') {
      this.#runner.endMore();
      // Nobody tells it any more when the server connection takes bytes again.
      if (!this.#runner.isAttached) this.#input.holdBack(false);
    }
  }

  #requestMessage(type: number, buffer: Buffer, start: number, end: number, isHead: boolean): void {
    const intake = this.#intake;
    intake.begin();
    if (isCopyMessage(type) && intake.request.count === 0) {
      this.#copyAhead(type, buffer.subarray(start, end), isHead);
      return;
    }
    const requestEnd = intake.take(type, buffer, start, end, isHead);
    if (requestEnd !== null) this.#dispatch(requestEnd);
  }

  /**
   * CopyData and its end, before the server has asked for them: for the COPY of the open batch.
   * Others are left over from a COPY that failed (PostgresMain in postgres.c).
   */
  #copyAhead(type: number, bytes: Buffer, isHead: boolean): void {
    if (!this.#runner.isBatchOpen) return;
    if (isHead) this.#streaming = 'to-server';
    if (!this.#runner.copyAhead(type, bytes)) this.#input.holdBack(true);
  }

  /** What belongs to a COPY goes on as it is; anything else breaks the protocol. */
  #copyMessage(type: number, buffer: Buffer, start: number, end: number): void {
    if (type === Frontend.Terminate) {
      this.#end();
      return;
    }
    if (!copyTypes.has(type)) {
      // CopyGetData (copyfromparse.c) loses its place in the stream over this.
      const name = `0x${type.toString(16).toUpperCase().padStart(2, '0')}`;
      throw new ProtocolError(`unexpected message type ${name} during COPY from stdin`);
    }
    if (!this.#runner.sendMore(buffer.subarray(start, end))) this.#input.holdBack(true);
    if (type === Frontend.CopyData || type === Frontend.Sync || type === Frontend.Flush) return;
    this.#move(this.#runner.isBatchOpen ? 'idle' : 'active');
  }

  #dispatch(end: RequestEnd): void {
    const request = this.#intake.request;
    this.#intake.isOver = true;
    request.finish(end, this.#statements);
    if (this.#answerHere(request)) {
      this.#betweenRequests();
      return;
    }
    if (request.isStreaming) this.#streaming = 'to-server';
    this.#move('waiting');
    if (!this.#share(request)) this.#runner.run(request);
  }

  /** Sends a short read behind those of others; measures those that may be. */
  #share(request: Request): boolean {
    if (!this.#context.config.pool.sharing || !request.isSingleRead) return false;
    const pace = this.#context.paces.of(request.classified!);
    if (this.#shared.tryRun(request, pace)) return true;
    this.#measure.begin(pace);
    return false;
  }

  /** Answers what needs no server; false: it needs one. */
  #answerHere(request: Request): boolean {
    const found = this.#local.answer(request, this.state);
    if (found === null) return false;
    // As every simple Query does (exec_simple_query in postgres.c).
    if (request.end === 'query') this.#statements.unnamed = null;
    if (typeof found === 'function') {
      this.#answerLater(request, found);
      return true;
    }
    return this.#give(request, found);
  }

  #answerLater(request: Request, later: LaterAnswer): void {
    this.#move('waiting');
    this.#answerWaiter = later((found) => {
      this.#answerWaiter = null;
      if (found === null || !this.#give(request, found)) {
        this.#runner.run(request);
        return;
      }
      this.#move('idle');
      this.#betweenRequests();
      this.#pump();
    });
  }

  /** False: a server has to give the answer. */
  #give(request: Request, found: LocalAnswer | ProxyError): boolean {
    if (found instanceof ProxyError) {
      if (found.severity === 'FATAL') {
        this.terminate(found);
        return true;
      }
      if (this.#runner.isAttached) {
        // The server has to fail as well: it may hold a transaction.
        request.failure = found;
        return false;
      }
      this.#refuseRequest(found, false);
      return true;
    }
    const status = this.state.txStatus as TxStatusByte;
    const replies =
      request.end === 'query' ? answerQuery(found, status) : answerBatch(request, found, status);
    this.write(replies);
    return true;
  }

  #endSkipping(): void {
    this.#isSkippingToSync = false;
    this.#intake.isOver = true;
    this.write(readyForQuery(this.state.txStatus as TxStatusByte));
  }

  // --- from the runner -------------------------------------------------------------------------

  write(bytes: Buffer): boolean {
    this.#measure.returned(bytes.length);
    return this.#socket.write(bytes);
  }

  get isMidMessage(): boolean {
    return this.#streaming === 'to-server';
  }

  sent(flows: boolean): void {
    this.#input.holdBack(!flows);
    this.#measure.sent();
    if (this.#phase === 'waiting') this.#move('active');
    if (this.#phase === 'active' && this.#runner.isBatchOpen && this.#streaming === null) {
      this.#move('idle');
    }
    this.#pump();
  }

  takeNotifications(): Buffer | null {
    const { channels } = this.state;
    // Until it is settled what the session listens to, ReadyForQuery is held back as well.
    return channels.areChanging ? null : this.#notifications.take(channels);
  }

  ready(messages: Buffer): void {
    const news = this.#notifications.take(this.state.channels);
    if (news !== null) this.write(news);
    this.write(messages);
  }

  answered(): void {
    if (this.#phase === 'closed') return;
    this.#measure.answered();
    if (this.#phase !== 'idle') this.#move('idle');
    // The server connection may be gone, and with it the news that it takes bytes again.
    this.#input.holdBack(false);
    this.#betweenRequests();
    this.#pump();
  }

  copyIn(): void {
    // In an open batch the session is idle again; the client answers the server's request first.
    if (this.#phase === 'idle') this.#move('waiting');
    if (this.#phase === 'waiting') this.#move('active');
    this.#move('copying');
    this.#pumpSoon();
  }

  refused(): void {
    if (!this.#runner.isBatchOpen || this.#streaming !== null) return;
    if (this.#phase !== 'copying' && this.#phase !== 'active') return;
    this.#move('idle');
    this.#pumpSoon();
  }

  failed(failure: PlacementFailure, lacksSync: boolean): void {
    if (this.#phase === 'closed') return;
    this.#measure.failed();
    if (failure instanceof ProxyError && failure.severity === 'FATAL') {
      this.terminate(failure);
      return;
    }
    if (this.state.pins.size > 0 && !this.#runner.isAttached) {
      this.terminate(new ProxyError('idleInReset'));
      return;
    }
    if (this.#phase !== 'idle') this.#move('idle');
    if (this.#streaming !== null) this.#streaming = 'dropped';
    this.#input.holdBack(false);
    this.#refuseRequest(failure, lacksSync);
    this.#betweenRequests();
    this.#pump();
  }

  takesBack(): boolean {
    if (this.#phase !== 'idle') return true;
    if (!this.#intake.isOver) return false;
    this.#move('waiting');
    return true;
  }

  cut(): void {
    this.#socket.destroy();
    this.#end();
  }

  endedBy({ sqlstate, message }: LastWord): void {
    this.#end(errorResponse({ severity: 'FATAL', sqlstate, message }));
  }

  gone(): void {
    if (this.state.pins.size > 0) {
      this.terminate(new ProxyError('idleInReset'));
    } else if (this.state.inTransaction) {
      this.#local.transactionLost();
    }
  }

  drained(): void {
    this.#input.holdBack(false);
    this.#pump();
  }

  // --- from the shared listening connection ----------------------------------------------------

  notified(message: Buffer): void {
    if (this.#phase === 'closed') return;
    this.#runner.notified();
    if (!this.#notifications.keep(message)) {
      this.terminate(new ProxyError('notificationsLost', 'the session did not take them'));
      return;
    }
    this.#tellNotifications();
  }

  notificationsLost(): void {
    this.terminate(new ProxyError('notificationsLost', 'the connection that listens was lost'));
  }

  #tellNotifications(): void {
    if (this.#notifications.isEmpty || this.#phase !== 'idle') return;
    if (this.state.inTransaction || this.#runner.isBatchOpen || this.#isSkippingToSync) return;
    if (this.#socket.writableNeedDrain) return;
    const news = this.#notifications.take(this.state.channels);
    if (news !== null) this.write(news);
  }

  // --- ends ------------------------------------------------------------------------------------

  /** Sends the error and what the client waits for behind it. */
  #refuseRequest(failure: PlacementFailure, lacksSync: boolean): void {
    this.#context.routes.failed(failure.sqlstate);
    // A transaction in which something failed is a failed one, wherever it failed.
    if (this.state.inTransaction) this.state.txStatus = TxStatus.Failed;
    this.#runner.deferred.length = 0;
    const { sqlstate, message } = failure;
    const more =
      failure instanceof ServerLoginError ? {} : { hint: failure.hint, detail: failure.detail };
    this.write(errorResponse({ severity: 'ERROR', sqlstate, message, ...more }));
    const { end } = this.#intake.request;
    if (lacksSync || end === 'flush' || end === 'unfinished') this.#isSkippingToSync = true;
    else this.write(readyForQuery(this.state.txStatus as TxStatusByte));
  }

  /** Between two requests: what has waited for that. */
  #betweenRequests(): void {
    this.#tellNotifications();
    if (this.#phase !== 'idle' || this.#runner.isBatchOpen) return;
    this.#intake.forget();
    if (this.#isDraining && !this.state.inTransaction) {
      this.terminate(new ProxyError('shuttingDown'));
    }
  }

  #end(lastMessage: Buffer | null = null): void {
    if (this.#phase === 'closed') return;
    const inCopy = this.#phase === 'copying';
    const midFrame = this.#streaming === 'to-server' && this.#runner.isAttached;
    this.#move('closed');
    this.#answerWaiter?.cancel();
    this.#shared.close();
    this.#runner.close(midFrame, inCopy);
    closeSocket(this.#socket, lastMessage);
    this.#closed(this);
  }

  /** The one place where the phase changes. */
  #move(next: Phase): void {
    checkEdge(this.#phase, next);
    this.#phase = next;
  }
}
