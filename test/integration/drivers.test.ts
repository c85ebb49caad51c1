import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { eventually, startTestProxy, type TestProxy } from '../support/proxy.ts';

const run = promisify(execFile);
const psqlPath = ['/usr/bin/psql', '/usr/local/bin/psql'].find((path) => existsSync(path));

let cluster: TestCluster;
let proxy: TestProxy;

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 2 });
  // Fewer connections than clients: every test shares them with the others it runs beside.
  proxy = await startTestProxy(cluster, { pool: { size: 3, statementsMax: 5 } });
  await cluster.primary.query(`
    CREATE TABLE items (id int PRIMARY KEY, name text, at timestamptz DEFAULT now());
    INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, 100) i`);
  await cluster.waitForCatchup();
});

afterAll(async () => {
  await proxy?.stop();
  await cluster?.stop();
});

describe('node-postgres', () => {
  test('queries, types and named statements in a pool', async () => {
    const pool = new pg.Pool({ connectionString: proxy.url, max: 12 });
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const id = (i % 100) + 1;
        const text = 'SELECT id, name, $2::int8 AS big FROM items WHERE id = $1';
        const { rows } = await pool.query({ name: `n${i % 9}`, text, values: [id, i] });
        return rows[0];
      }),
    );
    expect(answers).toEqual(
      answers.map((_, i) => ({ id: (i % 100) + 1, name: `item ${(i % 100) + 1}`, big: `${i}` })),
    );
    await pool.end();
  });

  test('one name stands for other texts in other clients', async () => {
    const clients = await Promise.all(Array.from({ length: 6 }, () => proxy.client()));
    for (let round = 0; round < 20; round++) {
      const answers = await Promise.all(
        clients.map((client, who) =>
          client.query({
            name: 'same',
            text: `SELECT ${who} AS who, $1::int AS round`,
            values: [round],
          }),
        ),
      );
      expect(answers.map(({ rows }) => rows[0])).toEqual(clients.map((_, who) => ({ who, round })));
    }
    for (const client of clients) await client.end();
  });

  test('transactions commit, roll back and fail', async () => {
    const client = await proxy.client();
    await client.query('BEGIN');
    await client.query('INSERT INTO items VALUES ($1, $2)', [1000, 'kept']);
    await client.query('COMMIT');
    await client.query('BEGIN');
    await client.query('DELETE FROM items WHERE id = $1', [1000]);
    await expect(client.query('SELECT 1/0')).rejects.toMatchObject({ code: '22012' });
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: '25P02' });
    await client.query('ROLLBACK');
    const { rows } = await client.query('SELECT name FROM items WHERE id = 1000');
    expect(rows).toEqual([{ name: 'kept' }]);
    await client.end();
  });

  test('hears its own notifications and those of others', async () => {
    const [listener, other] = [await proxy.client(), await proxy.client()];
    const heard: (string | undefined)[] = [];
    listener.on('notification', ({ payload }) => heard.push(payload));
    await listener.query('LISTEN news');
    await listener.query("NOTIFY news, 'own'");
    await other.query("SELECT pg_notify('news', $1)", ['theirs']);
    await eventually(() => heard.length === 2, 'both notifications come');
    expect(heard).toEqual(['own', 'theirs']);
    await listener.end();
    await other.end();
  });

  test('a query that takes too long is cancelled by its timeout', async () => {
    const client = await proxy.client({ statement_timeout: 100 });
    await expect(client.query('SELECT pg_sleep(30)')).rejects.toMatchObject({ code: '57014' });
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    await client.end();
  });
});

describe('postgres.js', () => {
  const connect = (options: postgres.Options<Record<string, never>> = {}) =>
    postgres(proxy.url, { max: 8, onnotice: () => {}, ...options });

  test('prepared statements of its own making', async () => {
    const sql = connect();
    const answers = await Promise.all(
      Array.from(
        { length: 200 },
        (_, i) => sql`SELECT id, name FROM items WHERE id = ${(i % 100) + 1}`,
      ),
    );
    expect(answers.map(([row]) => row?.id)).toEqual(answers.map((_, i) => (i % 100) + 1));
    await sql.end();
  });

  test('transactions, nested ones and failures', async () => {
    const sql = connect();
    await sql.begin(async (tx) => {
      await tx`INSERT INTO items VALUES (2000, 'outer')`;
      await tx
        .savepoint(async (inner) => {
          await inner`INSERT INTO items VALUES (2001, 'inner')`;
          throw new Error('not this one');
        })
        .catch(() => {});
    });
    await expect(
      sql.begin(async (tx) => {
        await tx`INSERT INTO items VALUES (2002, 'never')`;
        await tx`SELECT 1/0`;
      }),
    ).rejects.toMatchObject({ code: '22012' });
    const counted = await sql.begin(
      'read only',
      (tx) => tx`SELECT id FROM items WHERE id >= 2000 ORDER BY id`,
    );
    expect(counted.map((row) => row.id)).toEqual([2000]);
    await sql.end();
  });

  test('cursors', async () => {
    const sql = connect();
    const sizes: number[] = [];
    await sql`SELECT * FROM generate_series(1, 25)`.cursor(10, (rows) => {
      sizes.push(rows.length);
    });
    expect(sizes).toEqual([10, 10, 5]);
    let seen = 0;
    for await (const [row] of sql`SELECT generate_series(1, 1000) AS n`.cursor()) {
      seen += 1;
      if (row?.n === 3) break;
    }
    expect(seen).toBe(3);
    expect(await sql`SELECT 1 AS one`).toEqual([{ one: 1 }]);
    await sql.end();
  });

  test('listen and notify', async () => {
    const sql = connect();
    const heard: string[] = [];
    const listening = await sql.listen('wire', (payload) => heard.push(payload));
    await sql.notify('wire', 'first');
    await sql.notify('wire', 'second');
    await eventually(() => heard.length === 2, 'both notifications come');
    expect(heard).toEqual(['first', 'second']);
    await listening.unlisten();
    await sql.end();
  });

  test('copies in and out as streams', async () => {
    const sql = connect();
    await sql`CREATE TABLE copied (id int, text text)`;
    const lines = Array.from({ length: 20_000 }, (_, i) => `${i}\t${'x'.repeat(100)}\n`);
    await pipeline(Readable.from(lines), await sql`COPY copied FROM STDIN`.writable());
    const chunks: Buffer[] = [];
    for await (const chunk of await sql`COPY (SELECT * FROM copied ORDER BY id) TO STDOUT`.readable()) {
      chunks.push(chunk);
    }
    expect(Buffer.concat(chunks).toString()).toBe(lines.join(''));
    await sql.end();
  });

  test('pipelines queries on one connection', async () => {
    const sql = connect({ max: 1 });
    const results = await Promise.allSettled([
      sql`INSERT INTO items VALUES (3000, 'a')`,
      sql`SELECT count(*)::int AS n FROM items WHERE id = 3000`,
      sql`SELECT 1/0`,
      sql`INSERT INTO items VALUES (3000, 'again')`,
      sql`SELECT name FROM items WHERE id = ${3000}`,
    ]);
    expect(results.map(({ status }) => status)).toEqual([
      ...['fulfilled', 'fulfilled', 'rejected', 'rejected', 'fulfilled'],
    ]);
    expect(results[1]).toMatchObject({ value: [{ n: 1 }] });
    expect(results[4]).toMatchObject({ value: [{ name: 'a' }] });
    await sql.end();
  });

  test('a cancelled query ends alone', async () => {
    const sql = connect({ max: 2 });
    const sleeping = sql`SELECT pg_sleep(60)`;
    const ended = expect(sleeping).rejects.toMatchObject({ code: '57014' });
    sleeping.execute();
    await eventually(async () => {
      const asked = cluster.nodes.map((node) =>
        node.query("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%'"),
      );
      return (await Promise.all(asked)).flat().length === 1;
    }, 'the query runs');
    sleeping.cancel();
    await ended;
    expect(await sql`SELECT 2 AS two`).toEqual([{ two: 2 }]);
    await sql.end();
  });

  test('without prepared statements', async () => {
    const sql = connect({ prepare: false });
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => sql`SELECT ${i}::int AS i, ${'x'.repeat(i)}::text AS t`),
    );
    expect(answers.map(([row]) => row?.i)).toEqual(answers.map((_, i) => i));
    await sql.end();
  });
});

describe.runIf(psqlPath !== undefined)('psql', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidemark-psql-'));
  });

  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  async function psql(script: string): Promise<string> {
    const file = join(folder, 'script.sql');
    await writeFile(file, script);
    const { stdout, stderr } = await run(psqlPath!, [
      ...['--no-psqlrc', '--quiet', '--tuples-only', '--no-align', '--set', 'ON_ERROR_STOP=1'],
      ...['--file', file, proxy.url],
    ]);
    expect(stderr).toBe('');
    return stdout.trimEnd();
  }

  test('describes tables', async () => {
    expect(await psql('\\d items')).toContain('id|integer||not null|');
    expect(await psql('\\dt')).toContain('public|items|table|');
  });

  test('copies from and to files', async () => {
    const [source, target] = [join(folder, 'in.csv'), join(folder, 'out.csv')];
    await writeFile(source, '1,one\n2,two\n');
    await psql(`CREATE TABLE files (id int, text text);
      \\copy files from '${source}' csv
      \\copy (select * from files order by id) to '${target}' csv
    `);
    expect(await readFile(target, 'utf8')).toBe('1,one\n2,two\n');
  });

  test('runs what a query returns', async () => {
    const made =
      await psql(`SELECT format('CREATE TABLE gexec_%s (a int)', i) FROM generate_series(1, 3) i \\gexec
      SELECT count(*) FROM pg_class WHERE relname LIKE 'gexec%' AND relkind = 'r';`);
    expect(made).toBe('3');
  });

  test('keeps variables, transactions and settings', async () => {
    const said = await psql(`SET application_name = 'from psql';
      BEGIN; INSERT INTO items VALUES (4000, 'x'); ROLLBACK;
      SELECT count(*) AS n FROM items WHERE id = 4000 \\gset
      SELECT :n, current_setting('application_name');
      \\set FETCH_COUNT 7
      SELECT count(*) FROM items WHERE id <= 100;
      SELECT id FROM items WHERE id <= 20 ORDER BY id;`);
    const ids = Array.from({ length: 20 }, (_, i) => `${i + 1}`);
    expect(said.split('\n')).toEqual(['0|from psql', '100', ...ids]);
  });
});
