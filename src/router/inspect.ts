import type { Node } from 'libpg-query';

import {
  type Cause,
  causes,
  functionCause,
  heaviest,
  type Name,
  operatorCause,
  relationCause,
  settingCause,
  typeCause,
} from './causes.ts';
import { constantText } from './settings.ts';
import type { Catalog } from './statement.ts';

/** What a walk over the grammar tree of a query found. */
export interface Findings {
  /** What keeps the query from being a read; or null. */
  readonly cause: Cause | null;
  /** The table that SELECT INTO makes, when it is temporary. */
  readonly temporary: ReturnType<typeof temporaryScope>;
  /** Calls of functions that change the session or ask about it, by lower case name. */
  readonly sessionCalls: ReadonlySet<string>;
}

const SESSION_CALL =
  /^(set_config|setseed|set_limit|pg_(try_)?advisory_lock(_shared)?|pg_advisory_unlock(_shared|_all)?|pg_notify|pg_listening_channels|pg_prepared_statement|currval|lastval|dblink_connect(_u)?|pg_replication_origin_session_setup|pg_backup_start|pg_start_backup)$/;

const SLOT_CALL = /^pg_(create|copy)_(physical|logical)_replication_slot$/;

type Fields = Readonly<Record<string, unknown>>;

/**
 * Walks every field of a tree, so that no clause of the grammar can be forgotten. Iterative: a tree
 * may be thousands of levels deep. Keys are names of the grammar, never text of the client.
 */
export function inspect(tree: object, catalog: Catalog): Findings {
  const walk = new Walk(catalog);
  for (const fields of objectsOf(tree)) walk.visit(fields);
  return walk.findings();
}

class Walk {
  readonly #catalog: Catalog;
  readonly #found = new Set<Cause>();
  readonly #sessionCalls = new Set<string>();
  readonly #relations: Name[] = [];
  /** Names that WITH defines. They are looked for anywhere: shadowing a relation hides nothing. */
  readonly #local = new Set<string>();
  #temporary: Findings['temporary'] = null;

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  visit(fields: Fields): void {
    this.#clauses(fields);
    if (fields.FuncCall !== undefined) this.#call(fields.FuncCall as Fields);
    if (fields.TypeName !== undefined) this.#type(fields.TypeName as Fields);
    if (fields.typeName !== undefined) this.#type(fields.typeName as Fields);
    this.#operators(fields);
    this.#columns(fields);
  }

  findings(): Findings {
    for (const name of this.#relations) {
      const isLocal = name.schema === null && this.#local.has(name.name);
      this.#add(relationCause(name, isLocal, this.#catalog));
    }
    return {
      cause: heaviest(this.#found),
      temporary: this.#temporary,
      sessionCalls: this.#sessionCalls,
    };
  }

  #add(cause: Cause | null): void {
    if (cause !== null) this.#found.add(cause);
  }

  #clauses(fields: Fields): void {
    if (fields.lockingClause !== undefined) this.#add(causes.lockingClause);
    if (fields.intoClause !== undefined) {
      this.#add(causes.selectInto);
      this.#temporary = temporaryScope(fields.intoClause as object);
    }
    if (isModification(fields)) this.#add(causes.writingCte);
    if (typeof fields.ctename === 'string') this.#local.add(fields.ctename);
    if (typeof fields.relname === 'string') {
      const { schemaname } = fields;
      const schema = typeof schemaname === 'string' ? schemaname : null;
      this.#relations.push({ schema, name: fields.relname });
      // A view of that function.
      if (fields.relname === 'pg_prepared_statements') {
        this.#sessionCalls.add('pg_prepared_statement');
      }
    }
  }

  #call(call: Fields): void {
    const name = nameOf(call.funcname);
    const makesOwnSlot = SLOT_CALL.test(name.name) && mayBeTemporary(call.args);
    if (SESSION_CALL.test(name.name) || makesOwnSlot) this.#sessionCalls.add(name.name);
    this.#add(functionCause(name, this.#catalog));
    if (name.name === 'current_setting') {
      const [argument] = Array.isArray(call.args) ? call.args : [];
      this.#add(settingCause(settingName(argument), this.#catalog));
    }
  }

  #type(type: Fields): void {
    if (Array.isArray(type.names)) this.#add(typeCause(nameOf(type.names), this.#catalog));
  }

  /** Those that an expression names, and those that the grammar has other words for. */
  #operators(fields: Fields): void {
    const expression = fields.A_Expr as Fields | undefined;
    if (expression !== undefined) {
      const isBetween = String(expression.kind).includes('BETWEEN');
      if (isBetween) for (const name of ['<', '<=', '>=', '>']) this.#operator(name);
      else this.#add(operatorCause(nameOf(expression.name), this.#catalog));
    }
    const link = fields.SubLink as Fields | undefined;
    for (const names of [link?.operName, fields.useOp]) {
      if (names !== undefined) this.#add(operatorCause(nameOf(names), this.#catalog));
    }
    const compares =
      (link?.testexpr !== undefined && link.operName === undefined) ||
      (fields.CaseExpr as Fields | undefined)?.arg !== undefined ||
      fields.usingClause !== undefined ||
      fields.isNatural === true;
    if (compares) this.#operator('=');
  }

  #operator(name: string): void {
    this.#add(operatorCause({ schema: null, name }, this.#catalog));
  }

  /** `t.f` and `(row).f` call f where there is no such column (ParseFuncOrColumn). */
  #columns(fields: Fields): void {
    const reference = (fields.ColumnRef as Fields | undefined)?.fields;
    const parts = [
      ...(Array.isArray(reference) ? reference.slice(1) : []),
      ...(Array.isArray(fields.indirection) ? fields.indirection : []),
    ];
    for (const part of parts) {
      const name = (part as { String?: { sval?: string } }).String?.sval;
      if (name !== undefined && this.#catalog.isColumnFunction(name)) {
        this.#add(causes.volatileFunction);
      }
    }
  }
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

/** 'port' and 'port'::text, in lower case; null: not known before it runs. */
function settingName(argument: Node | undefined): string | null {
  if (argument === undefined || !('TypeCast' in argument)) {
    return constantText(argument)?.toLowerCase() ?? null;
  }
  const { arg, typeName } = argument.TypeCast;
  const isText = nameOf(typeName?.names).name === 'text' && typeName?.arrayBounds === undefined;
  return isText ? settingName(arg) : null;
}

/** Of a list of String nodes: `a.b.f` is f of schema b. */
export function nameOf(list: unknown): Name {
  const parts: string[] = [];
  for (const part of Array.isArray(list) ? list : []) {
    parts.push((part as { String?: { sval?: string } }).String?.sval ?? '');
  }
  return { schema: parts.at(-2) ?? null, name: parts.at(-1) ?? '' };
}

/** Whether the third argument, `temporary`, may be true: such a slot ends with its session. */
function mayBeTemporary(args: unknown): boolean {
  const temporary = Array.isArray(args) ? args[2] : undefined;
  return temporary !== undefined && constantText(temporary) !== 'off';
}
