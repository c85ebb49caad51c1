import type { DeclareCursorStmt, Node, TransactionStmt } from 'libpg-query';

import { session, write } from './classes.ts';
import { temporaryScope } from './inspect.ts';
import { type PlainStatement, plainStatements } from './plain-statements.ts';
import { classifyCopy, classifyExplain, classifyModification, classifySelect } from './queries.ts';
import { classifySet, classifyShow, standbyAccepts, transactionModes } from './settings.ts';
import type { Catalog, Effect, PinReason, StatementClass } from './statement.ts';

/** CURSOR_OPT_HOLD of nodes/parsenodes.h. */
const CURSOR_HOLD = 0x20;

const pin = (reason: PinReason): Effect => ({ kind: 'pin', reason });
const unpin = (reason: PinReason): Effect => ({ kind: 'unpin', reason });

/** Decides one statement of the grammar. Total: what the tables do not know is a write. */
export function decide(node: Node, catalog: Catalog): StatementClass {
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
    const effect = node.ClosePortalStmt.portalname === undefined ? unpin('hold-cursor') : null;
    return write('CLOSE', 'cursor', { replicaSafe: true, effect });
  }
  if ('UnlistenStmt' in node) {
    const effect = node.UnlistenStmt.conditionname === undefined ? unpin('listen') : null;
    return session('UNLISTEN', 'notification', effect);
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
  if ('ListenStmt' in node) return write('LISTEN', 'notification', { effect: pin('listen') });
  if ('PrepareStmt' in node) {
    return write('PREPARE', 'session-object', { effect: pin('sql-prepare') });
  }
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

function decidePlain(node: Node): StatementClass {
  const type = Object.keys(node)[0] ?? '';
  const plain: PlainStatement | undefined = plainStatements.get(type);
  if (plain === undefined) return write(type, 'unparsable', { effect: pin('unparsed') });
  const { tag, reason } = plain;
  if (reason !== 'ddl') return write(tag, reason, { replicaSafe: plain.refusedReadOnly === true });
  const temporary = temporaryScope(node);
  return write(tag, 'ddl', {
    replicaSafe: true,
    effect: temporary === 'session' ? pin('temp-table') : null,
    ddl: plain.changesCatalog !== false && temporary === null,
  });
}

/** Every node type that decide() knows by name; a test compares it with the grammar. */
export const decidedStatements: ReadonlySet<string> = new Set([
  ...['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt', 'ExplainStmt'],
  ...['CopyStmt', 'VariableSetStmt', 'VariableShowStmt', 'TransactionStmt', 'DeclareCursorStmt'],
  ...['FetchStmt', 'ClosePortalStmt', 'UnlistenStmt', 'DeallocateStmt', 'DiscardStmt'],
  ...['ConstraintsSetStmt', 'ListenStmt', 'PrepareStmt', 'LoadStmt'],
  ...plainStatements.keys(),
]);
