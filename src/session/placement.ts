import { ProxyError } from '../errors.ts';
import type { Gate, Waiter as GateWaiter } from '../lag/gate.ts';
import type { Monitor } from '../lag/monitor.ts';
import { noRequirement, type ReadRequirement } from '../lag/read-requirement.ts';
import type { Cluster, ServerLogin } from '../pool/cluster.ts';
import type { AcquireFailure, Pool, Waiter as PoolWaiter } from '../pool/pool.ts';
import type { ServerConnection } from '../pool/server-connection.ts';
import { ServerConnectError, ServerLoginError } from '../pool/server-handshake.ts';
import type { PrimaryReason, Route, RouteReason } from '../router/route.ts';
import type { FallbackLimit, FallbackWaiter } from './fallback-limit.ts';
import { NodePools } from './node-pools.ts';
import { pickReplica } from './pick-replica.ts';
import type { ReadPolicy } from './read-policy.ts';

/** Where a request ended up. */
export interface Placed {
  readonly node: number;
  readonly pool: Pool;
  readonly server: ServerConnection;
  /** It was the primary when the request was placed: what runs there may write. */
  readonly isPrimary: boolean;
  /** The node's generation (NodeState) when the request was placed. */
  readonly generation: number;
  readonly reason: RouteReason;
  /** How long the request waited for freshness or for a primary. */
  readonly waitedMs: number;
}

/** Why it could not be placed: an error of the proxy's, or a server's own refusal to log in. */
export type PlacementFailure = ProxyError | ServerLoginError;

export interface PlacementOptions {
  readonly cluster: Cluster;
  readonly monitor: Monitor;
  readonly gate: Gate;
  readonly login: ServerLogin;
  readonly fallbacks: FallbackLimit;
  /** How long a statement waits for a primary. */
  readonly primaryWaitTimeoutMs: number;
  /** It is for a client that logs in: it has not been promised anything yet. */
  readonly isLogin: boolean;
  readonly placed: (placed: Placed) => void;
  readonly failed: (failure: PlacementFailure) => void;
  /** A read has waited for freshness for so long, in vain; `failed` follows. */
  readonly gaveUp: (waitedMs: number) => void;
}

/** What a read does while no replica is fresh enough. */
export type WaitPolicy = Pick<ReadPolicy, 'waitTimeoutMs' | 'onTimeout'>;

/** Pause before the primary is tried again after a failed connect. */
const reconnectPauseMs = 50;

/** A server that refuses a login for now: starting up, shutting down, or out of connections. */
const passingLoginFailures = new Set(['57P03', '57P01', '57P02', '53300', '53400']);

/** Too many connections, of the server, the database or the role: nobody else's may end soon. */
const fullServerFailures = new Set(['53300', '53400']);

/** Why trying the same server again would not help, or null. */
function lastingRefusal(error: Error, isLogin: boolean): PlacementFailure | null {
  if (error instanceof ServerLoginError) {
    // Whoever logs in is told at once, as by the server itself.
    if (isLogin && fullServerFailures.has(error.sqlstate)) return error;
    return passingLoginFailures.has(error.sqlstate) ? null : error;
  }
  const isAuthentication =
    error instanceof ServerConnectError && error.failure === 'authentication';
  return isAuthentication ? new ProxyError('serverLoginImpossible', error.message) : null;
}

/** Of what asks for no freshness. */
export const noWait: WaitPolicy = { waitTimeoutMs: 0, onTimeout: 'primary' };

type FallbackReason = Extract<PrimaryReason, 'no-replica' | 'no-fresh-replica' | 'wait-timeout'>;

/** Finds a server connection for a session's requests, one request at a time. */
export class Placement {
  readonly #options: PlacementOptions;
  readonly #pools: NodePools;
  #requirement: ReadRequirement = noRequirement;
  #route: Route['target'] = 'primary';
  #reason: RouteReason = 'read';
  #policy: WaitPolicy = noWait;
  #sinceMs = 0;
  #waitedMs = 0;
  #primaryDeadlineMs = 0;
  /** Nodes that failed this request. */
  readonly #failedNodes = new Set<number>();
  #gateWaiter: GateWaiter | null = null;
  #poolWaiter: PoolWaiter | null = null;
  #poolOfWaiter: Pool | null = null;
  #fallbackWaiter: FallbackWaiter | null = null;
  /** The request counts against the limit of reads that lagging replicas send to the primary. */
  #isFallback = false;
  #retryTimer: NodeJS.Timeout | null = null;

  constructor(options: PlacementOptions) {
    this.#options = options;
    this.#pools = new NodePools(options.cluster, options.login);
  }

  /** Calls `placed` or `failed` once, perhaps before it returns. */
  place(decision: Route, requirement: ReadRequirement, policy: WaitPolicy): void {
    this.endFallback();
    this.#policy = policy;
    this.#sinceMs = this.#options.monitor.now();
    this.#waitedMs = 0;
    this.#primaryDeadlineMs = 0;
    this.#requirement = requirement;
    this.#route = decision.target;
    if (decision.target === 'primary') {
      this.#toPrimary(decision.reason);
      return;
    }
    this.#requirement = decision.fresh ? requirement : noRequirement;
    if (!decision.fresh) this.#policy = noWait;
    this.#toReplica(decision.reason);
  }

  /** A new request: what failed the one before may have recovered. */
  forgetFailures(): void {
    if (this.#failedNodes.size > 0) this.#failedNodes.clear();
  }

  /** The current request failed on this node and must not go there again. */
  avoid(node: number): void {
    this.#failedNodes.add(node);
  }

  /** Stops waiting; neither `placed` nor `failed` will be called. */
  cancel(): void {
    this.#gateWaiter?.cancel();
    this.#gateWaiter = null;
    if (this.#poolWaiter !== null) this.#poolOfWaiter?.giveUp(this.#poolWaiter);
    this.#poolWaiter = null;
    this.#fallbackWaiter?.cancel();
    this.#fallbackWaiter = null;
    this.endFallback();
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
  }

  /** The session ends: its pools may be forgotten when nobody else holds them. */
  close(): void {
    this.cancel();
    this.#pools.close();
  }

  /** The request that was placed is over: others may fall back to the primary in its place. */
  endFallback(): void {
    if (!this.#isFallback) return;
    this.#isFallback = false;
    this.#options.fallbacks.release();
  }

  #toReplica(reason: RouteReason): void {
    const node = this.#pick();
    if (node !== -1) {
      this.#acquire(node, reason);
      return;
    }
    if (!this.#anyReplicaUp()) {
      this.#withoutReplica('no-replica', reason);
      return;
    }
    const { waitTimeoutMs, onTimeout } = this.#policy;
    const deadlineMs = this.#sinceMs + waitTimeoutMs;
    // That it will be in vain is a guess: reason enough to ask the primary, not to fail.
    const isHopeless =
      onTimeout === 'primary' && this.#options.gate.hopeless(this.#requirement, deadlineMs);
    if (waitTimeoutMs === 0 || isHopeless) this.#withoutReplica('no-fresh-replica', reason);
    else this.#waitForReplica(reason, deadlineMs);
  }

  #waitForReplica(reason: RouteReason, deadlineMs: number): void {
    const { monitor, gate } = this.#options;
    this.#gateWaiter = gate.wait(this.#requirement, deadlineMs, (arrived) => {
      this.#gateWaiter = null;
      this.#fallbackWaiter?.cancel();
      this.#fallbackWaiter = null;
      this.#waitedMs = monitor.now() - this.#sinceMs;
      const chosen = arrived === -1 ? -1 : this.#pick();
      const isOverdue = monitor.now() >= deadlineMs;
      if (chosen !== -1) this.#acquire(chosen, reason === 'read' ? 'read-waited' : reason);
      else this.#withoutReplica(isOverdue ? 'wait-timeout' : 'no-fresh-replica', reason);
    });
  }

  /** No replica will do: the primary, if the policy and the limit of such reads let it. */
  #withoutReplica(reason: FallbackReason, wanted: RouteReason): void {
    const { fallbacks, monitor } = this.#options;
    const { onTimeout, waitTimeoutMs } = this.#policy;
    const waitedMs = Math.round(monitor.now() - this.#sinceMs);
    if (onTimeout === 'error') {
      this.#givenUp(new ProxyError('notFreshInTime', waitedMs));
      return;
    }
    // Without any replica there is none to catch up: the primary serves all there is.
    if (reason === 'no-replica' || this.#isFallback) {
      this.#toPrimary(reason);
      return;
    }
    if (fallbacks.tryTake()) {
      this.#isFallback = true;
      this.#toPrimary(reason);
      return;
    }
    const deadlineMs = this.#sinceMs + waitTimeoutMs;
    if (monitor.now() >= deadlineMs) {
      fallbacks.refused += 1;
      this.#givenUp(new ProxyError('fallbackLimit', waitedMs, fallbacks.max));
      return;
    }
    this.#fallbackWaiter = fallbacks.wait(() => {
      this.#fallbackWaiter = null;
      this.#gateWaiter?.cancel();
      this.#gateWaiter = null;
      this.#isFallback = true;
      this.#waitedMs = monitor.now() - this.#sinceMs;
      this.#toPrimary(reason);
    });
    this.#waitForReplica(wanted, deadlineMs);
  }

  #givenUp(error: ProxyError): void {
    this.#options.gaveUp(this.#waitedMs);
    this.#options.failed(error);
  }

  #toPrimary(reason: RouteReason): void {
    const { monitor, gate, primaryWaitTimeoutMs } = this.#options;
    const node = monitor.primary();
    if (node !== -1) {
      this.#acquire(node, reason);
      return;
    }
    if (this.#primaryDeadlineMs === 0) {
      this.#primaryDeadlineMs = monitor.now() + primaryWaitTimeoutMs;
    }
    this.#gateWaiter = gate.waitForPrimary(this.#primaryDeadlineMs, (arrived) => {
      this.#gateWaiter = null;
      this.#waitedMs = monitor.now() - this.#sinceMs;
      if (arrived === -1) this.#options.failed(this.#noPrimary());
      else this.#acquire(arrived, reason);
    });
  }

  #noPrimary(): ProxyError {
    return new ProxyError('noPrimary', Math.round(this.#options.monitor.now() - this.#sinceMs));
  }

  #pick(): number {
    const { monitor } = this.#options;
    return pickReplica(monitor, this.#requirement, this.#pools, monitor.now(), this.#failedNodes);
  }

  #anyReplicaUp(): boolean {
    return this.#options.monitor.nodes.some(
      ({ role, node }) => role === 'replica' && !this.#failedNodes.has(node),
    );
  }

  #acquire(node: number, reason: RouteReason): void {
    const pool = this.#pools.of(node);
    this.#reason = reason;
    const idle = pool.tryAcquire();
    if (idle !== null) {
      this.#placed(node, pool, idle);
      return;
    }
    this.#poolOfWaiter = pool;
    const waiter = pool.acquire(
      (server) => {
        this.#poolWaiter = null;
        this.#placedLater(node, pool, server);
      },
      (failure) => {
        this.#poolWaiter = null;
        this.#refused(node, failure);
      },
    );
    if (!waiter.settled) this.#poolWaiter = waiter;
  }

  /**
   * The connection came after a wait, or was opened only now: a replica that has crashed meanwhile
   * may have come back with less than it had, so what it had proven is looked at again.
   */
  #placedLater(node: number, pool: Pool, server: ServerConnection): void {
    const { monitor } = this.#options;
    const isReplicaFresh = this.#route === 'replica' && monitor.isEligible(node, this.#requirement);
    if (node === monitor.primary() || isReplicaFresh) {
      this.#placed(node, pool, server);
      return;
    }
    pool.release(server);
    if (this.#route === 'replica') this.#toReplica(this.#reason);
    else this.#toPrimary(this.#reason);
  }

  #placed(node: number, pool: Pool, server: ServerConnection): void {
    const { monitor } = this.#options;
    const isPrimary = node === monitor.primary();
    const generation = monitor.nodes[node]?.generation ?? -1;
    const reason = this.#reason;
    const waitedMs = this.#waitedMs;
    this.#options.placed({ node, pool, server, isPrimary, generation, reason, waitedMs });
  }

  #refused(node: number, failure: AcquireFailure): void {
    const { monitor, cluster, failed } = this.#options;
    if (failure.kind === 'timeout') {
      failed(new ProxyError('poolTimeout', cluster.config.waitTimeoutMs, cluster.config.size));
      return;
    }
    if (failure.kind === 'closed') {
      failed(new ProxyError('shuttingDown'));
      return;
    }
    const { error } = failure;
    const refusal = lastingRefusal(error, this.#options.isLogin);
    if (refusal !== null) {
      // A role or database made just now may not have reached a replica yet.
      if (this.#route === 'replica' && node !== monitor.primary()) {
        this.#failedNodes.add(node);
        this.#toReplica('retry');
      } else {
        failed(refusal);
      }
      return;
    }
    monitor.nudge(node);
    if (node !== monitor.primary()) {
      this.#failedNodes.add(node);
      if (this.#route === 'replica') this.#toReplica('retry');
      else this.#toPrimary(this.#reason);
      return;
    }
    this.#retryPrimary(error);
  }

  /** The primary is there as far as the monitor knows, and yet did not take a connection. */
  #retryPrimary(error: Error): void {
    const { monitor, primaryWaitTimeoutMs, failed } = this.#options;
    const nowMs = monitor.now();
    if (this.#primaryDeadlineMs === 0) this.#primaryDeadlineMs = nowMs + primaryWaitTimeoutMs;
    if (nowMs >= this.#primaryDeadlineMs) {
      const isRefusal = error instanceof ServerLoginError;
      failed(isRefusal ? error : new ProxyError('connectFailed', error.message));
      return;
    }
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = null;
      this.#waitedMs = monitor.now() - this.#sinceMs;
      this.#toPrimary(this.#reason);
    }, reconnectPauseMs);
  }
}
