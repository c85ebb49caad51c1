import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import type { NodeConfig } from '../config.ts';
import { CatalogAnalysis } from '../router/catalog-analysis.ts';
import {
  type CatalogRows,
  type ColumnRow,
  firstUserOid,
  type TreeRow,
} from '../router/catalog-rows.ts';
import type { KnownCatalog } from '../router/known-catalog.ts';
import type { Catalog, RelationTrait, Volatility } from '../router/statement.ts';
import { catalogParts, catalogSql, columnsSql, fingerprintSql } from './catalog-queries.ts';

/** The catalog may be changed by connections that bypass the proxy. */
const reloadEveryMs = 60_000;
/** A burst of DDL is followed by one reload. */
const reloadDelayMs = 20;
/** A name that is not known makes the catalog be looked at, and longer and longer not again. */
const missPauseMinMs = 250;
/** SQLSTATE of a database that does not exist. */
const invalidCatalogName = '3D000';
const connectTimeoutMs = 5_000;
const queryTimeoutMs = 30_000;

export interface DatabaseCatalogOptions {
  readonly database: string;
  /** The node to ask, or null while there is none; while nothing is known yet, a replica will do. */
  readonly node: (isLoaded: boolean) => NodeConfig | null;
  /** What is known has changed. */
  readonly changed: () => void;
  readonly failed: (message: string) => void;
  /** The database does not exist (any more): nothing is loaded again. */
  readonly gone: () => void;
}

/** What the primary's catalog says of one database, loaded on a connection of its own. */
export class DatabaseCatalog implements Catalog {
  readonly #options: DatabaseCatalogOptions;
  #known: KnownCatalog | null = null;
  /** Of what is known. */
  #fingerprint = '';
  /** PostgreSQL's own views, which do not change. */
  #ownTrees: readonly TreeRow[] = [];
  #loading: Promise<void> | null = null;
  /** Asked for while a load ran, which may have read the state before. */
  #next: Promise<void> | null = null;
  #lastLoadMs = Number.NEGATIVE_INFINITY;
  /** For how long after a load a missing name is taken to be missing. */
  #missPauseMs = missPauseMinMs;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: DatabaseCatalogOptions) {
    this.#options = options;
  }

  get loaded(): boolean {
    return this.#known !== null;
  }

  volatility(schema: string | null, name: string): Volatility | null {
    return this.#known?.volatility(schema, name) ?? null;
  }

  relation(schema: string | null, name: string): RelationTrait | null {
    return this.#known?.relation(schema, name) ?? null;
  }

  type(schema: string | null, name: string): 'plain' | 'volatile' | null {
    return this.#known?.type(schema, name) ?? null;
  }

  operator(schema: string | null, name: string): 'plain' | 'volatile' | null {
    return this.#known?.operator(schema, name) ?? null;
  }

  isColumnFunction(name: string): boolean {
    return this.#known?.isColumnFunction(name) ?? false;
  }

  isServerSetting(name: string): boolean {
    return this.#known?.isServerSetting(name) ?? false;
  }

  /** Looks again, unless the last looks were in vain: temporary relations are missed all the time. */
  missed(): void {
    if (this.#loading !== null || this.#next !== null) return;
    if (performance.now() - this.#lastLoadMs < this.#missPauseMs) return;
    this.#missPauseMs = Math.min(this.#missPauseMs * 2, reloadEveryMs);
    void this.reload();
  }

  /** The promise settles with a load that has begun no earlier than now; it never rejects. */
  reload(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    if (this.#loading === null) return this.#start();
    this.#next ??= this.#loading
      .then(() => pause(reloadDelayMs, undefined, { ref: false }))
      .then(() => {
        this.#next = null;
        return this.reload();
      });
    return this.#next;
  }

  #start(): Promise<void> {
    this.#schedule(null);
    this.#loading = this.#load().finally(() => {
      this.#loading = null;
      this.#lastLoadMs = performance.now();
      if (this.#next === null) this.#schedule(reloadEveryMs);
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
    const node = this.#options.node(this.loaded);
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
      await this.#read(client);
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

  async #read(client: pg.Client): Promise<void> {
    const [row] = await rowsOf<[string]>(client, fingerprintSql);
    const fingerprint = row![0];
    if (this.loaded && fingerprint === this.#fingerprint) return;
    const rows = await this.#readRows(client);
    const analysis = new CatalogAnalysis(rows);
    for (;;) {
      const types = analysis.takeVolatileTypes();
      if (types.length === 0) break;
      analysis.addColumns(await rowsOf<ColumnRow>(client, columnsSql, [types]));
    }
    this.#fingerprint = fingerprint;
    this.#known = analysis.catalog;
    this.#missPauseMs = missPauseMinMs;
    this.#options.changed();
  }

  async #readRows(client: pg.Client): Promise<CatalogRows> {
    const isFirst = this.#ownTrees.length === 0;
    const text = catalogSql(isFirst ? 0 : firstUserOid);
    // node-postgres gives the results of several statements as an array.
    const query: unknown = await client.query({ text, rowMode: 'array' });
    const results = query as readonly pg.QueryArrayResult[];
    const parts = new Map<string | null, readonly unknown[]>();
    for (const [index, name] of catalogParts.entries()) parts.set(name, results[index]!.rows);
    const rows = Object.fromEntries(parts) as unknown as CatalogRows;
    if (isFirst) this.#ownTrees = rows.trees.filter(([owner]) => owner < firstUserOid);
    return isFirst ? rows : { ...rows, trees: [...this.#ownTrees, ...rows.trees] };
  }
}

async function rowsOf<Row extends readonly unknown[]>(
  client: pg.Client,
  text: string,
  values: readonly unknown[] = [],
): Promise<readonly Row[]> {
  const { rows } = await client.query({ text, values: [...values], rowMode: 'array' });
  return rows as unknown as readonly Row[];
}
