import type { Lsn } from '../lag/lsn.ts';
import type { Monitor } from '../lag/monitor.ts';
import type { ReadRequirement } from '../lag/read-requirement.ts';
import { type Route, type RouteReason, route } from '../router/route.ts';
import type { Classified } from '../router/statement.ts';
import type { Placed } from './placement.ts';
import { ReadFloor } from './read-floor.ts';
import { changeByHint, changed, type PolicyChange, type ReadPolicy } from './read-policy.ts';
import type { Request } from './request.ts';
import type { SessionState } from './session-state.ts';
import type { WriteFloor } from './write-floor.ts';

/** Where a session's requests belong, by what they are and what the session has written and seen. */
export class Destination {
  readonly floor: ReadFloor;
  readonly #monitor: Monitor;
  readonly #state: SessionState;
  readonly #writes: WriteFloor;
  /** In force when the server connection was taken: what its transaction was gated by. */
  #gatedBy: ReadPolicy;
  /** Loads of the catalog that its own DDL has asked for and that have not ended. */
  #catalogLoads = 0;

  constructor(monitor: Monitor, writes: WriteFloor, state: SessionState) {
    this.#monitor = monitor;
    this.#state = state;
    this.#writes = writes;
    this.#gatedBy = state.reads.current;
    this.floor = new ReadFloor(monitor, writes);
  }

  /** The session has changed the catalog: until it is known how, its reads go to the primary. */
  awaitCatalog(known: Promise<void>): void {
    this.#catalogLoads += 1;
    void known.finally(() => {
      this.#catalogLoads -= 1;
    });
  }

  /** `hasDeferred`: a BEGIN goes out with it. */
  routeOf(request: Request, hasDeferred: boolean): Route {
    const { begins } = request;
    const opens = begins !== null || hasDeferred;
    const promisesNotToWrite = begins?.readOnly ?? this.#state.isReadOnly;
    const { target } = this.policyOf(request);
    const isDoubtful = this.#catalogLoads > 0 && !request.sessionOnly;
    const mayBeOnReplica =
      (request.replicaSafeInTransaction && !request.prefersPrimary && !isDoubtful) ||
      (target === 'replica' && request.forcible);
    const isPromiseOfAll = begins === null || !request.writesBeforeBegin;
    const readOnly = opens && promisesNotToWrite && isPromiseOfAll && mayBeOnReplica;
    // A standby refuses modes of transactions also where no transaction is open.
    const needsPrimary = isDoubtful || !request.replicaSafeInTransaction;
    const access = needsPrimary ? 'write' : request.access;
    const reason = request.reason ?? (isDoubtful ? 'catalog-not-loaded' : null);
    return route(
      {
        access: readOnly ? 'read' : access,
        reason: reason as Classified['reason'],
        forcible: request.forcible,
        sessionOnly: request.sessionOnly,
      },
      {
        opensReadOnlyTransaction: readOnly,
        opensTransaction: opens && !readOnly,
        serializable: this.#state.isSerializableWith(begins) || this.#endsSerializable(request),
        target,
      },
    );
  }

  /** What the session's settings and the statement's hint say about this read. */
  policyOf({ hint }: Request): ReadPolicy {
    const { current } = this.#state.reads;
    if (hint === null || (hint.target === null && hint.settings.size === 0)) return current;
    return changed(current, changeByHint(hint) as PolicyChange);
  }

  /**
   * What a server must be proven to show. `minLsn`: the policy's token as a position; `nowMs`: the
   * monitor's time, read since the request has come.
   */
  requirementOf(
    decision: Route,
    policy: ReadPolicy,
    minLsn: Lsn | null,
    nowMs = this.#monitor.now(),
  ): ReadRequirement {
    this.#gatedBy = this.#state.reads.current;
    const fresh = decision.target === 'replica' && decision.fresh;
    return fresh ? this.floor.requirement(policy, minLsn, nowMs) : this.floor.none;
  }

  /**
   * An open batch of which nothing was executed cannot go on where it was prepared: it turns out
   * to write, or the replica has fallen behind while the client took its time.
   */
  mustMove(request: Request, placed: Placed): boolean {
    if (placed.isPrimary) return false;
    if (request.access === 'write' && !this.#isForced(request)) return true;
    return request.isExecuting && !this.#isFreshEnough(request, placed.node);
  }

  /** The replica of a READ ONLY transaction can run this request of it as the primary would. */
  mayStay(request: Request, placed: Placed): boolean {
    if (placed.isPrimary) return true;
    if (!request.replicaSafeInTransaction && !this.#isForced(request)) return false;
    if (this.#endsSerializable(request)) return false;
    return !request.beginsAnew || this.#isFreshEnough(request, placed.node);
  }

  /** Behind the end of its transaction come others that no server in recovery takes. */
  #endsSerializable(request: Request): boolean {
    return request.beginsByDefault && this.#state.isSerializableByDefault;
  }

  /** The replica of a READ ONLY transaction shows what this request of it newly asks for. */
  isFreshEnoughHere(request: Request, placed: Placed): boolean {
    if (placed.isPrimary || request.sessionOnly) return true;
    const asksAnew =
      this.#state.reads.current !== this.#gatedBy ||
      (request.hint !== null && request.hint.settings.size > 0);
    return !asksAnew || this.#isFreshEnough(request, placed.node);
  }

  /** Why a request goes to the server that the session holds. */
  reasonHere(request: Request, placed: Placed, inTransaction: boolean): RouteReason {
    if (!placed.isPrimary) return inTransaction ? 'read-only-transaction' : 'read';
    if (request.access === 'write') return request.reason ?? 'write';
    return inTransaction ? 'transaction' : 'pinned';
  }

  /**
   * A request was answered. What any server answers alike has shown nothing; on the primary it may
   * have been a COMMIT, or the Sync that commits what was executed before it. `nowMs`: the monitor's
   * time, read since the answer has come.
   */
  answered(
    request: Request,
    placed: Placed,
    mayHaveWritten: boolean,
    nowMs = this.#monitor.now(),
  ): void {
    if (placed.isPrimary || !request.sessionOnly) this.floor.raise(placed, nowMs);
    if (mayHaveWritten) this.#writes.raise(nowMs);
  }

  /** A request was lost on its way, and may have been executed. */
  lost(placed: Placed): void {
    this.floor.raise(placed);
    if (placed.isPrimary) this.#writes.raise(this.#monitor.now());
  }

  /** It is not known to be a read, and its client wants a replica all the same. */
  #isForced(request: Request): boolean {
    return request.forcible && this.policyOf(request).target === 'replica';
  }

  #isFreshEnough(request: Request, node: number): boolean {
    const policy = this.policyOf(request);
    const { minLsn } = policy;
    const verdict = minLsn === null ? null : this.#monitor.judgeToken(minLsn.token);
    if (verdict !== null && verdict.kind !== 'usable') return false;
    const requirement = this.floor.requirement(policy, verdict?.minLsn ?? null);
    return this.#monitor.isEligible(node, requirement);
  }
}
