import type pg from 'pg';

/** What every script begins with. */
export const startOver = `
  SET client_min_messages = error;
  RESET ROLE;
  DROP SCHEMA IF EXISTS public, other CASCADE;
  CREATE SCHEMA public;
  GRANT ALL ON SCHEMA public TO reader;
  CREATE TABLE t (id int PRIMARY KEY, v text);
  INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, NULL);
  GRANT SELECT ON t TO reader;
  CREATE TABLE u (
    id serial PRIMARY KEY,
    n int CHECK (n < 100),
    t_id int REFERENCES t DEFERRABLE INITIALLY DEFERRED
  );
  INSERT INTO u (n, t_id) VALUES (10, 1), (20, 2), (30, NULL);
  CREATE SEQUENCE sq;
  CREATE VIEW tv AS SELECT id, upper(v) AS v FROM t;
  CREATE FUNCTION stable_count() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM t';
  CREATE FUNCTION boom(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'boom %', n USING errcode = 'TM001', detail = 'a detail', hint = 'a hint';
  END $$;
  CREATE FUNCTION note(what text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
    RAISE NOTICE 'noted %', what; RETURN what;
  END $$;
  CREATE FUNCTION add_t(n int) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO t VALUES (n, 'added'); RETURN (SELECT count(*) FROM t);
  END $$;
  CREATE PROCEDURE p_commit(n int) LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO t VALUES (n, 'p'); COMMIT; INSERT INTO t VALUES (n + 1, 'p');
  END $$;
  CREATE PROCEDURE p_fail(n int) LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO t VALUES (n, 'p'); COMMIT; INSERT INTO t VALUES (n + 1, 'p'); PERFORM 1 / 0;
  END $$;
  CREATE PROCEDURE p_rollback(n int) LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO t VALUES (n, 'p'); ROLLBACK; INSERT INTO t VALUES (n + 1, 'p');
  END $$;
  CREATE PROCEDURE p_out(INOUT n int) LANGUAGE plpgsql AS $$ BEGIN n := n + 1; END $$`;

/** The same where a script has changed nothing but rows. */
export const refill = `
  TRUNCATE t, u;
  INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, NULL);
  ALTER SEQUENCE sq RESTART;
  ALTER SEQUENCE u_id_seq RESTART;
  INSERT INTO u (n, t_id) VALUES (10, 1), (20, 2), (30, NULL)`;

/** Everything in the schemas of scripts that is not rows, as one text. */
const structure = `
  SELECT concat_ws(' | ',
    (SELECT string_agg(concat_ws(' ', nspname, relname, relkind, relpersistence, relacl::text,
        (SELECT string_agg(concat_ws(' ', attname, atttypid::regtype, atttypmod, attnotnull,
                             pg_get_expr(adbin, adrelid)), ', ' ORDER BY attnum)
         FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
         WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),
        CASE WHEN relkind = 'v' THEN pg_get_viewdef(c.oid) END), '; ' ORDER BY 1)
     FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
     WHERE nspname IN ('public', 'other')),
    (SELECT string_agg(proname || ' ' || md5(prosrc), '; ' ORDER BY 1)
     FROM pg_proc WHERE pronamespace = to_regnamespace('public')),
    (SELECT string_agg(typname, '; ' ORDER BY 1)
     FROM pg_type WHERE typnamespace = to_regnamespace('public')),
    (SELECT string_agg(conname, '; ' ORDER BY 1)
     FROM pg_constraint WHERE connamespace = to_regnamespace('public')),
    to_regnamespace('other')) AS text`;

/**
 * Client backends of the database that still do something, beside the one that asks, and locks
 * that end with their session.
 */
const busy = `
  SELECT (SELECT count(*) FROM pg_stat_activity
          WHERE datname = current_database() AND backend_type = 'client backend'
            AND pid <> pg_backend_pid() AND state <> 'idle')::int
       + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid IS NOT NULL
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))::int
    AS busy`;

const relations = `
  SELECT c.relname AS name, c.relkind::text AS kind, n.nspname AS schema,
    (SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
     FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS columns
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname IN ('public', 'other') AND c.relkind IN ('r', 'v', 'S')
  ORDER BY 3, 1`;

const held = `
  SELECT array(SELECT gid FROM pg_prepared_xacts WHERE database = current_database()) AS gids,
    array(SELECT 'advisory lock ' || objid || ' ' || mode FROM pg_locks
          WHERE locktype = 'advisory'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          ORDER BY 1) AS locks`;

/** Where all tables are there. */
const rowsOfAll = `
  SELECT (SELECT json_agg(t ORDER BY id) FROM t)::text AS t,
    (SELECT json_agg(u ORDER BY id) FROM u)::text AS u,
    (SELECT (last_value, is_called)::text FROM sq) AS sq,
    (SELECT (last_value, is_called)::text FROM u_id_seq) AS u_id_seq`;

/** Waits until nothing runs or stands open in the database any more. */
export async function waitUntilIdle(client: pg.Client, limitMs: number): Promise<boolean> {
  const endMs = performance.now() + limitMs;
  while (performance.now() < endMs) {
    const { rows } = await client.query(busy);
    if (rows[0].busy === 0) return true;
  }
  return false;
}

/** What a database holds when a script has ended. */
export interface Holdings {
  /** Everything in the schemas of scripts that is not rows. */
  readonly structure: string;
  /** All of it, as lines to be compared. */
  readonly lines: readonly string[];
}

/**
 * All that a script can leave behind. Transactions that it has prepared are ended. `made`: the
 * structure that needs no closer look.
 */
export async function holdingsOf(client: pg.Client, made: string | null): Promise<Holdings> {
  const [{ gids, locks }] = (await client.query(held)).rows;
  for (const gid of gids) await client.query(`ROLLBACK PREPARED '${gid}'`);
  const ended = gids.map((gid: string) => `prepared transaction ${gid.replace(/_.*/, '')}`);
  const { text } = (await client.query(structure)).rows[0];
  const rows = made === null || text === made ? await rowsOf(client) : await rowsOfAny(client);
  return { structure: text, lines: [...ended.toSorted(), ...locks, ...rows] };
}

async function rowsOf(client: pg.Client): Promise<string[]> {
  const [row] = (await client.query(rowsOfAll)).rows;
  return Object.entries(row).map(([name, rows]) => `${name} ${rows}`);
}

async function rowsOfAny(client: pg.Client): Promise<string[]> {
  const lines: string[] = [];
  for (const { schema, name, kind, columns } of (await client.query(relations)).rows) {
    lines.push(`${schema}.${name} ${kind} ${columns}`);
    if (kind === 'v') continue;
    const columnsShown = kind === 'S' ? 'last_value, is_called' : '*';
    const from = `"${schema}"."${name}"`;
    const order = kind === 'S' ? '' : 'ORDER BY r::text';
    const { rows } = await client.query(`SELECT ${columnsShown} FROM ${from} r ${order}`);
    for (const row of rows) lines.push(`  ${JSON.stringify(row)}`);
  }
  return lines;
}
