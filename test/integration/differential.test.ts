import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { eventually, startTestProxy, type TestProxy } from '../support/proxy.ts';
import { WireTrace, type WireTraceOptions } from '../support/wire-trace.ts';
import { Comparison, trustEverybody } from './differential/comparison.ts';
import { copyScripts } from './differential/copy-scripts.ts';
import { extendedScripts } from './differential/extended-scripts.ts';
import { loginScripts } from './differential/login-scripts.ts';
import { pipelineScripts } from './differential/pipeline-scripts.ts';
import { B, CS, E, H, P, q, S, type Script } from './differential/script.ts';
import { sessionObjectScripts } from './differential/session-object-scripts.ts';
import { settingScripts } from './differential/setting-scripts.ts';
import { simpleScripts } from './differential/simple-scripts.ts';
import { transactionScripts } from './differential/transaction-scripts.ts';

/** What the proxy says differently, and why that is right. */
const knownDifferences: ReadonlyMap<string, string> = new Map([
  [
    'statement of changed table',
    'Prepared again on another server connection, the statement is planned for the new columns.',
  ],
  [
    'statement of a table that goes',
    'Prepared again on another server connection, it fails there before its parameters are known.',
  ],
  [
    'a query while copying',
    'Both end the connection with the same SQLSTATE; the server says so in two messages.',
  ],
  [
    'chain after a failure',
    'PostgreSQL forgets READ ONLY in a failed transaction; on a replica there is nothing else.',
  ],
  ['bad options', 'The same SQLSTATE; the proxy says which options it takes.'],
  ['bad long option', 'The same SQLSTATE; the proxy says which options it takes.'],
  [
    'role defaults that change',
    'New sessions begin with them, on new server connections, which older sessions get as well.',
  ],
  ['role', 'RESET ROLE is the login role to the server, which reports is_superuser in between.'],
]);

/** They must not become more without anybody noticing that they are none any more. */
async function expectDifference(script: Script): Promise<void> {
  let differs = false;
  for await (const { byPrimary, byProxy } of comparison.compare(script)) {
    differs ||= !isDeepStrictEqual(byPrimary, byProxy);
  }
  expect(differs).toBe(true);
}

let cluster: TestCluster;
let comparison: Comparison;

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 2, hba: trustEverybody });
  comparison = await Comparison.start(cluster);
});

afterAll(async () => {
  await comparison?.stop();
  await cluster?.stop();
});

describe.each([
  ['simple queries', simpleScripts],
  ['extended queries', extendedScripts],
  ['portals, errors and pipelines', pipelineScripts],
  ['copy', copyScripts],
  ['transactions', transactionScripts],
  ['settings', settingScripts],
  ['roles and startup parameters', loginScripts],
  ['session objects', sessionObjectScripts],
] as const)('%s answered as by the primary', (_, scripts) => {
  test.each(scripts.map((script) => [script.name, script] as const))('%s', async (name, script) => {
    if (knownDifferences.has(name)) return expectDifference(script);
    for await (const { how, byPrimary, byProxy } of comparison.compare(script)) {
      expect(byProxy, how).toEqual(byPrimary);
    }
  });
});

test('the others hold a server connection of every node, and no snapshot', async () => {
  await comparison.letOthersWork();
  for (const node of cluster.nodes) {
    // With a snapshot a replica would wait for them (max_standby_streaming_delay).
    const held = await node.query(
      `SELECT backend_xmin FROM pg_stat_activity
       WHERE application_name = 'somebody else' AND state = 'idle in transaction'`,
    );
    expect(held).toEqual([{ backend_xmin: null }]);
  }
});

describe('two sessions on one server connection', () => {
  let narrow: TestProxy;
  let sessions: WireTrace[];

  beforeAll(async () => {
    await comparison.startOver();
    narrow = await startTestProxy(cluster, { auth: 'trust', pool: { size: 1 } });
    const { user, database } = cluster;
    const address = { host: narrow.host, port: narrow.port, user, database };
    sessions = [
      await WireTrace.open({
        ...address,
        params: { application_name: 'left', TimeZone: 'Asia/Tokyo' },
      }),
      await WireTrace.open({ ...address, params: { application_name: 'right' } }),
    ];
  });

  afterAll(async () => {
    for (const session of sessions ?? []) await session.close();
    await narrow?.stop();
  });

  async function rows(session: WireTrace, sql: string): Promise<string[]> {
    const { bytes, until } = q(sql);
    const lines = await session.run(bytes, until);
    return lines.filter((line) => line.startsWith('DataRow')).map((line) => line.slice(8));
  }

  test("never see each other's settings", async () => {
    const [left, right] = sessions as [WireTrace, WireTrace];
    await rows(left, 'SET search_path TO pg_catalog');
    await rows(left, "SET work_mem TO '5MB'");
    await rows(right, 'SET ROLE reader');
    const shown = `SELECT current_setting('application_name'), current_setting('search_path'),
      current_setting('timezone'), current_setting('work_mem'), current_user`;
    for (let round = 0; round < 10; round++) {
      expect(await rows(left, shown)).toEqual([
        '"left" | "pg_catalog" | "Asia/Tokyo" | "5MB" | "postgres"',
      ]);
      expect(await rows(right, shown)).toEqual([
        '"right" | "\\"$user\\", public" | "Etc/UTC" | "4MB" | "reader"',
      ]);
    }
  });

  test('never see that the other only reads', async () => {
    const [left, right] = sessions as [WireTrace, WireTrace];
    for (const session of [left, right]) await rows(session, 'DISCARD ALL');
    const write =
      "INSERT INTO t VALUES (910, 'x') ON CONFLICT (id) DO UPDATE SET v = 'y' RETURNING id";
    for (const set of [
      'SET default_transaction_read_only TO on',
      'SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY',
      "SELECT set_config('default_transaction_read_only', 'on', false)",
      'BEGIN; SET default_transaction_read_only TO on; COMMIT',
    ]) {
      await rows(left, set);
      for (let round = 0; round < 3; round++) {
        const refused = await left.run(q(write).bytes, 'Z');
        expect(refused, set).toContainEqual(expect.stringContaining('C:25006'));
        expect(await rows(right, write)).toEqual(['"910"']);
      }
      await rows(left, 'RESET default_transaction_read_only');
      expect(await rows(left, write)).toEqual(['"910"']);
    }
    await rows(right, 'DELETE FROM t WHERE id = 910');
  });

  test('never see that the other is SERIALIZABLE, which no replica takes', async () => {
    const { user, database } = cluster;
    const address = { host: narrow.host, port: narrow.port, user, database };
    const options = '-c default_transaction_isolation=serializable';
    const strict = await WireTrace.open({ ...address, params: { options } });
    const other = await WireTrace.open({ ...address, params: { search_path: 'public' } });
    for (let round = 0; round < 10; round++) {
      await rows(strict, 'BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY');
      const port = JSON.parse((await rows(strict, 'SELECT inet_server_port()'))[0]!);
      expect(port).not.toBe(String(cluster.primary.port));
      await rows(strict, 'COMMIT');
      const lines = await other.run(Buffer.concat([CS('missing'), S]), 'Z');
      expect(lines).toEqual(['CloseComplete', 'ReadyForQuery I']);
      expect(await rows(other, 'SELECT 1')).toEqual(['"1"']);
    }
    await strict.close();
    await other.close();
  });

  test("never see each other's statements", async () => {
    for (const [who, session] of sessions.entries()) {
      await session.run(Buffer.concat([P('s', `SELECT ${who}`), S]), 'Z');
    }
    for (let round = 0; round < 10; round++) {
      for (const [who, session] of sessions.entries()) {
        const lines = await session.run(Buffer.concat([B('s'), E(), S]), 'Z');
        expect(lines).toContain(`DataRow "${who}"`);
      }
    }
  });

  test("never see each other's statements behind a Flush", async () => {
    const [left, right] = sessions as [WireTrace, WireTrace];
    await rows(left, "BEGIN; PREPARE made AS SELECT 'left'; COMMIT");
    const executes = (sql: string) => Buffer.concat([P('', sql), B(), E(), H]);
    await right.run(executes('SHOW work_mem'), 'C');
    expect(await right.run(executes('PREPARE made AS SELECT 1'), 'C')).toContain(
      'CommandComplete PREPARE',
    );
    await right.run(S, 'Z');
    expect(await rows(left, 'EXECUTE made')).toEqual(['"left"']);
    expect(await rows(right, 'EXECUTE made')).toEqual(['"1"']);
  });
});

describe('a READ ONLY transaction on a replica', () => {
  const refused = expect.stringContaining('M:this READ ONLY transaction runs on a replica');
  const run = (sql: string) => Buffer.concat([P('', sql), B(), E()]);

  test.each([
    ['by queries', [q('BEGIN READ ONLY'), q('SELECT 1'), q('ANALYZE t')]],
    [
      'in one batch',
      [
        { bytes: Buffer.concat([run('BEGIN READ ONLY'), H]), until: 'C' },
        { bytes: Buffer.concat([run('ANALYZE t'), H]), until: 'E' },
        { bytes: S, until: 'Z' },
      ],
    ],
  ])('says so of what the primary would run, %s', async (_, steps) => {
    const session = await WireTrace.open(comparison.proxyAddress);
    const lines: string[] = [];
    for (const { bytes, until } of steps) lines.push(...(await session.run(bytes, until)));
    expect(lines).toContainEqual(refused);
    await session.close();
  });
});

describe('cancel requests', () => {
  let alone: TestProxy;
  let address: WireTraceOptions;

  beforeAll(async () => {
    alone = await startTestProxy(cluster, { auth: 'trust', pool: { size: 1 } });
    const { user, database } = cluster;
    address = { host: alone.host, port: alone.port, user, database };
  });

  afterAll(async () => {
    await alone?.stop();
  });

  const runs = (marker: string) =>
    eventually(async () => {
      const like = `SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%${marker}'`;
      const found = await Promise.all(cluster.nodes.map((node) => node.query(like)));
      return found.flat().length > 0;
    }, `${marker} runs`);

  const cancelled = expect.stringContaining('C:57014');

  test('with keys of both lengths end the running query, and nothing else', async () => {
    for (const minor of [0, 2]) {
      const session = await WireTrace.open({ ...address, minor });
      expect(session.secret.length).toBe(minor === 0 ? 4 : 32);
      const answer = session.run(q(`SELECT pg_sleep(60) -- sleeper${minor}`).bytes, 'Z');
      await runs(`sleeper${minor}`);
      await session.cancel({ pid: session.pid, secret: Buffer.alloc(session.secret.length) });
      await session.cancel();
      expect(await answer).toContainEqual(cancelled);
      expect(await session.run(q('SELECT 1').bytes, 'Z')).toContain('DataRow "1"');
      await session.close();
    }
  });

  test('reach a query that waits for a server connection', async () => {
    const [holder, waiter] = [await WireTrace.open(address), await WireTrace.open(address)];
    await holder.run(q('BEGIN').bytes, 'Z');
    await holder.run(q("INSERT INTO t VALUES (900, 'x')").bytes, 'Z');
    const answer = waiter.run(q("INSERT INTO t VALUES (901, 'x')").bytes, 'Z');
    await eventually(
      async () => (await metric('tidemark_pool_waiting{')) === 1,
      'the second waits',
    );
    await waiter.cancel();
    expect(await answer).toContainEqual(cancelled);
    await holder.run(q('ROLLBACK').bytes, 'Z');
    expect(await waiter.run(q('SELECT count(*) FROM t WHERE id >= 900').bytes, 'Z')).toContain(
      'DataRow "0"',
    );
    await holder.close();
    await waiter.close();
  });

  async function metric(word: string): Promise<number> {
    const text = await (await fetch(`${alone.httpUrl}/metrics`)).text();
    const values = text
      .split('\n')
      .filter((line) => !line.startsWith('#') && line.includes(word) && line.includes('primary'))
      .map((line) => Number(line.split(' ').at(-1)));
    return Math.max(0, ...values);
  }

  test('that come when the query has ended hit nobody', async () => {
    const [early, late] = [await WireTrace.open(address), await WireTrace.open(address)];
    for (let round = 0; round < 30; round++) {
      await early.run(q('BEGIN; SELECT 1; COMMIT').bytes, 'Z');
      const cancelling = early.cancel();
      const lines = await late.run(
        q("INSERT INTO t VALUES (902, 'x') ON CONFLICT DO NOTHING").bytes,
        'Z',
      );
      expect(lines).not.toContainEqual(cancelled);
      await cancelling;
    }
    await early.close();
    await late.close();
  });

  test('race with the end of the query, and hit nobody else', async () => {
    const [early, late] = [await WireTrace.open(address), await WireTrace.open(address)];
    for (let round = 0; round < 30; round++) {
      const racing = early.run(q('SELECT pg_sleep(0.001), pg_backend_pid()').bytes, 'Z');
      const cancelling = early.cancel();
      const lines = await late.run(q('SELECT count(*), pg_backend_pid() FROM t').bytes, 'Z');
      expect(lines).not.toContainEqual(cancelled);
      await Promise.all([racing, cancelling]);
    }
    await early.close();
    await late.close();
  });
});
