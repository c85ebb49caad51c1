import type {
  DeclareCursorStmt,
  ExecuteStmt,
  Node,
  PrepareStmt,
  TransactionStmt,
} from 'libpg-query';

import { combined, session, write } from './classes.ts';
import { inspect, temporaryScope } from './inspect.ts';
import { type PlainStatement, plainStatements } from './plain-statements.ts';
import { classifyCopy, classifyExplain, classifyModification, classifySelect } from './queries.ts';
import { classifySet, classifyShow, standbyAccepts, transactionModes } from './settings.ts';
import type { Catalog, Effect, PinReason, StatementClass } from './statement.ts';

/** CURSOR_OPT_HOLD of nodes/parsenodes.h. */
const CURSOR_HOLD = 0x20;

const pin = (reason: PinReason): Effect => ({ kind: 'pin', reason });
type Code = Extract<Effect, { kind: 'review' }>['ran'];
const review = (ran: Code): Effect => ({ kind: 'review', ran });

/**
 * Decides one statement of the grammar, whose SQL is `text`. Total: what the tables do not know is a
 * write.
 */
export function decide(
  node: Node,
  catalog: Catalog,
  text: () => string = () => '',
): StatementClass {
  if ('PrepareStmt' in node) return classifyPrepare(node.PrepareStmt, catalog, text());
  return decideQuery(node, catalog) ?? decideSession(node, catalog) ?? decidePlain(node);
}

function decideQuery(node: Node, catalog: Catalog): StatementClass | null {
  if ('SelectStmt' in node) return classifySelect(node.SelectStmt, catalog);
  if ('InsertStmt' in node) return classifyModification('INSERT', node.InsertStmt, catalog);
  if ('UpdateStmt' in node) return classifyModification('UPDATE', node.UpdateStmt, catalog);
  if ('DeleteStmt' in node) return classifyModification('DELETE', node.DeleteStmt, catalog);
  if ('MergeStmt' in node) return classifyModification('MERGE', node.MergeStmt, catalog);
  if ('ExplainStmt' in node) return classifyExplain(node.ExplainStmt, catalog, decide);
  if ('CopyStmt' in node) return classifyCopy(node.CopyStmt, catalog, decide);
  return null;
}

function decideSession(node: Node, catalog: Catalog): StatementClass | null {
  if ('VariableSetStmt' in node) return classifySet(node.VariableSetStmt);
  if ('VariableShowStmt' in node) return classifyShow(node.VariableShowStmt, catalog);
  if ('TransactionStmt' in node) return classifyTransaction(node.TransactionStmt);
  if ('DeclareCursorStmt' in node) return classifyDeclare(node.DeclareCursorStmt, catalog);
  if ('FetchStmt' in node) {
    const tag = node.FetchStmt.ismove === true ? 'MOVE' : 'FETCH';
    return write(tag, 'cursor', { replicaSafe: true });
  }
  if ('ClosePortalStmt' in node) {
    return write('CLOSE', 'cursor', { replicaSafe: true, effect: review(null) });
  }
  if ('UnlistenStmt' in node) {
    const channel = node.UnlistenStmt.conditionname ?? null;
    return session('UNLISTEN', 'notification', { kind: 'unlisten', channel });
  }
  if ('DeallocateStmt' in node) {
    const name = node.DeallocateStmt.name ?? null;
    return session('DEALLOCATE', 'session-object', { kind: 'deallocate', name });
  }
  if ('DiscardStmt' in node) {
    const what = DISCARDED[node.DiscardStmt.target ?? 'DISCARD_ALL'];
    return session('DISCARD', 'session-object', { kind: 'discard', what });
  }
  if ('ConstraintsSetStmt' in node) return session('SET CONSTRAINTS', 'transaction-control', null);
  if ('ListenStmt' in node) {
    const channel = node.ListenStmt.conditionname ?? '';
    return write('LISTEN', 'notification', { effect: { kind: 'listen', channel } });
  }
  if ('NotifyStmt' in node) return write('NOTIFY', 'notification', { effect: { kind: 'notify' } });
  if ('ExecuteStmt' in node) return classifyExecute(node.ExecuteStmt, catalog);
  if ('LoadStmt' in node) return write('LOAD', 'session-object', { effect: pin('load') });
  return null;
}

const DISCARDED = {
  DISCARD_ALL: 'all',
  DISCARD_PLANS: 'plans',
  DISCARD_SEQUENCES: 'sequences',
  DISCARD_TEMP: 'temp',
} as const;

function classifyTransaction(statement: TransactionStmt): StatementClass {
  const control = (tag: string, effect: Effect): StatementClass =>
    session(tag, 'transaction-control', effect);
  const chain = statement.chain === true;
  const name = statement.savepoint_name ?? '';
  switch (statement.kind) {
    case 'TRANS_STMT_BEGIN':
    case 'TRANS_STMT_START': {
      const modes = transactionModes(statement.options ?? []);
      const effect: Effect = { kind: 'begin', ...modes };
      const tag = statement.kind === 'TRANS_STMT_START' ? 'START TRANSACTION' : 'BEGIN';
      return session(tag, 'transaction-control', effect, standbyAccepts(modes));
    }
    case 'TRANS_STMT_COMMIT':
      return control('COMMIT', { kind: 'commit', chain });
    case 'TRANS_STMT_ROLLBACK':
      return control('ROLLBACK', { kind: 'rollback', chain });
    case 'TRANS_STMT_SAVEPOINT':
      return control('SAVEPOINT', { kind: 'savepoint', name });
    case 'TRANS_STMT_RELEASE':
      return control('RELEASE', { kind: 'release', name });
    case 'TRANS_STMT_ROLLBACK_TO':
      return control('ROLLBACK', { kind: 'rollback-to', name });
    case 'TRANS_STMT_PREPARE':
      return write('PREPARE TRANSACTION', 'transaction-control', {
        effect: { kind: 'prepare-transaction' },
      });
    case 'TRANS_STMT_COMMIT_PREPARED':
      return write('COMMIT PREPARED', 'transaction-control');
    default:
      return write('ROLLBACK PREPARED', 'transaction-control');
  }
}

/** A cursor lives where it was declared: with the transaction, or, held, with the connection. */
function classifyDeclare(statement: DeclareCursorStmt, catalog: Catalog): StatementClass {
  if (((statement.options ?? 0) & CURSOR_HOLD) !== 0) {
    return write('DECLARE CURSOR', 'cursor', { effect: pin('hold-cursor') });
  }
  const query = statement.query === undefined ? null : decide(statement.query, catalog);
  return write('DECLARE CURSOR', 'cursor', {
    replicaSafe: query?.replicaSafeInTransaction ?? false,
    effect: query?.effect ?? null,
  });
}

function classifyPrepare(
  { name = '', query }: PrepareStmt,
  catalog: Catalog,
  sql: string,
): StatementClass {
  const inner = query === undefined ? null : decide(query, catalog);
  if (inner === null) return write('PREPARE', 'session-object');
  return write('PREPARE', 'session-object', { effect: { kind: 'prepare', name, sql, inner } });
}

/** What it runs is for the session to say, which has prepared it. */
function classifyExecute({ name, params }: ExecuteStmt, catalog: Catalog): StatementClass {
  const { cause } = inspect({ params: params ?? [] }, catalog);
  return write('EXECUTE', cause?.reason ?? 'session-object', {
    effect: { kind: 'execute', name: name ?? '', isRead: cause === null },
  });
}

function ddlEffect(node: Node, temporary: ReturnType<typeof temporaryScope>): Effect | null {
  const effects = temporary === 'session' ? [pin('temp-table')] : [];
  const other = effectOfDdl(node);
  return combined(other === null ? effects : [...effects, other]);
}

function effectOfDdl(node: Node): Effect | null {
  if ('DropStmt' in node) return review(null);
  if ('AlterRoleSetStmt' in node || 'AlterDatabaseSetStmt' in node) {
    return { kind: 'change-defaults' };
  }
  return executedIn(node) ?? vacatedBy(node);
}

/** CREATE TABLE AS EXECUTE. */
function executedIn(node: Node): Effect | null {
  const query = 'CreateTableAsStmt' in node ? node.CreateTableAsStmt.query : undefined;
  if (query === undefined || !('ExecuteStmt' in query)) return null;
  return { kind: 'execute', name: query.ExecuteStmt.name ?? '', isRead: false };
}

/** What CREATE DATABASE copies, and what is dropped, renamed or moved, must not be in use. */
function vacatedBy(node: Node): Effect | null {
  const vacate = (database = ''): Effect => ({ kind: 'vacate', database });
  if ('CreatedbStmt' in node)
    return vacate(option(node.CreatedbStmt.options, 'template') ?? 'template1');
  if ('DropdbStmt' in node) return vacate(node.DropdbStmt.dbname);
  if ('AlterDatabaseStmt' in node) {
    const { dbname, options } = node.AlterDatabaseStmt;
    return option(options, 'tablespace') === null ? null : vacate(dbname);
  }
  if ('RenameStmt' in node && node.RenameStmt.renameType === 'OBJECT_DATABASE') {
    return vacate(node.RenameStmt.subname);
  }
  return null;
}

/** The text of an option in a list of them; null: it is not there. */
function option(options: readonly Node[] | undefined, name: string): string | null {
  for (const one of options ?? []) {
    if (!('DefElem' in one) || one.DefElem.defname !== name) continue;
    const { arg } = one.DefElem;
    return arg !== undefined && 'String' in arg ? (arg.String.sval ?? '') : '';
  }
  return null;
}

/** Settings with a dot in their name, which the server does not tell of when it is asked. */
function setsUndeclared(node: Node): boolean {
  const code = 'DoStmt' in node ? (option(node.DoStmt.args, 'as') ?? '') : '';
  return /\bset_config\b|\bset\s+(session\s+)?[\w"]+\s*\./i.test(code);
}

function decidePlain(node: Node): StatementClass {
  const type = Object.keys(node)[0] ?? '';
  const plain: PlainStatement | undefined = plainStatements.get(type);
  if (plain === undefined) return write(type, 'unparsable', { effect: pin('unparsed') });
  const { tag, reason } = plain;
  if (reason === 'call-or-do') {
    const effect = setsUndeclared(node) ? pin('unknown-set') : review('block');
    return write(tag, reason, { effect });
  }
  if (reason !== 'ddl') return write(tag, reason, { replicaSafe: plain.refusedReadOnly === true });
  const temporary = temporaryScope(node);
  return write(tag, 'ddl', {
    replicaSafe: true,
    effect: ddlEffect(node, temporary),
    ddl: plain.changesCatalog !== false && temporary === null,
  });
}

/** Every node type that decide() knows by name; a test compares it with the grammar. */
export const decidedStatements: ReadonlySet<string> = new Set([
  ...['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt', 'ExplainStmt'],
  ...['CopyStmt', 'VariableSetStmt', 'VariableShowStmt', 'TransactionStmt', 'DeclareCursorStmt'],
  ...['FetchStmt', 'ClosePortalStmt', 'UnlistenStmt', 'DeallocateStmt', 'DiscardStmt'],
  ...['ConstraintsSetStmt', 'ListenStmt', 'NotifyStmt', 'PrepareStmt', 'ExecuteStmt', 'LoadStmt'],
  ...plainStatements.keys(),
]);
