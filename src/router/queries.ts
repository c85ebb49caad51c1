import type { CopyStmt, ExplainStmt, Node, SelectStmt } from 'libpg-query';

import { combined, read, session, write } from './classes.ts';
import { type Findings, inspect, nameOf } from './inspect.ts';
import { constantText, setConfigEffect } from './settings.ts';
import type { Catalog, Effect, StatementClass, WriteReason } from './statement.ts';

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
  const alone = callAlone(statement);
  const effect: Effect | null =
    (alone === null ? null : effectOfCallAlone(alone)) ?? callEffects(findings);
  return write('SELECT', cause.reason, {
    replicaSafe: cause.replicaSafe,
    prefersPrimary: cause.prefersPrimary,
    effect,
    ddl: cause.reason === 'select-into' && findings.temporary === null,
    // What ties the session to its server must not tie it to a replica.
    forcible: cause.forcible && (effect === null || effect.kind === 'review'),
  });
}

/** The argument lists, when the query is nothing but calls of set_config with no function in them. */
function setConfigCalls(statement: SelectStmt): (readonly Node[])[] | null {
  if (!isTargetsOnly(statement)) return null;
  const calls: (readonly Node[])[] = [];
  for (const target of statement.targetList ?? []) {
    const args = setConfigArguments(target);
    if (args === null) return null;
    calls.push(args);
  }
  return calls.length === 0 ? null : calls;
}

/** SELECT of expressions, without any further clause. */
function isTargetsOnly(statement: SelectStmt): boolean {
  const { fromClause, whereClause, withClause, groupClause, sortClause, lockingClause } = statement;
  const { limitCount, limitOffset, havingClause, intoClause, distinctClause } = statement;
  const clauses = [fromClause, whereClause, withClause, groupClause, sortClause, lockingClause];
  const others = [limitCount, limitOffset, havingClause, intoClause, distinctClause];
  return (
    statement.op === 'SETOP_NONE' && [...clauses, ...others].every((clause) => clause === undefined)
  );
}

/** A function of the server's whose call is all there is to a query. */
interface CallAlone {
  readonly name: string;
  readonly args: readonly Node[];
  /** The name of the result's only column. */
  readonly column: string;
}

function callAlone(statement: SelectStmt): CallAlone | null {
  const [target, second] = statement.targetList ?? [];
  if (!isTargetsOnly(statement) || target === undefined || second !== undefined) return null;
  if (!('ResTarget' in target)) return null;
  const { val, name } = target.ResTarget;
  if (val === undefined || !('FuncCall' in val)) return null;
  const called = nameOf(val.FuncCall.funcname);
  const isBuiltIn = called.schema === null || called.schema === 'pg_catalog';
  const { args = [] } = val.FuncCall;
  return isBuiltIn ? { name: called.name, args, column: name ?? called.name } : null;
}

/** What is asked of the session's own process id, or done to that of another. */
function effectOfCallAlone({ name, args, column }: CallAlone): Effect | null {
  if (name === 'pg_backend_pid' && args.length === 0) return { kind: 'backend-pid', column };
  if (args.length !== 1) return null;
  if (name !== 'pg_cancel_backend' && name !== 'pg_terminate_backend') return null;
  const argument = 'TypeCast' in args[0]! ? args[0].TypeCast.arg : args[0];
  const parameter =
    argument !== undefined && 'ParamRef' in argument ? (argument.ParamRef.number ?? null) : null;
  const number = Number(constantText(argument) ?? Number.NaN);
  const pid = isOwnPid(argument) ? 'own' : Number.isInteger(number) ? number : null;
  const action = name === 'pg_cancel_backend' ? 'cancel' : 'terminate';
  return { kind: 'signal', action, pid, parameter, column };
}

function isOwnPid(node: Node | undefined): boolean {
  if (node === undefined || !('FuncCall' in node) || node.FuncCall.args !== undefined) return false;
  const { schema, name } = nameOf(node.FuncCall.funcname);
  return name === 'pg_backend_pid' && (schema === null || schema === 'pg_catalog');
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

const mayRunCode: ReadonlySet<WriteReason> = new Set<WriteReason>([
  'volatile-function',
  'volatile-relation',
  'volatile-operator',
  'volatile-type',
  'unknown-function',
  'catalog-not-loaded',
]);

/** What the calls in a query leave behind. Where one cannot be told exactly, the session is pinned. */
function callEffects({ cause, sessionCalls, temporary }: Findings): Effect | null {
  const effects: Effect[] = [];
  // A function may do whatever a session can: make temporary tables, take locks, give them back.
  if (cause !== null && mayRunCode.has(cause.reason))
    effects.push({ kind: 'review', ran: 'function' });
  if (temporary === 'session') effects.push({ kind: 'pin', reason: 'temp-table' });
  for (const name of sessionCalls) effects.push(...effectOfCall(name));
  return combined(effects);
}

function effectOfCall(name: string): Effect[] {
  switch (name) {
    case 'set_config':
    case 'setseed':
      return [{ kind: 'pin', reason: 'unknown-set' }];
    case 'pg_advisory_unlock':
    case 'pg_advisory_unlock_shared':
    case 'pg_advisory_unlock_all':
      return [{ kind: 'review', ran: null }];
    // Of pg_trgm: SET pg_trgm.similarity_threshold.
    case 'set_limit':
      return [{ kind: 'review', ran: 'block' }];
    case 'pg_notify':
      return [{ kind: 'notify' }];
    case 'pg_listening_channels':
      return [{ kind: 'list-channels' }];
    case 'pg_prepared_statement':
      return [{ kind: 'list-statements' }];
    case 'currval':
    case 'lastval':
      return [{ kind: 'sequence-state' }];
    case 'dblink_connect':
    case 'dblink_connect_u':
    case 'pg_create_physical_replication_slot':
    case 'pg_create_logical_replication_slot':
    case 'pg_copy_physical_replication_slot':
    case 'pg_copy_logical_replication_slot':
    case 'pg_replication_origin_session_setup':
    case 'pg_backup_start':
    case 'pg_start_backup':
      return [{ kind: 'pin', reason: 'session-function' }];
    default:
      return [{ kind: 'pin', reason: 'advisory-lock' }];
  }
}

/** INSERT, UPDATE, DELETE, MERGE: refused by any READ ONLY transaction, whatever they call. */
export function classifyModification(tag: string, tree: object, catalog: Catalog): StatementClass {
  const { sessionCalls } = inspect(tree, catalog);
  const effects = [...sessionCalls].flatMap(effectOfCall);
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
  if ('ExecuteStmt' in statement.query) {
    const { name = '' } = statement.query.ExecuteStmt;
    return write('EXPLAIN', 'session-object', { effect: { kind: 'execute', name, isRead: false } });
  }
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
