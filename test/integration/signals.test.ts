import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { eventually, startTestProxy, type TestProxy } from '../support/proxy.ts';

let cluster: TestCluster;
let proxy: TestProxy;

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 1 });
  proxy = await startTestProxy(cluster, { pool: { size: 4 } });
});

afterAll(async () => {
  await proxy?.stop();
  await cluster?.stop();
});

/** The number that the client was given at login. */
const pidOf = (client: pg.Client) => (client as unknown as { processID: number }).processID;

async function value(client: pg.Client, text: string, values: unknown[] = []): Promise<unknown> {
  const { rows } = await client.query({ text, values, rowMode: 'array' });
  return rows[0]?.[0];
}

interface Failure {
  readonly code: string;
  readonly severity: string;
}

/** What the client is told when its connection ends. */
function end(client: pg.Client): Promise<Failure> {
  return new Promise((resolve) =>
    client.once('error', (error) => resolve(error as Error & Failure)),
  );
}

const terminated = { code: '57P01', severity: 'FATAL' };

describe('pg_terminate_backend of another session', () => {
  test.each([
    ['a number', (pid: number) => `SELECT pg_terminate_backend(${pid})`],
    ['a string with its type', (pid: number) => `SELECT pg_terminate_backend('${pid}'::int)`],
  ] as const)('by %s', async (_, textOf) => {
    const [killer, victim] = [await proxy.client(), await proxy.client()];
    const ended = end(victim);
    expect(await value(killer, textOf(pidOf(victim)))).toBe(true);
    expect(await ended).toMatchObject(terminated);
    await killer.end();
  });

  test('by a parameter', async () => {
    const [killer, victim] = [await proxy.client(), await proxy.client()];
    const ended = end(victim);
    const text = 'SELECT pg_terminate_backend($1) AS is_sent';
    expect(await value(killer, text, [pidOf(victim)])).toBe(true);
    expect(await ended).toMatchObject(terminated);
    await killer.end();
  });

  test('ends its transaction, too', async () => {
    const [killer, victim] = [await proxy.client(), await proxy.client()];
    await victim.query('BEGIN');
    await victim.query('SELECT pg_advisory_xact_lock(4711)');
    const ended = end(victim);
    expect(await value(killer, 'SELECT pg_terminate_backend($1)', [pidOf(victim)])).toBe(true);
    expect(await ended).toMatchObject(terminated);
    await eventually(
      async () => (await value(killer, 'SELECT pg_try_advisory_xact_lock(4711)')) === true,
      'the lock of the ended transaction is free',
    );
    await killer.end();
  });

  test.each([
    ['its number', (pid: number) => `SELECT pg_terminate_backend(${pid})`],
    ['pg_backend_pid()', () => 'SELECT pg_terminate_backend(pg_backend_pid())'],
  ] as const)('may be one of oneself, who gets no answer, by %s', async (_, textOf) => {
    const client = await proxy.client();
    const ended = end(client);
    await client.query('BEGIN');
    await client.query('SELECT pg_advisory_xact_lock(4712)');
    await expect(client.query(textOf(pidOf(client)))).rejects.toMatchObject(terminated);
    await ended;
    const other = await proxy.client();
    await other.query('SELECT pg_advisory_xact_lock(4712)');
    await other.end();
  });

  test('is for its own user alone', async () => {
    await cluster.nodes[0]!.query("CREATE ROLE stranger LOGIN PASSWORD 'stranger'");
    const stranger = { name: 'stranger', secret: 'stranger', serverPassword: 'stranger' };
    const shared = await startTestProxy(cluster, { users: [stranger] });
    const other = new URL(shared.url);
    other.username = other.password = 'stranger';
    const victim = await shared.client();
    const client = await shared.client({ connectionString: other.href });
    // PostgreSQL has no process of that number, and says so with a warning.
    expect(await value(client, `SELECT pg_terminate_backend(${pidOf(victim)})`)).toBe(false);
    expect(await value(victim, 'SELECT 1')).toBe(1);
    await client.end();
    await victim.end();
    await shared.stop();
  });

  test('is what the server says where there is no such session', async () => {
    const client = await proxy.client();
    expect(await value(client, 'SELECT pg_terminate_backend(2147483647)')).toBe(false);
    expect(await value(client, 'SELECT pg_terminate_backend(NULL)')).toBeNull();
    await client.end();
  });
});

test('pg_cancel_backend stops what another session runs, and nothing else', async () => {
  const [other, client] = [await proxy.client(), await proxy.client()];
  const running = client.query('SELECT pg_sleep(600)').then(
    () => null,
    (error) => error.code,
  );
  await eventually(
    async () =>
      (await value(
        other,
        "SELECT count(*)::int FROM pg_stat_activity WHERE query ~ 'sleep.600'",
      )) !== 0,
    'the query runs',
  );
  expect(await value(other, 'SELECT pg_cancel_backend($1)', [pidOf(client)])).toBe(true);
  expect(await running).toBe('57014');
  expect(await value(client, 'SELECT 1')).toBe(1);
  await other.end();
  await client.end();
});
