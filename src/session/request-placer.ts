import { ProxyError } from '../errors.ts';
import type { Waiter } from '../lag/gate.ts';
import type { ServerLogin } from '../pool/cluster.ts';
import { noticeResponse } from '../protocol/backend.ts';
import type { Route } from '../router/route.ts';
import { Attempts } from './attempts.ts';
import { Destination } from './destination.ts';
import { type Placed, Placement, type PlacementFailure } from './placement.ts';
import type { ClientToken, ReadPolicy } from './read-policy.ts';
import type { Request } from './request.ts';
import type { SessionContext } from './session-context.ts';
import type { SessionState } from './session-state.ts';
import { TokenCheck, type TokenOutcome } from './token-check.ts';

export interface PlacerOwner {
  placed(placed: Placed): void;
  notPlaced(failure: PlacementFailure): void;
  /** Bytes for the client. */
  tell(message: Buffer): void;
}

const warning = (message: string, hint: string) =>
  noticeResponse({ severity: 'WARNING', sqlstate: '01000', message, hint });

/** A token was judged: as a position it means something in this epoch of the monitor only. */
interface GatedByToken {
  readonly decision: Route;
  readonly policy: ReadPolicy;
  readonly token: ClientToken;
  readonly epoch: number;
}

/** Decides where a session's requests belong, and finds a server connection for each there. */
export class RequestPlacer {
  readonly destination: Destination;
  readonly attempts = new Attempts();
  readonly #context: SessionContext;
  readonly #owner: PlacerOwner;
  readonly #placement: Placement;
  readonly #tokens: TokenCheck;
  #tokenWaiter: Waiter | null = null;
  /** What is to be placed once more if the history changes while it waits; null: without a token. */
  #gatedByToken: GatedByToken | null = null;

  constructor(
    context: SessionContext,
    login: ServerLogin,
    state: SessionState,
    owner: PlacerOwner,
  ) {
    const { monitor, gate, config, writes } = context;
    this.#context = context;
    this.#owner = owner;
    this.destination = new Destination(monitor, writes, state);
    this.#tokens = tokenCheckOf(context);
    this.#placement = new Placement({
      cluster: context.cluster,
      monitor,
      gate,
      login,
      fallbacks: context.fallbacks,
      isLogin: false,
      primaryWaitTimeoutMs: config.freshness.primaryWaitTimeoutMs,
      placed: (placed) => this.#placed(placed),
      failed: (failure) => owner.notPlaced(failure),
      gaveUp: (waitedMs) => context.routes.waited(waitedMs, 'error'),
    });
  }

  /** A new request: nothing is known against any node. */
  begin(): void {
    this.attempts.begin();
    this.#placement.forgetFailures();
  }

  /** `hasDeferred`: a BEGIN goes out with it. Calls the owner once, perhaps before it returns. */
  place(request: Request, hasDeferred: boolean): void {
    if (this.destination.floor.wasLost()) this.#tellLoss();
    const decision = this.attempts.route ?? this.destination.routeOf(request, hasDeferred);
    const policy = this.destination.policyOf(request);
    const isGated = decision.target === 'replica' && decision.fresh;
    this.#gatedByToken = null;
    if (isGated && policy.minLsn !== null) this.#placeByToken(decision, policy, policy.minLsn);
    else
      this.#placement.place(
        decision,
        this.destination.requirementOf(decision, policy, null),
        policy,
      );
  }

  /** The request failed on this node: it runs again elsewhere. */
  placeAgain(request: Request, hasDeferred: boolean, failedNode: number): void {
    this.attempts.again();
    this.#placement.avoid(failedNode);
    this.place(request, hasDeferred);
  }

  /** The request is over, or its server connection is gone. */
  ended(): void {
    this.#placement.endFallback();
  }

  /** Stops looking: the owner is not called. */
  cancel(): void {
    this.#tokenWaiter?.cancel();
    this.#tokenWaiter = null;
    this.#placement.cancel();
  }

  close(): void {
    this.cancel();
    this.#placement.close();
  }

  #placeByToken(decision: Route, policy: ReadPolicy, token: ClientToken): void {
    const known = this.#tokens.now(token);
    if (known !== null) {
      this.#placeAt(decision, policy, known, token);
      return;
    }
    this.#tokenWaiter = this.#tokens.settle(token, (outcome) => {
      this.#tokenWaiter = null;
      this.#placeAt(decision, policy, outcome, token);
    });
  }

  #placed(placed: Placed): void {
    const gated = this.#gatedByToken;
    if (gated === null || gated.epoch === this.#context.monitor.epoch) {
      this.#owner.placed(placed);
      return;
    }
    // After a promotion other commits have the positions that this one waited for.
    placed.pool.release(placed.server);
    this.#placeByToken(gated.decision, gated.policy, gated.token);
  }

  #placeAt(decision: Route, policy: ReadPolicy, outcome: TokenOutcome, token: ClientToken): void {
    if (outcome instanceof ProxyError) {
      if (outcome.code === 'tokenLost') this.#context.routes.lostHistory('token');
      this.#owner.notPlaced(outcome);
      return;
    }
    if (outcome === 'lost') {
      this.#context.routes.lostHistory('token');
      this.#owner.tell(
        warning(
          `what token "${token.text}" stands for was lost in a failover`,
          'This read goes on without it. RESET tidemark.min_lsn ends this warning.',
        ),
      );
    }
    const minLsn = outcome === 'lost' ? null : outcome;
    const { epoch } = this.#context.monitor;
    this.#gatedByToken = minLsn === null ? null : { decision, policy, token, epoch };
    const requirement = this.destination.requirementOf(decision, policy, minLsn);
    this.#placement.place(decision, requirement, policy);
  }

  #tellLoss(): void {
    this.#context.routes.lostHistory('session');
    this.#owner.tell(
      warning(
        'what this session has written or seen last may have been lost in a failover',
        'Its reads show the present primary from here on. Read what is there before repeating a write.',
      ),
    );
  }
}

/** How a session's tokens are judged. */
export function tokenCheckOf({ monitor, gate, config }: SessionContext): TokenCheck {
  const { lostToken, primaryWaitTimeoutMs } = config.freshness;
  return new TokenCheck(monitor, gate, lostToken, primaryWaitTimeoutMs);
}
