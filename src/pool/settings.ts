import { nameLists } from '../name-lists.ts';
import { parseBool } from '../parse-bool.ts';
import { quoteLiteral, quoteSettingName } from '../quote.ts';
import { dateStyleAfter } from './date-style.ts';

/** A session setting: how to make it so, and its value in plain text for the proxy's own use. */
export interface Setting {
  /** Statements, joined by semicolons, that set it on any server connection. */
  readonly sql: string;
  /** The value as SHOW would say it where that is simple, lower case; else as written. */
  readonly value: string;
}

/** The one whose SET may leave a part of it as it was. */
const dateStyleName = 'datestyle';

/**
 * From the text of a SET statement: `value` is what may stand behind TO. `before` is the session's
 * setting until then, if it has made one.
 */
export function settingFromSet(name: string, value: string, before?: Setting): Setting {
  const plain = value.trim().replace(/^'(.*)'$/s, '$1');
  const setting = { sql: `SET ${quoteSettingName(name)} TO ${value}`, value: plain.toLowerCase() };
  if (name !== dateStyleName) return setting;
  const after = dateStyleAfter(value, before?.value ?? null);
  if (after === null) return setting;
  const sql = `SET ${quoteSettingName(name)} TO ${quoteLiteral(after.text)}`;
  return { sql: after.isWhole ? sql : onDefault(name, sql), value: after.text };
}

/** What a server connection had before it is not to show through. */
const onDefault = (name: string, sql: string) => `RESET ${quoteSettingName(name)}; ${sql}`;

/**
 * From a raw value as it stands in a startup packet. As the configuration file's reader, set_config
 * takes a list of names in one text, which SET does not; but it is a query, and behind one no
 * transaction can have its isolation level changed.
 */
export function settingFromStartup(name: string, value: string): Setting {
  const isQuery = nameLists.has(name.toLowerCase());
  const sql = isQuery
    ? `SELECT pg_catalog.set_config(${quoteLiteral(name)}, ${quoteLiteral(value)}, false)`
    : `SET ${quoteSettingName(name)} TO ${quoteLiteral(value)}`;
  const isPart =
    name.toLowerCase() === dateStyleName && dateStyleAfter(value, null)?.isWhole === false;
  return { sql: isPart ? onDefault(dateStyleName, sql) : sql, value: value.toLowerCase() };
}

/**
 * The one statement that makes `setting` again where a RESET has just gone before it; `local`: until
 * the end of the transaction.
 */
export function afterReset(name: string, { sql }: Setting, local: boolean): string {
  const reset = onDefault(name, '');
  const statement = sql.startsWith(reset) ? sql.slice(reset.length) : sql;
  if (!local) return statement;
  return isQuery(statement)
    ? statement.replace(/false\)$/, 'true)')
    : statement.replace('SET ', 'SET LOCAL ');
}

/**
 * RESET of a setting that the session has made and no server need know: where no library has
 * declared it, it goes on as an empty text instead of not at all.
 */
export function resetOfCustom(name: string, { sql, value }: Setting): Setting {
  const reset = `RESET ${quoteSettingName(name)}`;
  return sql.endsWith(`; ${reset}`) ? { sql, value } : { sql: `${sql}; ${reset}`, value: '' };
}

/** Declared by no server, but by libraries and by whoever sets it (guc.c, "custom" settings). */
export const isCustom = (name: string) => name.includes('.');

const keyOf = (entries: readonly (readonly [string, Setting])[]) =>
  entries
    .map(([name, { sql }]) => `${name}\0${sql}`)
    .sort()
    .join('\0\0');

/** What the meaning of a text depends on when it is parsed: names, literals, operators. */
export const parsingSettings: ReadonlySet<string> = new Set([
  ...['search_path', 'role', 'session_authorization', 'client_encoding'],
  ...['standard_conforming_strings', 'backslash_quote', 'transform_null_equals'],
  ...['datestyle', 'intervalstyle', 'timezone', 'timezone_abbreviations', 'array_nulls'],
  ...['xmloption', 'lc_monetary', 'lc_numeric'],
]);

/** SET ROLE is a setting of this name (guc_tables.c), and RESET ALL leaves it alone. */
export const roleName = 'role';

const isolationName = 'default_transaction_isolation';

/**
 * The settings of a session or of a server connection that differ from the server's defaults.
 * Immutable: a session's SET makes a new one, so that a rollback only has to go back to the old.
 */
export class Settings {
  static readonly none = new Settings(new Map());

  /** Equal keys mean equal settings. */
  readonly key: string;
  /** What every request asks: answered once. SQL of SET ROLE; undefined: none was set. */
  readonly roleSql: string | undefined;
  /** default_transaction_read_only. */
  readonly isReadOnly: boolean;
  /** default_transaction_isolation. */
  readonly isSerializable: boolean;
  /** standard_conforming_strings is off: a backslash in a plain literal is an escape. */
  readonly hasBackslashEscapes: boolean;
  #parsingKey: string | null = null;
  readonly #entries: ReadonlyMap<string, Setting>;

  private constructor(entries: ReadonlyMap<string, Setting>) {
    this.#entries = entries;
    this.key = keyOf([...entries]);
    this.roleSql = entries.get(roleName)?.sql;
    this.isReadOnly = this.isOn('default_transaction_read_only');
    this.isSerializable = entries.get(isolationName)?.value === 'serializable';
    const conforming = 'standard_conforming_strings';
    this.hasBackslashEscapes = entries.has(conforming) && !this.isOn(conforming);
  }

  static of(entries: Iterable<readonly [string, Setting]>): Settings {
    const map = new Map(entries);
    return map.size === 0 ? Settings.none : new Settings(map);
  }

  /** Equal keys mean equal settings of those that parsing looks at. */
  get parsingKey(): string {
    this.#parsingKey ??= keyOf([...this.#entries].filter(([name]) => parsingSettings.has(name)));
    return this.#parsingKey;
  }

  get(name: string): Setting | undefined {
    return this.#entries.get(name);
  }

  get names(): Iterable<string> {
    return this.#entries.keys();
  }

  with(name: string, setting: Setting): Settings {
    if (this.#entries.get(name)?.sql === setting.sql) return this;
    return Settings.of([...this.#entries, [name, setting]]);
  }

  without(name: string): Settings {
    if (!this.#entries.has(name)) return this;
    return Settings.of([...this.#entries].filter(([other]) => other !== name));
  }

  /** True for `on` in any spelling that PostgreSQL takes (parse_bool). */
  isOn(name: string): boolean {
    return parseBool(this.get(name)?.value ?? '') === true;
  }

  equals(other: Settings | null): boolean {
    return other !== null && (this === other || this.key === other.key);
  }

  /**
   * The statements that bring a server connection from `from` (null: unknown) to these settings,
   * joined by semicolons; empty when there is nothing to do. The role comes last: other settings
   * may need the rights of the login role, to which it is reset first. `inTransaction`: not so
   * there, where a SET LOCAL ROLE of the client's may be in force that nobody else remembers.
   */
  differenceFrom(from: Settings | null, inTransaction = false): string {
    const statements: string[] = [];
    const had = from === null ? null : from.#entries;
    if (had === null) statements.push('RESET ROLE', 'RESET ALL');
    const role = this.#entries.get(roleName);
    const roleChanges = had?.get(roleName)?.sql !== role?.sql;
    const leavesRole = roleChanges || (!inTransaction && this.key !== from?.key);
    if (had?.has(roleName) && leavesRole) statements.push('RESET ROLE');
    for (const name of had?.keys() ?? []) {
      if (name !== roleName && !this.#entries.has(name)) {
        statements.push(`RESET ${quoteSettingName(name)}`);
      }
    }
    for (const [name, { sql }] of this.#entries) {
      if (name !== roleName && had?.get(name)?.sql !== sql) statements.push(sql);
    }
    const isBack = !inTransaction && statements.length > 0;
    if (role !== undefined && (roleChanges || isBack)) statements.push(role.sql);
    // As the server connection still has it, SERIALIZABLE may be the default, which no query takes
    // on a server in recovery.
    const mayBeSerializable = from === null || from.get(isolationName) !== undefined;
    if (!inTransaction && mayBeSerializable && statements.some(isQuery)) {
      statements.unshift(readCommitted);
    }
    return statements.join('; ');
  }
}

/** In front of a query of the proxy's own, where the default may be SERIALIZABLE. */
export const readCommitted = 'SET TRANSACTION ISOLATION LEVEL READ COMMITTED';

const isQuery = (sql: string) => sql.startsWith('SELECT ');
