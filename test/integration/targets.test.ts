import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { eventually, startTestProxy, type TestProxy } from '../support/proxy.ts';

describe('a client that wants a side', () => {
  let cluster: TestCluster;
  let proxy: TestProxy;
  let client: pg.Client;

  beforeAll(async () => {
    cluster = await startTestCluster({ replicas: 1 });
    await cluster.nodes[0]!.query(`
      CREATE TABLE t (id int);
      INSERT INTO t VALUES (1);
      CREATE FUNCTION chance() RETURNS int LANGUAGE sql AS 'SELECT 1';
      CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (2) RETURNING id';
      CREATE VIEW volatile_view AS SELECT chance() AS id`);
    // Bounded: whether a read has to wait for what others wrote is of no interest here.
    proxy = await startTestProxy(cluster, {
      freshness: { consistency: 'bounded', maxStalenessMs: 60_000, waitTimeoutMs: 5_000 },
    });
  });

  beforeEach(async () => {
    client = await proxy.client();
  });

  afterEach(async () => {
    await client?.end();
  });

  afterAll(async () => {
    await proxy?.stop();
    await cluster?.stop();
  });

  async function reasonOf(sql: string, session = client): Promise<string> {
    await session.query(sql);
    const { rows } = await session.query('SHOW tidemark.route');
    return `${rows[0].role} ${rows[0].reason}`;
  }

  test.each([
    ['SELECT * FROM t', 'replica read', 'primary hint-primary', 'replica read'],
    ['SHOW work_mem', 'replica read', 'primary hint-primary', 'replica read'],
    ['SELECT chance()', 'primary volatile-function', null, 'replica hint-replica'],
    ['SELECT * FROM volatile_view', 'primary volatile-relation', null, 'replica hint-replica'],
    ['SELECT pg_is_in_recovery()', 'primary primary-only-function', null, 'replica hint-replica'],
    ['SHOW port', 'primary primary-only-setting', null, 'replica hint-replica'],
    ['EXPLAIN ANALYZE SELECT * FROM t', 'primary explain-analyze', null, 'replica hint-replica'],
    ['SELECT * FROM t FOR SHARE', 'primary locking-clause', null, 'primary locking-clause'],
    ['INSERT INTO t SELECT id FROM t WHERE false', 'primary write', null, 'primary write'],
    ['CREATE TABLE IF NOT EXISTS t (id int)', 'primary ddl', null, 'primary ddl'],
    [
      'SELECT pg_advisory_xact_lock(1)',
      'primary primary-only-function',
      null,
      'primary primary-only-function',
    ],
  ])('%s', async (sql, plainly, onPrimary, onReplica) => {
    // What a statement before it has changed in the catalog is known.
    await eventually(
      async () => (await reasonOf(sql)) === plainly,
      `${sql} goes to the ${plainly}`,
    );
    expect(await reasonOf(`/* tidemark: primary */ ${sql}`)).toBe(onPrimary ?? plainly);
    await eventually(
      async () => (await reasonOf(`${sql} -- tidemark: replica`)) === onReplica,
      `${sql} goes to the ${onReplica} when it may`,
    );
    for (const target of ['primary', 'replica'] as const) {
      await client.query(`SET tidemark.target = '${target}'`);
      const expected = target === 'primary' ? (onPrimary ?? plainly) : onReplica;
      // While the primary is asked what a function has left there, its session stays on it.
      await eventually(
        async () => (await reasonOf(sql)) === expected,
        `${sql} goes to the ${expected} where the target is a ${target}`,
      );
    }
    expect(await reasonOf(`${sql} /* tidemark: primary */`)).toBe(onPrimary ?? plainly);
    expect(await reasonOf(`${sql} /* tidemark: target=auto */`)).toBe(plainly);
    await client.query('RESET tidemark.target');
    expect(await reasonOf(sql)).toBe(plainly);
  });

  test('gives it as a connection option, for one transaction, and asks for it', async () => {
    const shown = async (session: pg.Client) =>
      (await session.query('SHOW tidemark.target')).rows[0]['tidemark.target'];
    const other = await proxy.client({ options: '-c tidemark.target=primary' });
    expect(await shown(other)).toBe('primary');
    expect(await reasonOf('SELECT * FROM t', other)).toBe('primary hint-primary');
    await other.query('SET tidemark.target = replica');
    await other.query('RESET ALL');
    expect(await shown(other)).toBe('primary');
    await other.query('BEGIN READ ONLY');
    await other.query('SET LOCAL tidemark.target = replica');
    expect(await reasonOf('SELECT chance()', other)).toBe('replica read-only-transaction');
    await other.query('COMMIT');
    expect(await shown(other)).toBe('primary');
    await expect(other.query('SET tidemark.target = elsewhere')).rejects.toMatchObject({
      code: '22023',
    });
    await expect(other.query('SELECT 1 /* tidemark: target=x */')).rejects.toMatchObject({
      code: '22023',
    });
    await other.end();
  });

  test('has what a replica refuses done by the primary', async () => {
    const { rows } = await client.query('SELECT writes() AS id /* tidemark: replica */');
    expect(rows).toEqual([{ id: 2 }]);
    const route = (await client.query('SHOW tidemark.route')).rows[0];
    expect([route.role, route.reason]).toEqual(['primary', 'retry-refused']);
  });

  test('stays in a transaction that may write', async () => {
    await client.query('BEGIN');
    expect(await reasonOf('SELECT chance() /* tidemark: replica */')).toMatch(/^primary /);
    await client.query('COMMIT');
  });

  test('does not read what it has just overwritten', async () => {
    const replica = cluster.nodes[1]!;
    await replica.pauseReplay();
    try {
      const lagging = await proxy.client({
        options: '-c tidemark.wait_timeout=0 -c tidemark.consistency=session',
      });
      await lagging.query('UPDATE t SET id = 3 WHERE id = 1');
      expect(await reasonOf('SELECT chance() FROM t /* tidemark: replica */', lagging)).toBe(
        'primary no-fresh-replica',
      );
      await lagging.end();
    } finally {
      await replica.resumeReplay();
    }
  });

  test('is counted', async () => {
    const text = await (await fetch(`${proxy.httpUrl}/metrics`)).text();
    expect(text).toMatch(
      /tidemark_requests_total\{[^}]*role="replica"[^}]*reason="hint-replica"\} [1-9]/,
    );
    expect(text).toMatch(
      /tidemark_requests_total\{[^}]*role="primary"[^}]*reason="hint-primary"\} [1-9]/,
    );
  });

  test('is told of the same server throughout of a READ ONLY transaction', async () => {
    await client.query('BEGIN READ ONLY');
    await client.query('SELECT * FROM t');
    const { rows } = await client.query('SELECT pg_is_in_recovery() AS a, version() AS b');
    expect(rows[0].a).toBe(true);
    await expect(client.query('SELECT no_such_function()')).rejects.toMatchObject({
      code: '42883',
    });
    await client.query('ROLLBACK');
    await client.query('BEGIN READ ONLY');
    const first = await client.query('SELECT pg_is_in_recovery() AS a');
    expect(first.rows[0].a).toBe(false);
    await client.query('COMMIT');
  });
});
