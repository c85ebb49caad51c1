import type pg from 'pg';

/** Everything is in a schema of its own, which nothing else uses. */
export const schema = 'tidemark_bench';
/** One row per pgbench client, for reads of own writes. */
export const sessionsTable = `${schema}.sessions`;

/** Sleeps for so many seconds. Called stable, for a splitter to take it for a read. */
export const pauseFunction = `${schema}.pause`;

const accountsPerScale = 100_000;
const tellersPerScale = 10;
const sessionRowsMax = 10_000;

export interface OwnWrites {
  readonly ownReads: number;
  readonly staleReads: number;
}

/** What runs the statements. */
interface SqlClient {
  query(sql: string): Promise<unknown>;
}

/** The tables of pgbench (its -i cannot be told a schema through a pooler), and one of the bench's. */
export async function createTables(client: SqlClient, scale: number): Promise<void> {
  const statements = [
    `CREATE SCHEMA ${schema}`,
    `CREATE TABLE ${schema}.pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88)) WITH (fillfactor = 100)`,
    `CREATE TABLE ${schema}.pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84)) WITH (fillfactor = 100)`,
    `CREATE TABLE ${schema}.pgbench_accounts (aid int, bid int, abalance int, filler char(84)) WITH (fillfactor = 100)`,
    `CREATE TABLE ${schema}.pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))`,
    // Room on each page, so that updates need no new index entries.
    `CREATE TABLE ${sessionsTable} (id int PRIMARY KEY, version int NOT NULL, own_reads int NOT NULL, stale_reads int NOT NULL) WITH (fillfactor = 10)`,
    `CREATE FUNCTION ${pauseFunction}(seconds float8) RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN PERFORM pg_sleep(seconds); RETURN 1; END'`,
    `INSERT INTO ${schema}.pgbench_branches SELECT bid, 0 FROM generate_series(1, ${scale}) bid`,
    `INSERT INTO ${schema}.pgbench_tellers SELECT tid, (tid - 1) / ${tellersPerScale} + 1, 0 FROM generate_series(1, ${scale * tellersPerScale}) tid`,
    `INSERT INTO ${schema}.pgbench_accounts SELECT aid, (aid - 1) / ${accountsPerScale} + 1, 0, '' FROM generate_series(1, ${scale * accountsPerScale}) aid`,
    `ALTER TABLE ${schema}.pgbench_accounts ADD PRIMARY KEY (aid)`,
    `INSERT INTO ${sessionsTable} SELECT id, 0, 0, 0 FROM generate_series(0, ${sessionRowsMax - 1}) id`,
    ...['branches', 'tellers', 'accounts', 'history'].map(
      (table) => `VACUUM ANALYZE ${schema}.pgbench_${table}`,
    ),
    `VACUUM ANALYZE ${sessionsTable}`,
  ];
  for (const statement of statements) await client.query(statement);
}

export async function dropTables(client: pg.Client): Promise<void> {
  await client.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
}

/** @returns the scale of the tables, or null when there are none */
export async function findScale(client: pg.Client): Promise<number | null> {
  const { rows } = await client.query<{ there: boolean }>(
    `SELECT to_regclass('${sessionsTable}') IS NOT NULL AS there`,
  );
  if (rows[0]?.there !== true) return null;
  const counted = await client.query<{ scale: number }>(
    `SELECT count(*)::int AS scale FROM ${schema}.pgbench_branches`,
  );
  return counted.rows[0]?.scale ?? null;
}

/** Before each turn: what earlier ones left must not be taken for its own. */
export async function resetSessions(client: pg.Client): Promise<void> {
  await client.query(
    `UPDATE ${sessionsTable} SET version = 0, own_reads = 0, stale_reads = 0
     WHERE (version, own_reads, stale_reads) <> (0, 0, 0)`,
  );
}

/** What the clients have told with their last writes. */
export async function readOwnWrites(client: pg.Client): Promise<OwnWrites> {
  const { rows } = await client.query<OwnWrites>(
    `SELECT sum(own_reads)::int AS "ownReads", sum(stale_reads)::int AS "staleReads" FROM ${sessionsTable}`,
  );
  return rows[0]!;
}
