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
  /** It might write, or tells servers apart, and its client has asked for a replica. */
  | 'hint-replica'
  /** Another replica failed it, before the client saw anything. */
  | 'retry';

/** Why a request went to the primary though it is, or could be, a read. */
export type PrimaryReason =
  | WriteReason
  /** Inside a transaction that may write. */
  | 'transaction'
  /** The session keeps its connection to the primary: temporary table, LISTEN ... */
  | 'pinned'
  /** Its client has asked for the primary, by a comment or by tidemark.target. */
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
  /** Where its client wants it: what the statement's hint says, else tidemark.target. */
  readonly target: 'auto' | 'primary' | 'replica';
}

const primary = (reason: PrimaryReason): Route => ({ target: 'primary', reason });
const routes = {
  read: { target: 'replica', reason: 'read', fresh: true },
  readOnlyTransaction: { target: 'replica', reason: 'read-only-transaction', fresh: true },
  session: { target: 'replica', reason: 'session', fresh: false },
  hintReplica: { target: 'replica', reason: 'hint-replica', fresh: true },
  hintPrimary: primary('hint-primary'),
  serializable: primary('serializable'),
  transaction: primary('transaction'),
} as const satisfies Record<string, Route>;

/** Where a request belongs: a pure function of what it is and what its session is. */
export function route(
  request: Pick<Classified, 'access' | 'reason' | 'forcible'> & { readonly sessionOnly: boolean },
  context: RouteContext,
): Route {
  if (context.opensTransaction) return routes.transaction;
  const isForced = context.target === 'replica' && request.forcible;
  if (request.access === 'write' && !isForced) return primary(request.reason ?? 'write');
  if (context.target === 'primary') return routes.hintPrimary;
  if (context.serializable) return routes.serializable;
  if (context.opensReadOnlyTransaction) return routes.readOnlyTransaction;
  if (request.access === 'write') return routes.hintReplica;
  return request.sessionOnly ? routes.session : routes.read;
}
