import type { Classified, WriteReason } from './statement.ts';

/** Why a request went to a replica. Stable kebab-case words: label values in the metrics. */
export type ReplicaReason =
  /** A replica was fresh enough at once. */
  | 'read'
  /** It became fresh enough while the read waited. */
  | 'read-waited'
  /** A READ ONLY transaction, which stays where it began. */
  | 'read-only-transaction'
  /** SET, SHOW and the like, which any server can run. */
  | 'session'
  /** Another replica failed it, before the client saw anything. */
  | 'retry';

/** Why a request went to the primary though it is, or could be, a read. */
export type PrimaryReason =
  | WriteReason
  /** Inside a transaction that may write. */
  | 'transaction'
  /** The session keeps its connection to the primary: temporary table, LISTEN ... */
  | 'pinned'
  | 'hint-primary'
  /** SERIALIZABLE does not exist on a replica. */
  | 'serializable'
  | 'function-call'
  /** The batch was too large, or unfinished, to be judged as a whole. */
  | 'batch-undecided'
  | 'backslash-literals'
  /** No replica is up. */
  | 'no-replica'
  /** No replica is fresh enough or expected to be in time. */
  | 'no-fresh-replica'
  /** A replica was expected to be fresh in time, and was not. */
  | 'wait-timeout'
  /** A replica refused it as a write. */
  | 'retry-refused'
  /** A replica refused a SET, or the session's role: it may not know yet what they name. */
  | 'retry-session'
  /** A replica cancelled it: recovery conflict. */
  | 'retry-conflict'
  /** The replica's connection was lost before it answered. */
  | 'retry-lost'
  /** A client logs in. */
  | 'login';

export type RouteReason = ReplicaReason | PrimaryReason;

export type Route =
  | { readonly target: 'primary'; readonly reason: PrimaryReason }
  /** `fresh`: the read's freshness requirement applies; else any live replica will do. */
  | { readonly target: 'replica'; readonly reason: ReplicaReason; readonly fresh: boolean };

/** What the decision depends on besides the statement. */
export interface RouteContext {
  /** The statement opens a transaction that promises not to write. */
  readonly opensReadOnlyTransaction: boolean;
  /** The statement opens a transaction that may write. */
  readonly opensTransaction: boolean;
  readonly serializable: boolean;
}

const primary = (reason: PrimaryReason): Route => ({ target: 'primary', reason });
const routes = {
  read: { target: 'replica', reason: 'read', fresh: true },
  readOnlyTransaction: { target: 'replica', reason: 'read-only-transaction', fresh: true },
  session: { target: 'replica', reason: 'session', fresh: false },
  hintPrimary: primary('hint-primary'),
  serializable: primary('serializable'),
  transaction: primary('transaction'),
} as const satisfies Record<string, Route>;

/** Where a request belongs: a pure function of what it is and what its session is. */
export function route(
  request: Pick<Classified, 'access' | 'reason' | 'hint'> & { readonly sessionOnly: boolean },
  context: RouteContext,
): Route {
  if (context.opensTransaction) return routes.transaction;
  if (request.access === 'write') return primary(request.reason ?? 'write');
  if (request.hint?.target === 'primary') return routes.hintPrimary;
  if (context.serializable) return routes.serializable;
  if (request.sessionOnly && !context.opensReadOnlyTransaction) return routes.session;
  return context.opensReadOnlyTransaction ? routes.readOnlyTransaction : routes.read;
}
