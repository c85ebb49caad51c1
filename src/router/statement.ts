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
  | 'volatile-relation'
  | 'volatile-operator'
  | 'volatile-type'
  | 'sequence-function'
  | 'unlogged-relation'
  | 'foreign-relation'
  | 'unknown-function'
  | 'unknown-relation'
  | 'unknown-operator'
  | 'unknown-type'
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
export const pinReasons = [
  'temp-table',
  'listen',
  'advisory-lock',
  'hold-cursor',
  'sql-prepare',
  'load',
  'unknown-set',
  'session-function',
  'unparsed',
] as const;
export type PinReason = (typeof pinReasons)[number];

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
   * What keeps the session on its server connection may have gone, which only the server can tell:
   * DROP, CLOSE, an advisory lock released. After code that nobody has read, that of a `function` or
   * of a `block` (DO, CALL), it may also have come, and settings may have changed.
   */
  | { readonly kind: 'review'; readonly ran: 'function' | 'block' | null }
  /** `channel` null: UNLISTEN *. They take effect when the transaction commits. */
  | { readonly kind: 'listen' | 'unlisten'; readonly channel: string | null }
  | { readonly kind: 'notify' }
  /** PREPARE: `sql` is the whole statement, `inner` the class of what EXECUTE will run. */
  | {
      readonly kind: 'prepare';
      readonly name: string;
      readonly sql: string;
      readonly inner: StatementClass;
    }
  /** EXECUTE, also within another statement. `isRead`: a read, if the prepared statement is one. */
  | { readonly kind: 'execute'; readonly name: string; readonly isRead: boolean }
  /** It needs a database that nobody is connected to: as template, to be dropped or renamed. */
  | { readonly kind: 'vacate'; readonly database: string }
  /** New connections begin with other settings: ALTER ROLE or DATABASE ... SET. */
  | { readonly kind: 'change-defaults' }
  /** set_config of this setting to a value, or for a time, that only the server knows. */
  | { readonly kind: 'set-unknown'; readonly name: string }
  /** It asks what the session listens to. */
  | { readonly kind: 'list-channels' }
  /** It shows what the session has prepared: pg_prepared_statements. */
  | { readonly kind: 'list-statements' }
  /** It asks what the session has taken from sequences: currval(), lastval(). */
  | { readonly kind: 'sequence-state' }
  /** SELECT pg_backend_pid(): the client knows itself by the number in its cancel key. */
  | { readonly kind: 'backend-pid'; readonly column: string }
  /**
   * SELECT of pg_cancel_backend or pg_terminate_backend: `pid`, or the parameter of that number.
   * `own`: of pg_backend_pid().
   */
  | {
      readonly kind: 'signal';
      readonly action: 'cancel' | 'terminate';
      readonly pid: number | 'own' | null;
      readonly parameter: number | null;
      readonly column: string;
    }
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
  /** A READ ONLY transaction that begins with it runs on the primary even so. */
  readonly prefersPrimary: boolean;
  /**
   * A client that asks for a replica gets one: reads, what only may write, and what tells servers
   * apart. False for what certainly needs the primary or would tie the session to a replica.
   */
  readonly forcible: boolean;
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
  /** All of its statements are. */
  readonly forcible: boolean;
  /** It goes to the primary because a name in it is in no catalog that was read so far. */
  readonly namesUnknown: boolean;
  readonly hint: Hint | null;
  /** The key in the classifier's cache: equal for statements that differ in literals only. */
  readonly key: string;
}

export type Volatility = 'immutable' | 'stable' | 'volatile';

/** What reading a relation comes to; of several relations of one name the last of these counts. */
export const relationTraits = [
  'plain',
  /** State of one server: sequences, views over functions that tell servers apart. */
  'server-fact',
  /** Foreign tables: outside what replicas are proven to show. */
  'foreign',
  /** It runs volatile code: a view, a row security policy, a column of such a type. */
  'volatile',
  /** Unlogged: empty on a replica, which refuses to read it. */
  'unlogged',
  /** It certainly writes or locks: a view with FOR UPDATE, or over nextval(). */
  'writing',
] as const;
export type RelationTrait = (typeof relationTraits)[number];

/**
 * What the classifier needs to know of the database it classifies for. Names are as PostgreSQL
 * stores them (folded). Of all candidates of a name the most cautious counts, in any schema when
 * `schema` is null; null: there is none.
 */
export interface Catalog {
  /** False until the first load: names outside the router's own tables are then not known. */
  readonly loaded: boolean;
  /** Whatever their arguments; volatile functions that are as good on a replica count as stable. */
  volatility(schema: string | null, name: string): Volatility | null;
  relation(schema: string | null, name: string): RelationTrait | null;
  /** Whether making or reading a value of it, or a cast or common operator of it, may do anything. */
  type(schema: string | null, name: string): 'plain' | 'volatile' | null;
  operator(schema: string | null, name: string): 'plain' | 'volatile' | null;
  /** There is a volatile function of rows by that name: `t.f` may mean f(t). */
  isColumnFunction(name: string): boolean;
  /** A statement of which the class is used names what is not in the catalog: it may be out of date. */
  missed(): void;
  /** A setting (in lower case) that no session can change: it says something of one server. */
  isServerSetting(name: string): boolean;
}
