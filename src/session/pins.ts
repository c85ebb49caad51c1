import type { TextRow } from '../pool/ask.ts';
import { quoteLiteral } from '../quote.ts';
import type { PinReason } from '../router/statement.ts';

/** What DISCARD ALL takes away; libraries and connections that functions opened stay. */
const discardable: readonly PinReason[] = [
  'temp-table',
  'listen',
  'advisory-lock',
  'hold-cursor',
  'sql-prepare',
  'unknown-set',
];

/** What a server can be asked about, in the order of the columns of `question`. */
const askable = [
  'temp-table',
  'advisory-lock',
  'hold-cursor',
  'listen',
  'sql-prepare',
] as const satisfies readonly PinReason[];

/**
 * Why a session keeps its server connection between transactions. Reasons are added by what
 * statements say; that they are gone (a lock was unlocked as often as it was taken, the last
 * temporary table was dropped, by whatever statement or function) only the server can tell: it is
 * asked after statements that may have changed it.
 */
export class Pins {
  readonly #reasons = new Set<PinReason>();
  #areDoubtful = false;
  /** Settings that a statement has given a value which only the server knows. */
  readonly #unknownSettings = new Set<string>();

  get size(): number {
    return this.#reasons.size;
  }

  get reasons(): readonly PinReason[] {
    return [...this.#reasons];
  }

  has(reason: PinReason): boolean {
    return this.#reasons.has(reason);
  }

  add(reason: PinReason): void {
    this.#reasons.add(reason);
  }

  /** The server is to be asked what it holds. */
  get areDoubtful(): boolean {
    return this.#areDoubtful;
  }

  /** A statement may have taken a reason away. */
  mayHaveGone(): void {
    if (this.#reasons.size > 0) this.#areDoubtful = true;
  }

  /** A statement may have left something on the server connection. */
  mayHaveCome(): void {
    this.#areDoubtful = true;
  }

  /** This setting was given a value that only the server knows. */
  addUnknownSetting(name: string): void {
    this.#unknownSettings.add(name);
    this.#areDoubtful = true;
  }

  /** The server connection is gone, and everything with it. */
  clear(): void {
    this.#reasons.clear();
    this.#areDoubtful = false;
  }

  /** DISCARD ALL completed. */
  discard(): void {
    this.#unknownSettings.clear();
    for (const reason of discardable) this.#reasons.delete(reason);
  }

  /**
   * What to ask; the answer goes to `settle`. No reasons: SQL PREPARE names that are `known`, and
   * LISTEN of channels that are `shared`.
   */
  question(known: Iterable<string>, shared: Iterable<string>): string {
    this.#areDoubtful = false;
    const values = [...this.#unknownSettings].map(
      (name) => `, pg_catalog.current_setting(${quoteLiteral(name)}, true)`,
    );
    return question(known, shared) + values.join('');
  }

  /**
   * The answer to the question; null: there was none, so nothing is known to be gone. Returns the
   * values of the settings that were not known.
   */
  settle(rows: readonly TextRow[] | null): ReadonlyMap<string, string | null> {
    const row = rows?.[0];
    const values = new Map<string, string | null>();
    if (row === undefined) {
      this.#areDoubtful = this.#reasons.size > 0 || this.#unknownSettings.size > 0;
      return values;
    }
    for (const [index, reason] of askable.entries()) {
      if (row[index] === 't') this.#reasons.add(reason);
      else this.#reasons.delete(reason);
    }
    for (const [index, name] of [...this.#unknownSettings].entries()) {
      if (askable.length + index >= row.length) break;
      values.set(name, row[askable.length + index] ?? null);
      this.#unknownSettings.delete(name);
    }
    return values;
  }
}

/** Operators and functions by their full names: the session's search_path may hold others. */
function question(known: Iterable<string>, shared: Iterable<string>): string {
  const mine = 'OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()';
  return `SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace ${mine})
      OR EXISTS (SELECT FROM pg_catalog.pg_type WHERE typnamespace ${mine})
      OR EXISTS (SELECT FROM pg_catalog.pg_proc WHERE pronamespace ${mine}),
    EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'advisory'
      AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()),
    EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable),
    EXISTS (SELECT FROM pg_catalog.pg_listening_channels() AS channel
      WHERE ${isNoneOf('channel', shared, 'text')}),
    EXISTS (SELECT FROM pg_catalog.pg_prepared_statements
      WHERE from_sql AND ${isNoneOf('name', known, 'name')})`;
}

function isNoneOf(column: string, values: Iterable<string>, type: string): string {
  const all = [...values].map((value) => `${quoteLiteral(value)}::${type}`);
  if (all.length === 0) return 'true';
  return `NOT ${column} OPERATOR(pg_catalog.=) ANY (ARRAY[${all.join(', ')}])`;
}
