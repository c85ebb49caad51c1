/**
 * The vocabulary of the router: what a statement is, why, and what completing it does to the
 * session. Pure data; docs/classification.md has an example of every value.
 */

/** Why a statement is not a read. Stable kebab-case words: they are label values in the metrics. */
export type WriteReason =
  | 'write'
  | 'ddl'
  | 'locking-clause'
  | 'select-into'
  | 'writing-cte'
  | 'volatile-function'
  | 'unknown-function'
  | 'primary-only-function'
  | 'primary-only-relation'
  | 'primary-only-setting'
  | 'explain-analyze'
  | 'copy-in'
  | 'copy-server-file'
  | 'transaction-control'
  | 'session-setting'
  | 'session-object'
  | 'cursor'
  | 'call-or-do'
  | 'lock-table'
  | 'notification'
  | 'maintenance'
  | 'administration'
  | 'unparsable'
  | 'too-long'
  | 'catalog-not-loaded'
  | 'learned-write';

/** Why a session must keep its server connection beyond the transaction. */
export type PinReason =
  | 'temp-table'
  | 'listen'
  | 'advisory-lock'
  | 'hold-cursor'
  | 'sql-prepare'
  | 'load'
  | 'unknown-set'
  | 'session-function'
  | 'unparsed';

/** What completing a statement does to the session or to its transaction. */
export type Effect =
  /** `name` in lower case; `value` is SQL text that may stand after `SET name TO `, safely quoted. */
  | { readonly kind: 'set'; readonly name: string; readonly value: string; readonly local: boolean }
  /** `local`: SET LOCAL name TO DEFAULT, which ends with the transaction. */
  | { readonly kind: 'reset'; readonly name: string; readonly local: boolean }
  | { readonly kind: 'reset-all' }
  | ({ readonly kind: 'begin' } & TransactionModes)
  | { readonly kind: 'commit'; readonly chain: boolean }
  | { readonly kind: 'rollback'; readonly chain: boolean }
  | { readonly kind: 'prepare-transaction' }
  | { readonly kind: 'savepoint' | 'release' | 'rollback-to'; readonly name: string }
  | ({ readonly kind: 'set-transaction' } & TransactionModes)
  | { readonly kind: 'discard'; readonly what: 'all' | 'plans' | 'sequences' | 'temp' }
  /** `name` null: DEALLOCATE ALL. */
  | { readonly kind: 'deallocate'; readonly name: string | null }
  | { readonly kind: 'pin'; readonly reason: PinReason }
  /**
   * Only where nothing of that kind can be left: UNLISTEN *, CLOSE ALL, pg_advisory_unlock_all().
   * UNLISTEN takes effect when its transaction commits; the others at once.
   */
  | { readonly kind: 'unpin'; readonly reason: PinReason }
  /** SHOW of a tidemark.* name (lower case): the proxy answers it itself. */
  | { readonly kind: 'show'; readonly name: string }
  | { readonly kind: 'several'; readonly effects: readonly Effect[] };

/** null: the statement does not say. `isolation` is in lower case words, e.g. 'repeatable read'. */
export interface TransactionModes {
  readonly readOnly: boolean | null;
  readonly isolation: string | null;
  readonly deferrable: boolean | null;
}

/** One statement of a query string. */
export interface StatementClass {
  /**
   * `read`: a replica that is fresh enough may answer it. `session`: SET, BEGIN and the like, which
   * run on whichever server the session needs. `write`: everything else, and everything doubtful.
   */
  readonly access: 'read' | 'write' | 'session';
  /** null exactly for reads. */
  readonly reason: WriteReason | null;
  readonly effect: Effect | null;
  /** The catalog of functions may differ afterwards and must be loaded again. */
  readonly ddl: boolean;
  /** For logs, e.g. 'SELECT'. */
  readonly tag: string;
  /**
   * Inside a READ ONLY transaction that already runs on a replica: true when the replica answers as
   * the primary would, which includes writes that a READ ONLY transaction refuses on either with the
   * same 25006. False for what a READ ONLY transaction may do on the primary only.
   */
  readonly replicaSafeInTransaction: boolean;
}

/** What comments of the form `tidemark: ...` ask for. */
export interface Hint {
  readonly target: 'primary' | 'replica' | null;
  /** `name=value` words, names in lower case, e.g. consistency -> strong. */
  readonly settings: ReadonlyMap<string, string>;
  /** Words that are neither: the session can warn about them, they change nothing. */
  readonly unknown: readonly string[];
}

/** One query string: the body of a Query or a Parse message. */
export interface Classified {
  /** The strictest of its statements; a string of `read` and `session` statements is a `read`. */
  readonly access: 'read' | 'write';
  /** Of the first statement that is a write, else of the first that is not a read, else null. */
  readonly reason: WriteReason | null;
  /** In order; [] for an empty string. One element for a text that was not parsed. */
  readonly statements: readonly StatementClass[];
  /** Some statement has an effect. */
  readonly hasEffects: boolean;
  readonly hint: Hint | null;
  /** The key in the classifier's cache: equal for statements that differ in literals only. */
  readonly key: string;
}

/** What the classifier needs to know about pg_proc of the database it classifies for. */
export interface FunctionCatalog {
  /** False until the first load: functions outside the router's own tables are then not known. */
  readonly loaded: boolean;
  /**
   * The most volatile of all candidates of that name, whatever their arguments; in any schema when
   * `schema` is null. null: no such function. Names are as PostgreSQL stores them (folded).
   */
  volatility(schema: string | null, name: string): 'immutable' | 'stable' | 'volatile' | null;
}
