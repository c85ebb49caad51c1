import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { eventually, startTestProxy, type TestProxy } from '../support/proxy.ts';

/** However slow the machine is: what can be read on a replica is read there. */
const freshness = { waitTimeoutMs: 60_000, maxStalenessMs: 60_000 };

describe('what is known of a database', () => {
  let cluster: TestCluster;
  let proxy: TestProxy;

  beforeAll(async () => {
    cluster = await startTestCluster({ replicas: 1 });
    proxy = await startTestProxy(cluster, { freshness });
  });

  afterAll(async () => {
    await proxy?.stop();
    await cluster?.stop();
  });

  async function routeOf(sql: string, through = proxy): Promise<{ role: string; reason: string }> {
    const client = await through.client();
    await client.query(sql);
    const { rows } = await client.query('SHOW tidemark.route');
    await client.end();
    return { role: rows[0].role, reason: rows[0].reason };
  }

  test('follows DDL that goes through the proxy, when it commits', async () => {
    const client = await proxy.client();
    await client.query(
      'CREATE FUNCTION answer() RETURNS int LANGUAGE sql STABLE AS $$ SELECT 42 $$',
    );
    await eventually(
      async () => (await routeOf('SELECT answer()')).role === 'replica',
      'the stable function is read on the replica',
    );
    await client.query('BEGIN');
    await client.query(
      'CREATE OR REPLACE FUNCTION answer() RETURNS int LANGUAGE sql VOLATILE AS $$ SELECT 43 $$',
    );
    await client.query('COMMIT');
    await eventually(
      async () => (await routeOf('SELECT answer()')).reason === 'volatile-function',
      'the volatile function is called on the primary',
    );
    await client.end();
  });

  test('knows of a view what it calls, from the statement after it was made', async () => {
    const client = await proxy.client();
    const reason = async (sql: string) => {
      await client.query(sql);
      return (await client.query('SHOW tidemark.route')).rows[0].reason;
    };
    await client.query('CREATE TABLE things (id int)');
    await client.query('CREATE VIEW shown AS SELECT * FROM things');
    await eventually(
      async () => (await reason('SELECT * FROM shown')).startsWith('read'),
      'the view over a table is read on the replica',
    );
    // Its class is remembered now. What the view turns into must count at once.
    await client.query('CREATE OR REPLACE VIEW shown AS SELECT 1 AS id FROM things FOR UPDATE');
    expect(await reason('SELECT * FROM shown')).toMatch(/^(catalog-not-loaded|volatile-relation)$/);
    await eventually(
      async () => (await reason('SELECT * FROM shown')) === 'volatile-relation',
      'the view that locks is read on the primary',
    );
    await client.end();
  });

  test('knows soon what others have made past the proxy', async () => {
    await cluster.nodes[0]!.query('CREATE TABLE foreign_to_it (id int)');
    await cluster.nodes[0]!.query('CREATE UNLOGGED TABLE fleeting (id int)');
    const { role, reason } = await routeOf('SELECT * FROM foreign_to_it');
    expect([role, reason]).toEqual(['primary', 'unknown-relation']);
    await eventually(
      async () => (await routeOf('SELECT * FROM foreign_to_it')).role === 'replica',
      'the table is known without DDL through the proxy',
    );
    expect((await routeOf('SELECT * FROM fleeting')).reason).toBe('unlogged-relation');
  });

  test('prepares anew what was prepared before others changed its tables past the proxy', async () => {
    await cluster.nodes[0]!.query('CREATE TABLE shape (a int)');
    const narrow = await startTestProxy(cluster, { pool: { size: 1 }, freshness });
    onTestFinished(() => narrow.stop());
    const inTransaction = async () => {
      const client = await narrow.client();
      await client.query('BEGIN');
      // Nothing behind it can run again without the client's notice.
      await client.query('SELECT 1');
      const { fields } = await client.query({ name: 'same', text: 'SELECT * FROM shape' });
      await client.query('COMMIT');
      await client.end();
      return fields.map(({ name }) => name);
    };
    expect(await inTransaction()).toEqual(['a']);
    await cluster.nodes[0]!.query('ALTER TABLE shape ADD COLUMN b int');
    await cluster.nodes[0]!.query('CREATE TABLE later (id int)');
    await eventually(
      async () => (await routeOf('SELECT * FROM later', narrow)).role === 'replica',
      'the catalog has been read again',
    );
    expect(await inTransaction()).toEqual(['a', 'b']);
  });

  test('looks for names that do not exist less and less often', async () => {
    const client = await proxy.client();
    const ask = () => client.query('SELECT * FROM missing').catch(() => {});
    const loads = async () =>
      Number(
        (
          await cluster.nodes[0]!.query(
            `SELECT sessions FROM pg_stat_database WHERE datname = current_database()`,
          )
        )[0].sessions,
      );
    const before = await loads();
    for (let count = 0; count < 1_000; count++) await ask();
    expect((await loads()) - before).toBeLessThan(20);
    await client.end();
  });

  test('takes the most volatile of all overloads', async () => {
    const client = await proxy.client();
    await client.query('CREATE SCHEMA other');
    await client.query(
      'CREATE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT $1 $$',
    );
    await eventually(
      async () => (await routeOf('SELECT f(1)')).role === 'replica',
      'the one function is immutable',
    );
    await client.query(
      'CREATE FUNCTION other.f(text) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT $1 $$',
    );
    await eventually(
      async () => (await routeOf('SELECT f(1)')).reason === 'volatile-function',
      'an overload elsewhere is volatile',
    );
    expect((await routeOf('SELECT public.f(1)')).role).toBe('replica');
    await client.end();
  });

  test('takes a stable function that sets something for a volatile one', async () => {
    const client = await proxy.client();
    const bodies = [
      "LANGUAGE plpgsql AS $$ BEGIN PERFORM Set_Config('my.x', '1', false); RETURN 1; END $$",
      "LANGUAGE sql AS $$ SELECT 1 FROM set_config('my.x', '1', false) $$",
      "LANGUAGE sql RETURN (SELECT 1 FROM set_config('my.x', '1', false))",
    ];
    for (const [index, body] of bodies.entries()) {
      await client.query(`CREATE FUNCTION sets${index}() RETURNS int STABLE ${body}`);
    }
    await client.query('CREATE FUNCTION sets_not() RETURNS int STABLE LANGUAGE sql RETURN 1');
    await eventually(
      async () => (await routeOf('SELECT sets_not()')).role === 'replica',
      'it is known that the last is stable',
    );
    for (const index of bodies.keys()) {
      expect((await routeOf(`SELECT sets${index}()`)).reason).toBe('volatile-function');
    }
    await client.end();
  });

  test('is of each database by itself, and forgotten with it', async () => {
    const admin = await proxy.client();
    await admin.query('CREATE DATABASE elsewhere');
    const url = new URL(proxy.url);
    url.pathname = '/elsewhere';
    const client = await proxy.client({ connectionString: url.href });
    await expect(client.query('SELECT answer()')).rejects.toMatchObject({ code: '42883' });
    await client.end();
    await eventually(async () => {
      // The proxy's pools still hold connections to it, which FORCE ends.
      await admin.query('DROP DATABASE IF EXISTS elsewhere WITH (FORCE)');
      return true;
    }, 'the database can be dropped');
    await expect(proxy.client({ connectionString: url.href })).rejects.toMatchObject({
      code: '3D000',
    });
    await admin.end();
  });
});
