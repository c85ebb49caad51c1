import assert from 'node:assert';
import { ProxyError } from '../errors.ts';
import type { ServerLogin } from '../pool/cluster.ts';
import type { Exchange, LastWord, ReplySink } from '../pool/exchange.ts';
import { cancelOn } from '../pool/give-back.ts';
import type { Pool } from '../pool/pool.ts';
import { Settings } from '../pool/settings.ts';
import type { Rider, SharedLine } from '../pool/shared-line.ts';
import type { SenderSession } from './batch-sender.ts';
import { changesRole } from './in-front.ts';
import { NodePools } from './node-pools.ts';
import { outdatedIn } from './outdated.ts';
import type { Pace } from './pace.ts';
import { pickReplica } from './pick-replica.ts';
import type { Placed } from './placement.ts';
import type { Request } from './request.ts';
import type { RequestRunner } from './request-runner.ts';
import { isStalePlan, retryFor } from './retry-policy.ts';
import type { ClientKnowledge, RunnerOwner } from './runner-owner.ts';
import type { SessionContext } from './session-context.ts';
import { Transmission } from './transmission.ts';

/** A result that has grown to this is no small one: nobody is to wait behind it. */
const smallResultBytesMax = 64 * 1024;

const nothingDeferred: readonly string[] = [];
/** Its replies are kept back until there is a result, so that it can run again. */
const mayLeave = { retry: true, renew: true };

/**
 * Sends reads of a session behind those of other sessions on a server connection, instead of waiting
 * for one of its own: those that are known to be short, outside of transactions, where nothing ties
 * the session to a server. Whatever does not go as it should before the client has seen anything is
 * left to the session's own runner, which runs the request as if nothing had been.
 */
export class SharedReads implements ReplySink, SenderSession, Rider {
  readonly statements;
  readonly texts;
  readonly base = Settings.none;
  readonly statementsMax: number;
  readonly scope;
  readonly isBatchOpen = false;
  readonly knowsServerNames = false;
  readonly #context: SessionContext;
  readonly #client: ClientKnowledge;
  readonly #runner: RequestRunner;
  readonly #owner: RunnerOwner;
  readonly #pools: NodePools;
  readonly #sent: Transmission;
  /** The request under way, where it is, and how long its kind takes; null: none is. */
  #request: Request | null = null;
  #placed: Placed | null = null;
  #line: SharedLine | null = null;
  #pace: Pace | null = null;
  /** It waits for a connection that it may share. */
  #stopWaiting: (() => void) | null = null;
  #bytes = 0;
  #isMovable = true;

  constructor(
    context: SessionContext,
    login: ServerLogin,
    client: ClientKnowledge,
    runner: RequestRunner,
    owner: RunnerOwner,
  ) {
    this.#context = context;
    this.#client = client;
    this.#runner = runner;
    this.#owner = owner;
    this.statements = client.statements;
    this.texts = runner.texts;
    this.statementsMax = runner.statementsMax;
    this.scope = runner.scope;
    this.#pools = new NodePools(context.cluster, login);
    this.#sent = new Transmission(this, client.state, context.cluster.sequences);
  }

  get exchange(): Exchange {
    return this.#sent.exchange;
  }

  get isMovable(): boolean {
    return this.#isMovable;
  }

  get isBusy(): boolean {
    return this.#request !== null;
  }

  /** False: it has to run on a connection of its session's own. */
  tryRun(request: Request, pace: Pace): boolean {
    if (!pace.isShort || !this.#isFree) return false;
    const { monitor } = this.#context;
    // Asked once: the clock shows in what a read costs.
    const nowMs = monitor.now();
    const node = this.#nodeFor(request, nowMs);
    if (node === null) return false;
    const pool = this.#pools.of(node.node);
    const { settings } = this.#client.state;
    const line = pool.lines.find(settings, nowMs);
    if (line === null) {
      this.#wait(request, pace, pool);
      return true;
    }
    if (!this.#fits(request, line)) {
      line.endIfEmpty();
      return false;
    }
    const isPrimary = node.node === monitor.primary();
    const generation = monitor.nodes[node.node]!.generation;
    this.#request = request;
    this.#pace = pace;
    this.#line = line;
    this.#bytes = 0;
    const { server } = line;
    const { reason } = node;
    this.#placed = { node: node.node, pool, server, isPrimary, generation, reason, waitedMs: 0 };
    this.#runner.routes.note(this.#placed, request, nowMs);
    // Where others are under way more may come in this turn, and leave with it.
    const leavesAlone = pool.lines.isQuiet;
    if (line.depth > 0) {
      this.#context.routes.shared += 1;
      pool.lines.watch();
    }
    line.add(this, nowMs);
    // What others have sent before it decides about that.
    server.prepared.unnamed = null;
    if (leavesAlone) server.hold();
    const takesMore = this.#sent.send(server, request, mayLeave, nothingDeferred);
    const flows = leavesAlone ? server.flush() : takesMore;
    this.#isMovable = server.prepared.isSettled;
    this.#owner.sent(flows);
    return true;
  }

  #wait(request: Request, pace: Pace, pool: Pool): void {
    this.#request = request;
    let isDecided = false;
    const stop = pool.lines.wait((mayFind) => {
      isDecided = true;
      this.#request = null;
      this.#stopWaiting = null;
      // By now other replicas may be the fresh ones.
      if (!mayFind || !this.tryRun(request, pace)) this.#runner.run(request);
    });
    if (!isDecided) this.#stopWaiting = stop;
  }

  /** Nothing ties the session to a server, and nothing is to be told or asked first. */
  get #isFree(): boolean {
    const { state } = this.#client;
    const runner = this.#runner;
    return (
      !state.inTransaction &&
      state.pins.size === 0 &&
      !state.areSettingsDoubtful &&
      !runner.isAttached &&
      !runner.isBatchOpen &&
      runner.deferred.length === 0
    );
  }

  #nodeFor(request: Request, nowMs: number): Pick<Placed, 'node' | 'reason'> | null {
    const { monitor } = this.#context;
    const { destination } = this.#runner;
    if (destination.floor.isLossUntold) return null;
    const route = destination.routeOf(request, false);
    const policy = destination.policyOf(request);
    if (policy.minLsn !== null) return null;
    const requirement = destination.requirementOf(route, policy, null, nowMs);
    const node =
      route.target === 'replica'
        ? pickReplica(monitor, requirement, this.#pools, nowMs)
        : monitor.primary();
    return node === -1 ? null : { node, reason: route.reason };
  }

  #fits(request: Request, { server }: SharedLine): boolean {
    const { state } = this.#client;
    if (changesRole(server, state.settings)) return false;
    return outdatedIn(request, this.statements, server, this.scope) === null;
  }

  /** A cancel request for this session. True: the request was only waiting, and is given up. */
  cancel(): boolean {
    if (this.#stopWaiting !== null) {
      this.#stopWaiting();
      this.#stopWaiting = null;
      this.#request = null;
      return true;
    }
    const [line, placed] = [this.#line!, this.#placed!];
    if (!line.isHead(this) && this.#isMovable) {
      this.#getOff();
      return true;
    }
    const { pool, node, server } = placed;
    server.whenNext(this.exchange, () => {
      // The signal may come when the server is at the next one already.
      line.keepToHead();
      cancelOn(this.#context.cluster.nodes[node]!, pool, server);
    });
    return false;
  }

  /** The client takes bytes again. */
  resumeServer(): void {
    this.#line?.server.resume();
  }

  /** The client is gone. */
  close(): void {
    this.#stopWaiting?.();
    if (this.#placed !== null) {
      this.#leaveForGood(this.#line!, this.#placed);
      this.#end();
    }
    this.#pools.close();
  }

  #leaveForGood(line: SharedLine, { node, pool, server }: Placed): void {
    const isHead = line.isHead(this);
    line.leave(this);
    server.resume();
    if (!isHead) return;
    // Nobody waits for what may take long.
    line.keepToHead();
    cancelOn(this.#context.cluster.nodes[node]!, pool, server);
  }

  displaced(): void {
    const [request, pace] = [this.#request!, this.#pace!];
    this.#context.routes.displaced += 1;
    this.#getOff();
    if (!this.tryRun(request, pace)) this.#runner.run(request);
  }

  /** Its answer, when it comes, is nobody's. */
  #getOff(): void {
    this.#line!.leave(this);
    this.#sent.renew();
    this.statements.forget();
    this.#end();
  }

  #end(): void {
    this.#sent.end();
    this.#request = null;
    this.#placed = null;
    this.#line = null;
    this.#pace = null;
  }

  // --- replies ---------------------------------------------------------------------------------

  completedAt(): void {
    assert.fail('a shared read has no effects');
  }

  failedAt(): void {
    assert.fail('a shared read has no effects');
  }

  broughtBack(): void {
    assert.fail('a shared read resets nothing');
  }

  forward(bytes: Buffer): boolean {
    this.#bytes += bytes.length;
    const flows = this.#owner.write(bytes);
    // Whoever is slow to read holds up nobody else.
    if (!flows || this.#bytes > smallResultBytesMax) this.#line!.keepToHead();
    return flows;
  }

  retries(_exchange: Exchange, buffer: Buffer, start: number, end: number): boolean {
    if (isStalePlan(buffer, start, end)) return true;
    return !this.#placed!.isPrimary && retryFor(buffer, start, end, false) !== null;
  }

  refused(buffer: Buffer, start: number, end: number): void {
    this.#sent.sawError = true;
    if (isStalePlan(buffer, start, end)) this.scope.outdated();
  }

  reports(name: string, value: string): boolean {
    return this.#runner.reports(name, value);
  }

  lastWords(): Buffer | null {
    return this.#owner.takeNotifications();
  }

  keepsReady(): boolean {
    return false;
  }

  copyIn(): void {
    this.#line!.server.close('protocol-violation');
  }

  ready(exchange: Exchange, status: number): void {
    const [request, placed, line] = [this.#request!, this.#placed!, this.#line!];
    if (!this.#isMovable) line.server.prepared.settle();
    line.server.prepared.unnamed = null;
    const nowMs = this.#context.turns.now();
    this.#pace!.noteShared(line.headEnded(nowMs), this.#bytes, nowMs);
    if (exchange.dropped) {
      this.#runAgain(request);
      return;
    }
    this.statements.settle();
    const { sawError } = this.#sent;
    this.#end();
    this.#client.state.ready(status, sawError, null);
    this.#runner.destination.answered(request, placed, false, nowMs);
    this.statements.endTransaction();
    this.#owner.answered();
  }

  /** The client has seen nothing of it. */
  #runAgain(request: Request): void {
    this.statements.forget();
    this.#end();
    this.#context.routes.retries += 1;
    this.#runner.run(request);
  }

  lost(exchange: Exchange, word: LastWord | null, midFrame: boolean): void {
    const [request, placed, line] = [this.#request!, this.#placed!, this.#line!];
    line.connectionLost();
    this.#context.monitor.nudge(placed.node);
    if (!exchange.emitted) {
      this.#runAgain(request);
      return;
    }
    this.statements.settle();
    this.#end();
    this.#runner.destination.lost(placed);
    if (midFrame) {
      this.#owner.cut();
      return;
    }
    const error = new ProxyError(placed.isPrimary ? 'serverLost' : 'readLost');
    if (word !== null) error.withDetail(`The server said: ${word.message}`);
    this.#owner.failed(error, false);
  }
}
