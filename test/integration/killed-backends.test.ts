import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { query } from '../../src/protocol/frontend.ts';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { eventually, startTestProxy, type TestProxy } from '../support/proxy.ts';
import { WireTrace, type WireTraceOptions } from '../support/wire-trace.ts';
import { trustEverybody } from './differential/comparison.ts';

let cluster: TestCluster;
let proxy: TestProxy;
let direct: WireTraceOptions;
let proxied: WireTraceOptions;

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 1, hba: trustEverybody });
  proxy = await startTestProxy(cluster, { auth: 'trust', pool: { size: 3 } });
  const { user, database } = cluster;
  direct = { host: cluster.primary.host, port: cluster.primary.port, user, database };
  proxied = { ...direct, host: proxy.host, port: proxy.port };
  await cluster.primary.query(`
    CREATE TABLE t (a int);
    CREATE ROLE nologin_role;
    CREATE ROLE limited LOGIN CONNECTION LIMIT 0;
    CREATE ROLE somebody LOGIN`);
  await cluster.primary.query('CREATE DATABASE closed ALLOW_CONNECTIONS false');
  await cluster.primary.query('CREATE DATABASE full_database CONNECTION LIMIT 0');
  await cluster.waitForCatchup();
});

afterAll(async () => {
  await proxy?.stop();
  await cluster?.stop();
});

const ask = (session: WireTrace, sql: string) => session.run(query(sql), 'Z');

/** The SQLSTATE of the FATAL with which the session ended, or what it said otherwise. */
function end(session: WireTrace, lines: readonly string[]): string {
  const fatal = lines.find((line) => line.includes('S:FATAL'));
  const code = fatal === undefined ? undefined : / C:(\w{5}) /.exec(fatal)?.[1];
  return session.isClosed ? `closed with ${code}` : `open: ${lines.join('; ')}`;
}

/** The same on the primary itself and through the proxy. */
async function onBoth(run: (address: WireTraceOptions) => Promise<string>): Promise<void> {
  const expected = await run(direct);
  expect(expected).toMatch(/^closed with/);
  expect(await run(proxied)).toBe(expected);
}

/** Ends the backend whose last statement has this in it. */
async function kill(marker: string): Promise<void> {
  await eventually(async () => {
    const rows = await cluster.primary.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE query LIKE '%${marker}' AND pid <> pg_backend_pid()`,
    );
    return rows.length > 0;
  }, `the backend of ${marker} is there`);
}

const ended = (session: WireTrace) => eventually(() => session.isClosed, 'the session has ended');

describe('a session that keeps its server connection ends as its backend does', () => {
  test('killed while idle', async () => {
    await onBoth(async (address) => {
      const session = await WireTrace.open(address);
      await ask(session, 'CREATE TEMP TABLE kept (a int) -- idle');
      await kill('-- idle');
      await ended(session);
      return end(session, session.takeLines());
    });
  });

  test('killed while it runs a statement', async () => {
    await onBoth(async (address) => {
      const session = await WireTrace.open(address);
      await ask(session, 'CREATE TEMP TABLE kept (a int)');
      const running = ask(session, 'INSERT INTO kept SELECT 1 FROM pg_sleep(60) -- running');
      await kill('-- running');
      const lines = await running;
      await ended(session);
      return end(session, [...lines, ...session.takeLines()]);
    });
  });
});

describe('time-outs that a session asks for end it as they do in PostgreSQL', () => {
  test.each([
    ['idle_in_transaction_session_timeout', "SELECT 'in a transaction'"],
    ['transaction_timeout', 'INSERT INTO t VALUES (1)'],
    ['transaction_timeout', 'INSERT INTO t SELECT 1 FROM pg_sleep(60)'],
  ])('%s behind %s', async (name, statement) => {
    await onBoth(async (address) => {
      const session = await WireTrace.open(address);
      await ask(session, `SET ${name} = '100ms'`);
      await ask(session, 'BEGIN');
      const lines = await ask(session, statement);
      await ended(session);
      return end(session, [...lines, ...session.takeLines()]);
    });
  });
});

describe('a login that PostgreSQL refuses is refused at once, in its words', () => {
  test.each<[string, Partial<WireTraceOptions>]>([
    ['no such database', { database: 'missing' }],
    ['no such role', { user: 'missing' }],
    ['role without LOGIN', { user: 'nologin_role' }],
    ['connection limit of the role', { user: 'limited' }],
    ['connection limit of the database', { database: 'full_database', user: 'somebody' }],
    ['database without connections', { database: 'closed' }],
    ['setting with a bad value', { params: { work_mem: 'lots' } }],
    ['setting that is not there', { params: { no_such_setting: '1' } }],
  ])('%s', async (_, over) => {
    const lines: string[][] = [];
    for (const address of [direct, proxied]) {
      const session = await WireTrace.open({ ...address, ...over });
      lines.push(session.takeLines());
      expect(session.isClosed).toBe(true);
    }
    expect(lines[1]).toEqual(lines[0]);
  });
});
