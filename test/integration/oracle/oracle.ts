import pg from 'pg';
import type { Classifier } from '../../../src/router/classifier.ts';
import type { Classified } from '../../../src/router/statement.ts';
import { DatabaseCatalog } from '../../../src/session/database-catalog.ts';
import type { TestNode } from '../../support/cluster.ts';

/** What a statement did to the primary, in words; none for a read. */
export interface Deeds {
  readonly deeds: readonly string[];
  /** SQLSTATE, or null: it succeeded. */
  readonly error: string | null;
}

/** Locks of the session that a query does not take: it has AccessShareLock on what it reads. */
const locksSql = `
  SELECT DISTINCT locktype || ' ' || mode AS lock FROM pg_locks
  WHERE pid = $1 AND locktype <> 'virtualxid' AND mode NOT IN ('AccessShareLock', 'SIReadLock')`;

const sequencesSql = `
  SELECT string_agg(concat(c.oid, ' ', pg_sequence_last_value(c.oid)), ',' ORDER BY c.oid) AS state
  FROM pg_class c WHERE relkind = 'S' AND relpersistence <> 't'`;

const sessionSql = `
  SELECT md5(string_agg(name || setting, ',' ORDER BY name)) AS settings,
         (SELECT string_agg(name, ',' ORDER BY name) FROM pg_prepared_statements) AS statements,
         (SELECT string_agg(name, ',' ORDER BY name) FROM pg_cursors WHERE name <> '') AS cursors,
         (SELECT string_agg(c, ',' ORDER BY c) FROM pg_listening_channels() AS c) AS channels,
         pg_my_temp_schema()::text AS "temporary objects",
         (SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_xact_all_tables)::text AS rows
  FROM pg_settings WHERE name NOT LIKE 'transaction_%'`;

const walSql = `
  SELECT pg_current_wal_insert_lsn()::text AS lsn,
         pg_snapshot_xmax(pg_current_snapshot())::text AS xid`;

/** SQLSTATE of statements that no transaction block may hold. */
const activeTransaction = '25001';

type Session = Readonly<Record<string, string | null>>;

/** Two connections to a primary: statements run on one, the other watches. */
export class Oracle {
  readonly #subject: pg.Client;
  readonly #observer: pg.Client;
  #pid = 0;
  /** As in ReadyForQuery: I, T or E. */
  #status = 'I';

  constructor(url: string) {
    this.#subject = new pg.Client(url);
    this.#observer = new pg.Client(url);
    for (const client of [this.#subject, this.#observer]) client.on('error', () => {});
  }

  async start(): Promise<void> {
    await this.#observer.connect();
    await this.#observer.query("SET lock_timeout = '100ms'");
    await this.#subject.connect();
    await this.#subject.query("SET statement_timeout = '5s'");
    const { rows } = await this.#subject.query('SELECT pg_backend_pid() AS pid');
    this.#pid = rows[0].pid;
    const { connection } = this.#subject as unknown as { connection: NodeJS.EventEmitter };
    connection.on('readyForQuery', ({ status }) => {
      this.#status = status;
    });
  }

  async stop(): Promise<void> {
    await this.#subject.end();
    await this.#observer.end();
  }

  /** Runs it alone in a transaction that is inspected and rolled back. */
  async inTransaction(sql: string): Promise<Deeds> {
    await this.#subject.query('BEGIN');
    const deeds = await this.#during(sql);
    await this.#subject.query('ROLLBACK');
    // What outlives a rollback: locks, prepared statements, settings of the session.
    await this.#subject.query('DISCARD ALL');
    await this.#subject.query("SET statement_timeout = '5s'");
    return deeds;
  }

  get inTransactionBlock(): boolean {
    return this.#status !== 'I';
  }

  /** Runs it for good, as the next statement of a script; a transaction of the script's own stays open. */
  async inScript(sql: string): Promise<Deeds> {
    if (this.inTransactionBlock) return this.#during(sql);
    await this.#subject.query('BEGIN');
    const result = await this.#during(sql);
    if (result.error !== activeTransaction) {
      if (this.inTransactionBlock) await this.#subject.query('COMMIT');
      return result;
    }
    await this.#subject.query('ROLLBACK');
    return { deeds: [], error: await errorOf(this.#subject, sql) };
  }

  /** Runs it as it is, and says what it has changed in comparison with what was before it. */
  async #during(sql: string): Promise<Deeds> {
    const locksBefore = await this.#locks();
    const sequencesBefore = await this.#sequences();
    const sessionBefore = await this.#session();
    const error = await errorOf(this.#subject, sql);
    const deeds = (await this.#locks())
      .filter((lock) => !locksBefore.includes(lock))
      .map((lock) => `took ${lock}`);
    if ((await this.#sequences()) !== sequencesBefore) deeds.push('changed a sequence');
    const sessionAfter = error === null ? await this.#session() : null;
    if (sessionBefore !== null && sessionAfter !== null) {
      for (const [what, value] of Object.entries(sessionAfter)) {
        if (value !== sessionBefore[what]) deeds.push(`changed ${what}`);
      }
    }
    return { deeds, error };
  }

  /** Runs what should be a read without a transaction: what is done at commit shows only here. */
  async alone(sql: string): Promise<Deeds> {
    // Hint bits, pruning and the server's own records are written once, or by chance.
    const attempts = 3;
    let deeds: readonly string[] = [];
    let error: string | null = null;
    for (let attempt = 0; attempt < attempts; attempt++) {
      const before = await this.#one(walSql);
      const sessionBefore = await this.#session();
      error = await errorOf(this.#subject, sql);
      const sessionAfter = await this.#session();
      const after = await this.#one(walSql);
      const found: string[] = [];
      if (after.xid !== before.xid) found.push('used a transaction id');
      if (after.lsn !== before.lsn) found.push('wrote WAL');
      for (const what of ['settings', 'statements', 'cursors', 'channels', 'temporary objects']) {
        if (sessionAfter![what] !== sessionBefore![what]) found.push(`changed ${what}`);
      }
      deeds = found;
      if (found.length === 0) break;
    }
    return { deeds, error };
  }

  async #locks(): Promise<readonly string[]> {
    const { rows } = await this.#observer.query(locksSql, [this.#pid]);
    return rows.map(({ lock }) => lock);
  }

  /** Null: one of them is locked, which is a deed by itself. */
  async #sequences(): Promise<string | null> {
    try {
      return (await this.#one(sequencesSql)).state ?? '';
    } catch (error) {
      if (error instanceof pg.DatabaseError) return null;
      throw error;
    }
  }

  /** Null: the transaction has failed, and nothing of it will stay; or the session may not look. */
  async #session(): Promise<Session | null> {
    try {
      const { rows } = await this.#subject.query(sessionSql);
      return rows[0];
    } catch (error) {
      if (error instanceof pg.DatabaseError) return null;
      throw error;
    }
  }

  async #one(sql: string): Promise<Session> {
    const { rows } = await this.#observer.query(sql);
    return rows[0];
  }
}

/** SQLSTATE of what the statement fails with, or null. */
async function errorOf(client: pg.Client, sql: string): Promise<string | null> {
  try {
    await client.query(sql);
    return null;
  } catch (error) {
    if (error instanceof pg.DatabaseError) return error.code ?? 'unknown';
    throw error;
  }
}

export function classify(classifier: Classifier, sql: string): Classified {
  const text = Buffer.from(sql);
  return classifier.classify(text, 0, text.length);
}

/** It would go to a replica; SET, SHOW and their like go where the session needs them. */
export function isRead({ access, statements }: Classified): boolean {
  return access === 'read' && statements.some((statement) => statement.access === 'read');
}

/** What the proxy would know of the node's database. */
export async function loadedCatalog(
  node: TestNode,
  changed: () => void = () => {},
): Promise<DatabaseCatalog> {
  const catalog = new DatabaseCatalog({
    database: node.database,
    node: () => node,
    changed,
    failed: (message) => {
      throw new Error(message);
    },
    gone: () => {},
  });
  await catalog.reload();
  if (!catalog.loaded) throw new Error('the catalog could not be loaded');
  return catalog;
}
