import type { FreshnessConfig } from '../config.ts';
import type { Monitor } from '../lag/monitor.ts';
import type { ReadRequirement } from '../lag/read-requirement.ts';
import { type Route, type RouteReason, route } from '../router/route.ts';
import type { Classified } from '../router/statement.ts';
import type { Placed } from './placement.ts';
import { ReadFloor } from './read-floor.ts';
import type { Request } from './request.ts';
import type { SessionState } from './session-state.ts';

/** Where a session's requests belong, by what they are and what the session has written and seen. */
export class Destination {
  readonly #monitor: Monitor;
  readonly #state: SessionState;
  readonly #floor: ReadFloor;

  constructor(monitor: Monitor, freshness: FreshnessConfig, state: SessionState) {
    this.#monitor = monitor;
    this.#state = state;
    this.#floor = new ReadFloor(monitor, freshness);
  }

  /** `hasDeferred`: a BEGIN goes out with it. */
  routeOf(request: Request, hasDeferred: boolean): Route {
    const { begins } = request;
    const opens = begins !== null || hasDeferred;
    const promisesNotToWrite = begins?.readOnly ?? this.#state.isReadOnly;
    const readOnly = opens && promisesNotToWrite && request.replicaSafeInTransaction;
    return route(
      {
        access: readOnly ? 'read' : request.access,
        reason: request.reason as Classified['reason'],
        hint: request.hint,
        sessionOnly: request.sessionOnly,
      },
      {
        consistency: this.#floor.consistencyOf(this.#state.settings),
        opensReadOnlyTransaction: readOnly,
        opensTransaction: opens && !readOnly,
        serializable: this.#state.isSerializableWith(begins),
      },
    );
  }

  /** What a server must be proven to show. */
  requirementOf(decision: Route): ReadRequirement {
    const fresh = decision.target === 'replica' && decision.fresh;
    return fresh ? this.#floor.requirement(this.#state.settings) : this.#floor.none;
  }

  /**
   * An open batch of which nothing was executed cannot go on where it was prepared: it turns out
   * to write, or the replica has fallen behind while the client took its time.
   */
  mustMove(request: Request, placed: Placed): boolean {
    if (placed.isPrimary) return false;
    if (request.access === 'write') return true;
    return request.isExecuting && !this.#isFreshEnough(placed.node);
  }

  /** The replica of a READ ONLY transaction can run this request of it as the primary would. */
  mayStay(request: Request, placed: Placed): boolean {
    if (placed.isPrimary) return true;
    if (!request.replicaSafeInTransaction) return false;
    return !request.beginsAnew || this.#isFreshEnough(placed.node);
  }

  /** Why a request goes to the server that the session holds. */
  reasonHere(request: Request, placed: Placed, inTransaction: boolean): RouteReason {
    if (!placed.isPrimary) return inTransaction ? 'read-only-transaction' : 'read';
    if (request.access === 'write') return request.reason ?? 'write';
    return inTransaction ? 'transaction' : 'pinned';
  }

  /**
   * A request was answered. What any server answers alike has shown nothing; on the primary it may
   * have been a COMMIT, or the Sync that commits what was executed before it.
   */
  answered(request: Request, placed: Placed): void {
    if (placed.isPrimary || !request.sessionOnly) this.#floor.raise(placed);
  }

  /** A request was lost on its way, and may have been executed. */
  lost(placed: Placed): void {
    this.#floor.raise(placed);
  }

  #isFreshEnough(node: number): boolean {
    return this.#monitor.isEligible(node, this.#floor.requirement(this.#state.settings));
  }
}
