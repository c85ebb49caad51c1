import { functionRule, isPrimaryOnlyRelation } from './functions.ts';
import type { FunctionCatalog, WriteReason } from './statement.ts';

/** What a walk over the grammar tree of a query found. */
export interface Findings {
  /** The first cause, in this order of weight, that keeps the query from being a read; or null. */
  readonly reason: WriteReason | null;
  /** Nothing in it behaves differently on a standby than in a READ ONLY transaction of the primary. */
  readonly replicaSafe: boolean;
  /** The table that SELECT INTO makes, when it is temporary. */
  readonly temporary: ReturnType<typeof temporaryScope>;
  /** Calls of functions that change the session, by lower case name. */
  readonly sessionCalls: ReadonlySet<string>;
}

/** Reasons a query can have, the clearest first: a query gets the first one that holds. */
const WEIGHT: readonly WriteReason[] = [
  'select-into',
  'writing-cte',
  'locking-clause',
  'primary-only-function',
  'primary-only-relation',
  'volatile-function',
  'unknown-function',
  'catalog-not-loaded',
];

/** Refused by a READ ONLY transaction on any server before anything of them runs. */
const REFUSED: ReadonlySet<WriteReason> = new Set(['select-into', 'writing-cte', 'locking-clause']);

const SESSION_CALL =
  /^(set_config|setseed|pg_(try_)?advisory_lock(_shared)?|pg_advisory_unlock_all|dblink_connect(_u)?|pg_replication_origin_session_setup|pg_backup_start|pg_start_backup)$/;

type Fields = Readonly<Record<string, unknown>>;

/**
 * Walks every field of a tree, so that no clause of the grammar can be forgotten. Iterative: a tree
 * may be thousands of levels deep. Keys are names of the grammar, never text of the client.
 */
export function inspect(tree: object, catalog: FunctionCatalog): Findings {
  const found = new Set<WriteReason>();
  const sessionCalls = new Set<string>();
  let temporary: Findings['temporary'] = null;
  let unsafe = false;
  for (const fields of objectsOf(tree)) {
    if (fields.lockingClause !== undefined) found.add('locking-clause');
    if (fields.intoClause !== undefined) {
      found.add('select-into');
      temporary = temporaryScope(fields.intoClause as object);
    }
    if (isModification(fields)) found.add('writing-cte');
    if (typeof fields.relname === 'string' && isPrimaryOnlyRelation(fields.relname)) {
      found.add('primary-only-relation');
      unsafe = true;
    }
    if (fields.FuncCall !== undefined) {
      const { schema, name } = functionName(fields.FuncCall as Fields);
      if (SESSION_CALL.test(name)) sessionCalls.add(name);
      const reason = functionReason(schema, name, catalog);
      if (reason !== null) {
        found.add(reason);
        unsafe = unsafe || functionRule(schema, name) !== 'refused-read-only';
      }
    }
  }
  const reason = WEIGHT.find((candidate) => found.has(candidate)) ?? null;
  // What is refused at its start never calls its functions.
  const replicaSafe = !unsafe || (reason !== null && REFUSED.has(reason));
  return { reason, replicaSafe, temporary, sessionCalls };
}

/** Every object of a tree, the tree itself first. */
export function* objectsOf(tree: object): Generator<Fields> {
  const pending: object[] = [tree];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (!Array.isArray(next)) yield next as Fields;
    for (const value of Object.values(next)) {
      if (typeof value === 'object' && value !== null) pending.push(value);
    }
  }
}

/**
 * How long what a CREATE or INTO makes will live, when it is temporary. ON COMMIT DROP leaves nothing
 * to a session; other temporary objects stay with the server connection.
 */
export function temporaryScope(tree: object): 'session' | 'transaction' | null {
  for (const fields of objectsOf(tree)) {
    if (fields.oncommit === 'ONCOMMIT_DROP' || fields.onCommit === 'ONCOMMIT_DROP') {
      return 'transaction';
    }
    if (fields.relpersistence === 't' || fields.schemaname === 'pg_temp') return 'session';
    // Names of functions, types and other objects are lists of strings.
    if (fields.sval === 'pg_temp') return 'session';
  }
  return null;
}

function isModification(fields: Fields): boolean {
  return (
    fields.InsertStmt !== undefined ||
    fields.UpdateStmt !== undefined ||
    fields.DeleteStmt !== undefined ||
    fields.MergeStmt !== undefined
  );
}

/** Of a FuncCall: `a.b.f` is function f of schema b. */
export function functionName(call: Fields): { schema: string | null; name: string } {
  const parts: string[] = [];
  for (const part of Array.isArray(call.funcname) ? call.funcname : []) {
    parts.push((part as { String?: { sval?: string } }).String?.sval ?? '');
  }
  return { schema: parts.at(-2) ?? null, name: parts.at(-1) ?? '' };
}

function functionReason(
  schema: string | null,
  name: string,
  catalog: FunctionCatalog,
): WriteReason | null {
  const rule = functionRule(schema, name);
  if (rule === 'primary-only') return 'primary-only-function';
  if (rule === 'refused-read-only') return 'volatile-function';
  if (!catalog.loaded) return 'catalog-not-loaded';
  const volatility = catalog.volatility(schema, name);
  if (volatility === null) return 'unknown-function';
  return volatility === 'volatile' && rule !== 'harmless' ? 'volatile-function' : null;
}
