import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { eventually, startTestProxy, type TestProxy } from '../support/proxy.ts';

let cluster: TestCluster;
let proxy: TestProxy;

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 2 });
  // Fewer server connections than clients, and fewer statements than they prepare.
  proxy = await startTestProxy(cluster, { pool: { size: 2, statementsMax: 3 } });
  await cluster.primary.query(`CREATE TYPE mood AS ENUM ('sad', 'glad');
    CREATE TABLE items (id int PRIMARY KEY, name text);
    INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, 1000) i;
    CREATE TABLE copied (id int, text text)`);
  await cluster.waitForCatchup();
});

afterAll(async () => {
  await proxy?.stop();
  await cluster?.stop();
});

const runsOnce = (marker: string) =>
  eventually(async () => {
    const like = `SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '${marker}%'`;
    return (await Promise.all(cluster.nodes.map((node) => node.query(like)))).flat().length === 1;
  }, `${marker} runs`);

describe('node-postgres', () => {
  test('reads by a cursor, outside a transaction and in one', async () => {
    const clients = await Promise.all([proxy.client(), proxy.client(), proxy.client()]);
    await Promise.all(
      clients.map(async (client, who) => {
        if (who > 0) await client.query(who === 1 ? 'BEGIN' : 'BEGIN READ ONLY');
        const cursor = client.query(new Cursor('SELECT id FROM items ORDER BY id', []));
        const seen: number[] = [];
        for (;;) {
          const rows = await cursor.read(300);
          if (rows.length === 0) break;
          seen.push(...rows.map(({ id }) => id));
        }
        expect(seen).toHaveLength(1000);
        await cursor.close();
        if (who > 0) await client.query('COMMIT');
        await client.end();
      }),
    );
  });

  test('closes a cursor early, and two cursors are open in one transaction', async () => {
    const client = await proxy.client();
    const early = client.query(new Cursor('SELECT id FROM items ORDER BY id'));
    expect(await early.read(1)).toEqual([{ id: 1 }]);
    await early.close();
    await client.query('BEGIN');
    await client.query('DECLARE one CURSOR FOR SELECT id FROM items ORDER BY id');
    await client.query('DECLARE other SCROLL CURSOR FOR SELECT id FROM items ORDER BY id DESC');
    const fetched: number[] = [];
    for (const fetch of ['2 FROM one', '1 FROM other', '1 FROM one', 'PRIOR FROM other']) {
      fetched.push(...(await client.query(`FETCH ${fetch}`)).rows.map(({ id }) => id));
    }
    expect(fetched).toEqual([1, 2, 1000, 3]);
    await client.query('COMMIT');
    await client.end();
  });

  test('keeps a cursor WITH HOLD when its transaction is over', async () => {
    const [holder, other] = [await proxy.client(), await proxy.client()];
    await holder.query('BEGIN');
    await holder.query('DECLARE held CURSOR WITH HOLD FOR SELECT id FROM items ORDER BY id');
    await holder.query('COMMIT');
    await other.query('UPDATE items SET name = name WHERE id = 1');
    expect((await holder.query('FETCH 1 FROM held')).rows).toEqual([{ id: 1 }]);
    await holder.query('CLOSE held');
    await holder.end();
    await other.end();
  });

  test('streams a query to a slow reader', async () => {
    const client = await proxy.client();
    const stream = client.query(
      new QueryStream("SELECT i, repeat('x', 10000) AS x FROM generate_series(1, 2000) i", [], {
        batchSize: 100,
      }),
    );
    let sum = 0;
    for await (const { i, x } of stream) {
      if (i % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      sum += x.length;
    }
    expect(sum).toBe(20_000_000);
    await client.end();
  });

  test('copies in and out as streams, and survives a copy that fails', async () => {
    const client = await proxy.client();
    const lines = Array.from({ length: 50_000 }, (_, id) => `${id}\t${'y'.repeat(50)}\n`);
    const copying = client.query(copyFrom('COPY copied FROM STDIN'));
    await pipeline(Readable.from(lines), copying);
    expect(copying.rowCount).toBe(50_000);
    const out = client.query(copyTo('COPY (SELECT * FROM copied ORDER BY id) TO STDOUT'));
    const chunks: Buffer[] = [];
    for await (const chunk of out) chunks.push(chunk);
    expect(Buffer.concat(chunks).toString()).toBe(lines.join(''));
    const failing = client.query(copyFrom('COPY copied FROM STDIN'));
    await expect(pipeline(Readable.from(['not a number\tx\n']), failing)).rejects.toMatchObject({
      code: '22P02',
    });
    const given = client.query(copyFrom('COPY copied FROM STDIN'));
    given.on('error', () => {});
    given.destroy(new Error('the source has gone'));
    await eventually(async () => {
      const { rows } = await client.query('SELECT count(*)::int AS n FROM copied');
      return rows[0].n === 50_000;
    }, 'the copies that failed have left nothing');
    await client.end();
  });

  test('hears what is notified by itself, by others, and by functions, until it unlistens', async () => {
    const [listener, other] = [await proxy.client(), await proxy.client()];
    const heard: string[] = [];
    listener.on('notification', ({ channel, payload }) => heard.push(`${channel}:${payload}`));
    await listener.query('LISTEN "Some Channel"; LISTEN plain');
    await other.query(`NOTIFY "Some Channel", 'one'`);
    await other.query('BEGIN');
    await other.query("NOTIFY plain, 'rolled back'");
    await other.query('ROLLBACK');
    await other.query("SELECT pg_notify('plain', $1)", ['x'.repeat(7000)]);
    await eventually(() => heard.length === 2, 'two notifications come');
    await listener.query('UNLISTEN plain');
    await other.query("NOTIFY plain, 'unheard'");
    await listener.query('NOTIFY "Some Channel", \'own\'');
    await eventually(() => heard.length === 3, 'its own comes');
    expect(heard).toEqual(['Some Channel:one', `plain:${'x'.repeat(7000)}`, 'Some Channel:own']);
    await listener.end();
    await other.end();
  });

  test('prepares more statements than a server connection keeps, with changing types', async () => {
    const clients = await Promise.all(Array.from({ length: 5 }, () => proxy.client()));
    const types = ['int', 'text', 'numeric', 'bool', 'jsonb'] as const;
    const values = { int: 1, text: 'one', numeric: '1.5', bool: true, jsonb: { one: 1 } };
    for (let round = 0; round < 3; round++) {
      await Promise.all(
        clients.map(async (client, who) => {
          for (const type of types) {
            const text = `SELECT $1::${type} AS value, ${who} AS who`;
            const asked = { name: `of ${type}`, text, values: [values[type]] };
            expect((await client.query(asked)).rows).toEqual([{ value: values[type], who }]);
          }
        }),
      );
    }
    for (const client of clients) await client.end();
  });

  test('gives one name to a statement whose parameters have other types in another client', async () => {
    const [one, other] = [await proxy.client(), await proxy.client()];
    for (let round = 0; round < 3; round++) {
      const ask = (client: pg.Client, type: string, value: unknown) =>
        client.query({ name: 'same', text: `SELECT $1::${type} AS v`, values: [value] });
      expect((await ask(one, 'int', 7)).rows).toEqual([{ v: 7 }]);
      expect((await ask(other, 'timestamptz', '2024-01-01T00:00:00Z')).rows).toEqual([
        { v: new Date('2024-01-01T00:00:00Z') },
      ]);
    }
    await one.end();
    await other.end();
  });

  test('sends many and large parameters, and receives large values', async () => {
    const client = await proxy.client();
    const many = Array.from({ length: 65_535 }, (_, index) => index);
    const list = many.map((index) => `$${index + 1}::int`).join(',');
    const { rows } = await client.query(`SELECT cardinality(ARRAY[${list}]) AS n`, many);
    expect(rows).toEqual([{ n: 65_535 }]);
    const large = Buffer.alloc(24 * 1024 * 1024, 'tidemark');
    const back = await client.query('SELECT $1::bytea AS large, length($1::bytea) AS n', [large]);
    expect(back.rows[0].n).toBe(large.length);
    expect(large.equals(back.rows[0].large)).toBe(true);
    await client.end();
  });

  test('pipelines what it is given at once, and goes on behind an error', async () => {
    const client = await proxy.client();
    const asked = Array.from({ length: 300 }, (_, n) => {
      if (n % 50 === 49) return client.query('SELECT 1 / $1::int', [0]);
      if (n % 10 === 0) return client.query('UPDATE items SET name = $1 WHERE id = 1', [`${n}`]);
      return client.query('SELECT $1::int AS n, name FROM items WHERE id = 1', [n]);
    });
    const ends = await Promise.allSettled(asked);
    for (const [n, end] of ends.entries()) {
      if (n % 50 === 49) expect(end).toMatchObject({ status: 'rejected' });
      else if (n % 10 === 0) expect(end).toMatchObject({ value: { rowCount: 1 } });
      else expect(end).toMatchObject({ value: { rows: [{ n, name: `${n - (n % 10)}` }] } });
    }
    await client.end();
  });

  test('cancels its own query, and none of the client that had the connection before', async () => {
    const [sleeper, busy, third] = [
      await proxy.client(),
      await proxy.client(),
      await proxy.client(),
    ];
    const asleep = sleeper.query('SELECT pg_sleep(60) AS cancelled');
    const ended = expect(asleep).rejects.toMatchObject({ code: '57014' });
    await runsOnce('SELECT pg_sleep(60) AS cancelled');
    // pg.Client keeps its key to itself, and its way of cancelling, too.
    const canceller = new pg.Client({ host: proxy.host, port: proxy.port });
    const rest = busy.query('SELECT pg_sleep(0.3)');
    (canceller as unknown as { cancel(client: pg.Client, query: unknown): void }).cancel(
      sleeper,
      (sleeper as unknown as { activeQuery: unknown }).activeQuery ??
        (sleeper as unknown as { _activeQuery: unknown })._activeQuery,
    );
    await ended;
    await rest;
    expect((await third.query('SELECT 3 AS three')).rows).toEqual([{ three: 3 }]);
    for (const client of [sleeper, busy, third]) await client.end();
  });
});

describe('postgres.js', () => {
  const connect = (options: postgres.Options<Record<string, never>> = {}) =>
    postgres(proxy.url, { max: 4, onnotice: () => {}, ...options });

  test('looks types up when it connects, and knows arrays of the database', async () => {
    const sql = connect({ fetch_types: true });
    const moods = ['sad', 'glad'];
    const [row] = await sql`SELECT ${moods}::mood[] AS moods, ${[1, 2]}::int[] AS numbers`;
    expect(row).toEqual({ moods, numbers: [1, 2] });
    await sql.end();
  });

  test('describes a statement without running it', async () => {
    const sql = connect();
    const { types, columns } = await sql`SELECT id, name FROM items WHERE id = ${1}`.describe();
    expect(types).toEqual([23]);
    expect(columns.map(({ name, type }) => [name, type])).toEqual([
      ['id', 23],
      ['name', 25],
    ]);
    await sql.end();
  });

  test('holds a connection of its own, and prepares anew when a table changes', async () => {
    const sql = connect({ max: 1 });
    await sql`CREATE TABLE changing (id int)`;
    await sql`INSERT INTO changing VALUES (1)`;
    const all = () => sql`SELECT * FROM changing`;
    expect(await all()).toEqual([{ id: 1 }]);
    const reserved = await sql.reserve();
    await reserved`ALTER TABLE changing ADD COLUMN name text DEFAULT 'x'`;
    reserved.release();
    const later = connect({ max: 1 });
    expect(await later`SELECT * FROM changing`).toEqual([{ id: 1, name: 'x' }]);
    await later.end();
    await sql.end();
  });

  test('inserts many rows by one statement, and streams them by a cursor in a transaction', async () => {
    const sql = connect();
    await sql`CREATE TABLE many (id int, name text)`;
    const rows = Array.from({ length: 5000 }, (_, id) => ({ id, name: `name ${id}` }));
    await sql`INSERT INTO many ${sql(rows)}`;
    const seen = await sql.begin('isolation level repeatable read', async (tx) => {
      let count = 0;
      await tx`SELECT * FROM many`.cursor(700, (part) => {
        count += part.length;
      });
      return count;
    });
    expect(seen).toBe(5000);
    await sql.end();
  });

  test('subscribes to a channel again and again', async () => {
    const sql = connect();
    for (let round = 0; round < 3; round++) {
      const heard: string[] = [];
      const { unlisten } = await sql.listen('rounds', (payload) => heard.push(payload));
      await sql.notify('rounds', `${round}`);
      await eventually(() => heard.length > 0, 'it is heard');
      await unlisten();
      expect(heard).toEqual([`${round}`]);
    }
    await sql.end();
  });
});
