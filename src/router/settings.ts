import type { Node, VariableSetStmt, VariableShowStmt } from 'libpg-query';
import { nameLists } from '../name-lists.ts';
import { parseBool } from '../parse-bool.ts';
import { quoteLiteral } from '../quote.ts';
import { settingCause } from './causes.ts';
import { combined, read, session, write } from './classes.ts';
import { splitIdentifiers } from './split-identifiers.ts';
import type { Catalog, Effect, StatementClass, TransactionModes } from './statement.ts';

const PIN: Effect = { kind: 'pin', reason: 'unknown-set' };

/** Another user takes no role along (SetSessionAuthorization in miscinit.c). */
const ANOTHER_USER: Effect = {
  kind: 'several',
  effects: [{ kind: 'set', name: 'role', value: "'none'", local: false }, PIN],
};

/**
 * Settings whose effect cannot be undone or repeated by SET on another connection: the user of the
 * session, and the state of its random generator.
 */
const NOT_PORTABLE: ReadonlySet<string> = new Set(['session_authorization', 'seed']);

/** Of the current transaction, not of the session: SET of them is SET TRANSACTION. */
const OF_TRANSACTION: ReadonlySet<string> = new Set([
  'transaction_read_only',
  'transaction_isolation',
  'transaction_deferrable',
]);

/** Others need an exotic quoted name and a server before PostgreSQL 14: not worth replaying. */
const REPLAYABLE_NAME =
  /^[a-z_\u0080-\uffff][\w$\u0080-\uffff]*(\.[a-z_\u0080-\uffff][\w$\u0080-\uffff]*)*$/;

const NO_MODES: TransactionModes = { readOnly: null, isolation: null, deferrable: null };

export function classifySet(statement: VariableSetStmt): StatementClass {
  const tag = statement.kind?.startsWith('VAR_RESET') ? 'RESET' : 'SET';
  const local = statement.is_local === true;
  const name = (statement.name ?? '').toLowerCase();
  switch (statement.kind) {
    case 'VAR_RESET_ALL':
      return session(tag, 'session-setting', { kind: 'reset-all' });
    case 'VAR_RESET':
    case 'VAR_SET_DEFAULT':
      return settingClass(tag, resetEffect(name, local));
    case 'VAR_SET_MULTI':
      return classifyMulti(name, statement.args ?? []);
    case 'VAR_SET_VALUE':
      return classifyValue(name, statement.args ?? [], local);
    default:
      // SET ... FROM CURRENT stands in CREATE FUNCTION only.
      return settingClass(tag, PIN);
  }
}

/** What pins the session must not happen on a replica: the pin would keep its writes there. */
function settingClass(tag: string, effect: Effect): StatementClass {
  if (effect === PIN || effect === ANOTHER_USER) return write(tag, 'session-setting', { effect });
  return session(tag, 'session-setting', effect);
}

function resetEffect(name: string, local: boolean): Effect {
  return isPortable(name) ? { kind: 'reset', name, local } : notPortable(name, local);
}

function classifyValue(name: string, args: readonly Node[], local: boolean): StatementClass {
  if (OF_TRANSACTION.has(name)) {
    const modes = modesFromSetting(name, constantText(args[0]) ?? '');
    return setTransaction(modes);
  }
  return settingClass('SET', setEffect(name, settingValue(name, args), local));
}

function setEffect(name: string, value: string | null, local: boolean): Effect {
  if (value === null || !isPortable(name)) return notPortable(name, local);
  return { kind: 'set', name, value, local };
}

function notPortable(name: string, local: boolean): Effect {
  return name === 'session_authorization' && !local ? ANOTHER_USER : PIN;
}

function isPortable(name: string): boolean {
  return REPLAYABLE_NAME.test(name) && !NOT_PORTABLE.has(name);
}

/** The text that may stand after SET name TO, or null. */
function settingValue(name: string, args: readonly Node[]): string | null {
  const values: string[] = [];
  for (const arg of args) {
    const value = name === 'timezone' ? (interval(arg) ?? constantSql(arg)) : constantSql(arg);
    if (value === null) return null;
    values.push(value);
  }
  return values.length === 0 ? null : values.join(', ');
}

/** SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE, in the form SET timezone takes (check_timezone). */
function interval(node: Node): string | null {
  if (!('TypeCast' in node)) return null;
  const text = constantText(node.TypeCast.arg);
  if (text === null || !/^[+-]?\d{1,2}:\d{2}$/.test(text)) return null;
  return quoteLiteral(`INTERVAL '${text}'`);
}

function constantSql(node: Node): string | null {
  if (!('A_Const' in node)) return null;
  const { ival, fval, sval } = node.A_Const;
  if (sval !== undefined) return quoteLiteral(sval.sval ?? '');
  if (fval !== undefined) return fval.fval ?? null;
  // libpg-query leaves a zero out.
  return ival === undefined ? null : String(ival.ival ?? 0);
}

/** A constant as the text a setting is given; null for what is not a constant, and for NULL. */
export function constantText(node: Node | undefined): string | null {
  if (node === undefined || !('A_Const' in node)) return null;
  const { ival, fval, boolval, sval } = node.A_Const;
  if (sval !== undefined) return sval.sval ?? '';
  if (fval !== undefined) return fval.fval ?? null;
  if (boolval !== undefined) return boolval.boolval === true ? 'on' : 'off';
  return ival === undefined ? null : String(ival.ival ?? 0);
}

function classifyMulti(name: string, args: readonly Node[]): StatementClass {
  switch (name) {
    case 'transaction':
      return setTransaction(transactionModes(args));
    case 'session characteristics':
      return session('SET', 'session-setting', characteristics(transactionModes(args)));
    default:
      // SET TRANSACTION SNAPSHOT names a snapshot that one server exported.
      return write('SET', 'session-object');
  }
}

function setTransaction(modes: TransactionModes): StatementClass {
  const effect: Effect = { kind: 'set-transaction', ...modes };
  return session('SET', 'transaction-control', effect, standbyAccepts(modes));
}

/** A standby knows neither READ WRITE nor SERIALIZABLE transactions (0A000). */
export function standbyAccepts(modes: TransactionModes): boolean {
  return modes.readOnly !== false && modes.isolation !== 'serializable';
}

function characteristics(modes: TransactionModes): Effect | null {
  const effects: Effect[] = [];
  const add = (name: string, value: string): void => {
    effects.push({ kind: 'set', name: `default_transaction_${name}`, value, local: false });
  };
  if (modes.readOnly !== null) add('read_only', modes.readOnly ? "'on'" : "'off'");
  if (modes.isolation !== null) add('isolation', quoteLiteral(modes.isolation));
  if (modes.deferrable !== null) add('deferrable', modes.deferrable ? "'on'" : "'off'");
  return combined(effects);
}

/** The modes of BEGIN, SET TRANSACTION and SET SESSION CHARACTERISTICS; the last of each counts. */
export function transactionModes(options: readonly Node[]): TransactionModes {
  let modes = NO_MODES;
  for (const option of options) {
    if (!('DefElem' in option)) continue;
    const { defname, arg } = option.DefElem;
    modes = { ...modes, ...definedModes(defname ?? '', constantText(arg) ?? '') };
  }
  return modes;
}

function modesFromSetting(name: string, value: string): TransactionModes {
  return { ...NO_MODES, ...definedModes(name, value) };
}

function definedModes(name: string, value: string): Partial<TransactionModes> {
  const on = parseBool(value) === true;
  switch (name) {
    case 'transaction_read_only':
      return { readOnly: on };
    case 'transaction_deferrable':
      return { deferrable: on };
    case 'transaction_isolation':
      return { isolation: value.toLowerCase() };
    default:
      return {};
  }
}

export function classifyShow(statement: VariableShowStmt, catalog: Catalog): StatementClass {
  const name = (statement.name ?? '').toLowerCase();
  if (name.startsWith('tidemark.')) {
    return session('SHOW', 'session-setting', { kind: 'show', name });
  }
  const cause = settingCause(name, catalog);
  return cause === null ? read('SHOW') : write('SHOW', cause.reason, cause);
}

/** The effect of set_config(name, value, is_local); null: none that outlives the transaction. */
export function setConfigEffect(args: readonly Node[]): Effect | null {
  const [nameNode, valueNode, localNode] = args;
  const name = constantText(nameNode)?.toLowerCase() ?? null;
  const local = booleanConstant(localNode);
  if (name === null || OF_TRANSACTION.has(name)) return PIN;
  const value = constantText(valueNode);
  if (local === null || value === null) {
    // What the end of the transaction takes back is nobody's business.
    if (local === true && isPortable(name)) return null;
    return isPortable(name) ? { kind: 'set-unknown', name } : PIN;
  }
  return setEffect(name, flatValue(name, value), local);
}

function flatValue(name: string, value: string): string | null {
  if (!nameLists.has(name)) return quoteLiteral(value);
  const names = splitIdentifiers(value);
  if (names === null) return null;
  return names.length === 0 ? "''" : names.map(quoteLiteral).join(', ');
}

function booleanConstant(node: Node | undefined): boolean | null {
  // `true` is a constant; 't'::bool and $1 are not worth the trouble.
  if (node === undefined || !('A_Const' in node)) return null;
  const { boolval, sval } = node.A_Const;
  if (boolval !== undefined) return boolval.boolval === true;
  if (sval === undefined) return null;
  if (/^(t|true|on|yes|1)$/i.test(sval.sval ?? '')) return true;
  return /^(f|false|off|no|0)$/i.test(sval.sval ?? '') ? false : null;
}
