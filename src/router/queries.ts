import type { CopyStmt, ExplainStmt, Node, SelectStmt } from 'libpg-query';

import { combined, read, session, write } from './classes.ts';
import { type Findings, inspect, nameOf } from './inspect.ts';
import { constantText, setConfigEffect } from './settings.ts';
import type { Catalog, Effect, StatementClass } from './statement.ts';

/** Decides a statement nested in another one: EXPLAIN, COPY (...) and DECLARE hold them. */
export type Decide = (node: Node, catalog: Catalog) => StatementClass;

export function classifySelect(statement: SelectStmt, catalog: Catalog): StatementClass {
  const configs = setConfigCalls(statement);
  if (configs !== null) {
    const effects = configs.map(setConfigEffect).filter((effect) => effect !== null);
    if (!effects.some((effect) => effect.kind === 'pin')) {
      return session('SELECT', 'session-setting', combined(effects));
    }
  }
  const findings = inspect(statement, catalog);
  const { cause } = findings;
  if (cause === null) return read('SELECT');
  const effect = callEffects(statement, findings);
  return write('SELECT', cause.reason, {
    replicaSafe: cause.replicaSafe,
    prefersPrimary: cause.prefersPrimary,
    effect,
    ddl: cause.reason === 'select-into' && findings.temporary === null,
    // What ties the session to its server must not tie it to a replica.
    forcible: cause.forcible && effect === null,
  });
}

/** The argument lists, when the query is nothing but calls of set_config with no function in them. */
function setConfigCalls(statement: SelectStmt): (readonly Node[])[] | null {
  const { targetList, fromClause, whereClause, withClause, groupClause, sortClause } = statement;
  const others = [fromClause, whereClause, withClause, groupClause, sortClause];
  const clauses = [statement.limitCount, statement.limitOffset, statement.havingClause];
  if ([...others, ...clauses, statement.lockingClause].some((clause) => clause !== undefined)) {
    return null;
  }
  if (statement.op !== 'SETOP_NONE' || statement.intoClause !== undefined) return null;
  const calls: (readonly Node[])[] = [];
  for (const target of targetList ?? []) {
    const args = setConfigArguments(target);
    if (args === null) return null;
    calls.push(args);
  }
  return calls.length === 0 ? null : calls;
}

function setConfigArguments(target: Node): readonly Node[] | null {
  if (!('ResTarget' in target)) return null;
  const value = target.ResTarget.val;
  if (value === undefined || !('FuncCall' in value)) return null;
  const { schema, name } = nameOf(value.FuncCall.funcname);
  if (name !== 'set_config' || (schema !== null && schema !== 'pg_catalog')) return null;
  const args = value.FuncCall.args ?? [];
  // Anything but constants and parameters could call further functions.
  const simple = args.every((arg) => isSimple(arg));
  return args.length === 3 && simple ? args : null;
}

function isSimple(node: Node): boolean {
  if ('TypeCast' in node) return node.TypeCast.arg !== undefined && isSimple(node.TypeCast.arg);
  return 'A_Const' in node || 'ParamRef' in node;
}

/** What the calls in a query leave behind. Where one cannot be told exactly, the session is pinned. */
function callEffects(tree: SelectStmt, { sessionCalls, temporary }: Findings): Effect | null {
  const effects: Effect[] = [];
  if (temporary === 'session') effects.push({ kind: 'pin', reason: 'temp-table' });
  for (const name of sessionCalls) effects.push(...effectOfCall(name, tree));
  return combined(effects);
}

function effectOfCall(name: string, tree: SelectStmt): Effect[] {
  switch (name) {
    case 'set_config':
    case 'setseed':
      return [{ kind: 'pin', reason: 'unknown-set' }];
    case 'pg_advisory_unlock_all':
      // Certain only where it is the whole query: called for no row it releases nothing.
      return isOneCall(tree) ? [{ kind: 'unpin', reason: 'advisory-lock' }] : [];
    case 'dblink_connect':
    case 'dblink_connect_u':
    case 'pg_replication_origin_session_setup':
    case 'pg_backup_start':
    case 'pg_start_backup':
      return [{ kind: 'pin', reason: 'session-function' }];
    default:
      return [{ kind: 'pin', reason: 'advisory-lock' }];
  }
}

function isOneCall(tree: SelectStmt): boolean {
  const [target, second] = tree.targetList ?? [];
  if (target === undefined || second !== undefined || !('ResTarget' in target)) return false;
  const value = target.ResTarget.val;
  return (
    value !== undefined &&
    'FuncCall' in value &&
    tree.fromClause === undefined &&
    tree.whereClause === undefined &&
    tree.limitCount === undefined &&
    tree.op === 'SETOP_NONE'
  );
}

/** INSERT, UPDATE, DELETE, MERGE: refused by any READ ONLY transaction, whatever they call. */
export function classifyModification(tag: string, tree: object, catalog: Catalog): StatementClass {
  const { sessionCalls } = inspect(tree, catalog);
  const effects = [...sessionCalls].flatMap((name) => effectOfCall(name, {}));
  if (updatesSettings(tree)) effects.push({ kind: 'pin', reason: 'unknown-set' });
  return write(tag, 'write', { replicaSafe: true, effect: combined(effects) });
}

/** UPDATE pg_settings is SET (rule pg_settings_u of system_views.sql). */
function updatesSettings(tree: { relation?: { relname?: string } }): boolean {
  return tree.relation?.relname === 'pg_settings';
}

/**
 * Plain EXPLAIN plans and does not run: it goes where the statement itself would go, so that the plan
 * is of the server that would run it. EXPLAIN ANALYZE goes to the primary even for a read: it is
 * asked for its timings and buffers, and those of changing servers cannot be compared.
 */
export function classifyExplain(
  statement: ExplainStmt,
  catalog: Catalog,
  decide: Decide,
): StatementClass {
  if (statement.query === undefined) return write('EXPLAIN', 'unparsable');
  // The prepared statement exists on one server connection only.
  if ('ExecuteStmt' in statement.query) return write('EXPLAIN', 'session-object');
  const inner = decide(statement.query, catalog);
  const isRead = inner.access !== 'write';
  if (isAnalyzed(statement)) {
    const { effect, ddl } = inner;
    const replicaSafe = inner.replicaSafeInTransaction;
    const { prefersPrimary } = inner;
    const forcible = isRead && effect === null;
    const traits = { replicaSafe, prefersPrimary, effect, ddl, forcible };
    return write('EXPLAIN', 'explain-analyze', traits);
  }
  if (isRead) return read('EXPLAIN');
  // A standby plans whatever it can open (get_relation_info).
  const replicaSafe = inner.reason !== 'unlogged-relation';
  const { prefersPrimary, forcible } = inner;
  return write('EXPLAIN', inner.reason ?? 'write', { replicaSafe, prefersPrimary, forcible });
}

function isAnalyzed(statement: ExplainStmt): boolean {
  let analyzed = false;
  for (const option of statement.options ?? []) {
    if (!('DefElem' in option) || option.DefElem.defname !== 'analyze') continue;
    analyzed = !isFalse(option.DefElem.arg);
  }
  return analyzed;
}

/** As defGetBoolean reads it; doubtful values count as true. */
function isFalse(value: Node | undefined): boolean {
  if (value === undefined) return false;
  if ('Integer' in value) return (value.Integer.ival ?? 0) === 0;
  const text = 'String' in value ? (value.String.sval ?? '') : constantText(value);
  return text !== null && /^(false|off|0)$/i.test(text);
}

export function classifyCopy(
  statement: CopyStmt,
  catalog: Catalog,
  decide: Decide,
): StatementClass {
  // A temporary table apart, and its session is pinned, a READ ONLY transaction refuses COPY FROM.
  if (statement.is_from === true) return write('COPY', 'copy-in', { replicaSafe: true });
  if (statement.is_program === true || statement.filename !== undefined) {
    return write('COPY', 'copy-server-file');
  }
  const inner = statement.query === undefined ? null : decide(statement.query, catalog);
  if (inner !== null && inner.access === 'session') {
    return write('COPY', 'session-setting', { effect: inner.effect });
  }
  if (inner !== null) return { ...inner, tag: 'COPY' };
  const { cause } = inspect(statement, catalog);
  return cause === null ? read('COPY') : write('COPY', cause.reason, cause);
}
