import pg from 'pg';
import type { NodeConfig } from '../config.ts';
import type { FunctionCatalog } from '../router/statement.ts';

type Volatility = 'immutable' | 'stable' | 'volatile';

/** Functions may be changed by connections that bypass the proxy. */
const reloadEveryMs = 60_000;
/** A burst of DDL is followed by one reload. */
const reloadDelayMs = 20;
/** SQLSTATE of a database that does not exist. */
const invalidCatalogName = '3D000';
const connectTimeoutMs = 5_000;
const queryTimeoutMs = 30_000;

const ranks: readonly Volatility[] = ['immutable', 'stable', 'volatile'];

/** The most volatile of all overloads: which one a call means depends on types and search_path. */
const functionsSql = `
  SELECT n.nspname, p.proname,
         max(CASE p.provolatile WHEN 'i' THEN 0 WHEN 's' THEN 1 ELSE 2 END)
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  GROUP BY n.nspname, p.proname
  ORDER BY n.nspname, p.proname`;

export interface DatabaseCatalogOptions {
  readonly database: string;
  /** The node to ask, or null while there is no primary. */
  readonly primary: () => NodeConfig | null;
  /** What is known has changed. */
  readonly changed: () => void;
  readonly failed: (message: string) => void;
  /** The database does not exist (any more): nothing is loaded again. */
  readonly gone: () => void;
}

/** What the primary's pg_proc says of one database, loaded on a connection of its own. */
export class DatabaseCatalog implements FunctionCatalog {
  readonly #options: DatabaseCatalogOptions;
  #bySchema = new Map<string, Map<string, Volatility>>();
  #anywhere = new Map<string, Volatility>();
  #fingerprint = '';
  #loaded = false;
  #loading: Promise<void> | null = null;
  /** Asked for while a load ran, which may have read the state before. */
  #again = false;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: DatabaseCatalogOptions) {
    this.#options = options;
  }

  get loaded(): boolean {
    return this.#loaded;
  }

  volatility(schema: string | null, name: string): Volatility | null {
    const found =
      schema === null ? this.#anywhere.get(name) : this.#bySchema.get(schema)?.get(name);
    return found ?? null;
  }

  /** Loads soon. The promise settles with the load that is then under way; it never rejects. */
  reload(): Promise<void> {
    if (this.#loading !== null) {
      this.#again = true;
      return this.#loading;
    }
    this.#schedule(null);
    this.#loading = this.#load().finally(() => {
      this.#loading = null;
      const again = this.#again;
      this.#again = false;
      this.#schedule(again ? reloadDelayMs : reloadEveryMs);
    });
    return this.#loading;
  }

  close(): void {
    this.#closed = true;
    this.#schedule(null);
  }

  #schedule(delayMs: number | null): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (delayMs === null || this.#closed) return;
    this.#timer = setTimeout(() => void this.reload(), delayMs);
    this.#timer.unref();
  }

  async #load(): Promise<void> {
    const node = this.#options.primary();
    if (node === null) return;
    const client = new pg.Client({
      host: node.host,
      port: node.port,
      user: node.user,
      password: node.password,
      database: this.#options.database,
      application_name: 'tidemark catalog',
      connectionTimeoutMillis: connectTimeoutMs,
      query_timeout: queryTimeoutMs,
    });
    client.on('error', () => {});
    try {
      await client.connect();
      const { rows } = await client.query<[string, string, number]>({
        text: functionsSql,
        rowMode: 'array',
      });
      this.#take(rows);
    } catch (error) {
      if (error instanceof pg.DatabaseError && error.code === invalidCatalogName) {
        this.close();
        this.#options.gone();
        return;
      }
      this.#options.failed(error instanceof Error ? error.message : String(error));
    } finally {
      await client.end().catch(() => {});
    }
  }

  #take(rows: readonly (readonly [string, string, number])[]): void {
    const fingerprint = rows.join('\n');
    if (this.#loaded && fingerprint === this.#fingerprint) return;
    const bySchema = new Map<string, Map<string, Volatility>>();
    const anywhere = new Map<string, Volatility>();
    for (const [schema, name, rank] of rows) {
      const volatility = ranks[rank] ?? 'volatile';
      let functions = bySchema.get(schema);
      if (functions === undefined) {
        functions = new Map();
        bySchema.set(schema, functions);
      }
      functions.set(name, volatility);
      const known = anywhere.get(name);
      if (known === undefined || ranks.indexOf(known) < rank) anywhere.set(name, volatility);
    }
    this.#fingerprint = fingerprint;
    this.#bySchema = bySchema;
    this.#anywhere = anywhere;
    this.#loaded = true;
    this.#options.changed();
  }
}
