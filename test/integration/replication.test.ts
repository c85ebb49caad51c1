import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { eventually, startTestProxy, type TestProxy } from '../support/proxy.ts';
import { WireTrace } from '../support/wire-trace.ts';
import { q } from './differential/script.ts';

let cluster: TestCluster;
let proxy: TestProxy;

beforeAll(async () => {
  const hba = ['host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust'];
  cluster = await startTestCluster({ replicas: 1, hba, settings: { wal_level: 'logical' } });
  proxy = await startTestProxy(cluster, { auth: 'trust' });
});

afterAll(async () => {
  await proxy?.stop();
  await cluster?.stop();
});

const connect = (replication: string, params: Record<string, string> = {}, minor = 0) =>
  WireTrace.open({
    host: proxy.host,
    port: proxy.port,
    user: cluster.user,
    database: cluster.database,
    minor,
    params: { replication, ...params },
  });

/** Runs one command to its ReadyForQuery. */
const run = (session: WireTrace, command: string) => session.run(q(command).bytes, 'Z');

test('a physical replication connection is one to the primary', async () => {
  const session = await connect('true', { application_name: 'backup' });
  expect(await run(session, 'IDENTIFY_SYSTEM')).toContainEqual(
    expect.stringMatching(/^DataRow "\d+" \| "1" \| "[0-9A-F]+\/[0-9A-F]+" \| NULL$/),
  );
  expect(await run(session, 'SHOW wal_level')).toContain('DataRow "logical"');
  const found = await cluster.nodes[0]!.query(
    "SELECT 1 FROM pg_stat_activity WHERE application_name = 'backup' AND backend_type = 'walsender'",
  );
  expect(found).toHaveLength(1);
  await session.close();
});

test('a logical one runs SQL, streams changes, and ends with its client', async () => {
  const primary = cluster.nodes[0]!;
  await primary.query('CREATE TABLE changes (n int)');
  const session = await connect('database');
  expect(await run(session, 'SELECT 42 AS answer')).toContain('DataRow "42"');
  await run(session, 'CREATE_REPLICATION_SLOT s TEMPORARY LOGICAL test_decoding');
  expect(
    await primary.query("SELECT 1 FROM pg_replication_slots WHERE slot_name = 's'"),
  ).toHaveLength(1);
  const streaming = session.run(q('START_REPLICATION SLOT s LOGICAL 0/0').bytes, 'Wd');
  await primary.query('INSERT INTO changes VALUES (7)');
  expect(await streaming).toContainEqual(expect.stringContaining('CopyBothResponse'));
  await session.close();
  await eventually(
    async () =>
      (await primary.query("SELECT 1 FROM pg_replication_slots WHERE slot_name = 's'")).length ===
      0,
    'the temporary slot has gone',
  );
});

test('its cancel key cancels what it runs', async () => {
  for (const minor of [0, 2]) {
    const session = await connect('database', {}, minor);
    const answer = run(session, `SELECT pg_sleep(60) -- replicating ${minor}`);
    await eventually(
      async () =>
        (
          await cluster.nodes[0]!.query(
            `SELECT 1 FROM pg_stat_activity WHERE query LIKE '%replicating ${minor}' AND state = 'active' AND pid <> pg_backend_pid()`,
          )
        ).length > 0,
      'it runs',
    );
    await session.cancel();
    expect(await answer).toContainEqual(expect.stringContaining('C:57014'));
    await session.close();
  }
});

test('what the server refuses is refused in its words', async () => {
  await cluster.nodes[0]!.query('CREATE ROLE plain LOGIN');
  const session = await WireTrace.open({
    host: proxy.host,
    port: proxy.port,
    user: 'plain',
    database: cluster.database,
    params: { replication: 'true' },
  });
  expect(session.takeLines()).toContainEqual(expect.stringMatching(/V:FATAL C:42501/));
});

test('it ends when the proxy does', async () => {
  const own = await startTestProxy(cluster, { auth: 'trust' });
  const session = await WireTrace.open({
    host: own.host,
    port: own.port,
    user: cluster.user,
    database: cluster.database,
    params: { replication: 'database' },
  });
  await own.stop();
  await eventually(() => session.isClosed, 'the client is told');
});
