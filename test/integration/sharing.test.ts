import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import {
  eventually,
  startTestProxy,
  type TestProxy,
  type TestProxyOptions,
} from '../support/proxy.ts';

/** Its argument decides whether it takes no time or minutes, or what it returns. */
const counting = 'SELECT count(*)::int AS n FROM generate_series(1, $1::int8)';
const forMinutes = 20_000_000_000;
const repeating = "SELECT repeat('x', $1) AS long";

let cluster: TestCluster;
let proxy: TestProxy;
let clients: pg.Client[] = [];

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 1 });
  await cluster.primary.query('CREATE TABLE items (id int PRIMARY KEY, name text)');
  await cluster.primary.query(
    "INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, 99) i",
  );
  await cluster.waitForCatchup();
});

afterEach(async () => {
  await Promise.all(clients.map((client) => client.end()));
  clients = [];
  await proxy.stop();
});

afterAll(() => cluster?.stop());

async function start(
  pool: NonNullable<TestProxyOptions['pool']>,
  count: number,
): Promise<pg.Client[]> {
  const freshness = { waitTimeoutMs: 10_000 };
  proxy = await startTestProxy(cluster, { pool, freshness });
  clients = await Promise.all(Array.from({ length: count }, () => proxy.client()));
  return clients;
}

async function counter(name: string): Promise<number> {
  const text = await (await fetch(`${proxy.httpUrl}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)![1]);
}
const shared = () => counter('tidemark_shared_reads_total');
const displaced = () => counter('tidemark_displaced_reads_total');

async function value(client: pg.Client, text: string, values: unknown[] = []): Promise<unknown> {
  const { rows } = await client.query({ text, values, rowMode: 'array' });
  return rows[0]?.[0];
}

/** Until the proxy knows how short it is: then clients that ask at once share a connection. */
async function warmUp(text: string, values: unknown[]): Promise<void> {
  const before = await shared();
  await eventually(async () => {
    await Promise.all(clients.map((client) => client.query(text, values)));
    return (await shared()) > before;
  }, 'reads share a connection');
}

/** What has become of a query while another was waited for. */
interface Watched {
  isOver: boolean;
  readonly outcome: Promise<unknown>;
}

function watched(promise: Promise<unknown>): Watched {
  const state = {
    isOver: false,
    outcome: promise.catch(({ code }: { code: string }) => ({ code })),
  };
  void state.outcome.then(() => {
    state.isOver = true;
  });
  return state;
}

const cancel = (client: pg.Client) => {
  const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
  return new Promise<void>((resolve, reject) => {
    const other = new (client.constructor as typeof pg.Client)({
      host: proxy.host,
      port: proxy.port,
    }) as unknown as {
      connection: {
        connect(port: number, host: string): void;
        on(event: string, listener: (...args: never[]) => void): void;
        cancel(pid: number, secret: number): void;
      };
    };
    other.connection.on('connect', () => other.connection.cancel(processID, secretKey));
    other.connection.on('end', resolve);
    other.connection.on('error', reject);
    other.connection.connect(proxy.port, proxy.host);
  });
};

/** A cancel request that comes before its query is for nothing, as with PostgreSQL. */
async function untilCancelled(client: pg.Client, long: Watched): Promise<void> {
  await eventually(async () => {
    await cancel(client);
    return long.isOver;
  }, 'the query is cancelled');
  expect(await long.outcome).toEqual({ code: '57014' });
}

describe('short reads of many sessions on one server connection', () => {
  test.each([
    [
      'simple',
      (client: pg.Client, id: number) => value(client, `SELECT name FROM items WHERE id = ${id}`),
    ],
    [
      'extended',
      (client: pg.Client, id: number) =>
        value(client, 'SELECT name FROM items WHERE id = $1', [id]),
    ],
    [
      'prepared',
      async (client: pg.Client, id: number) =>
        (
          await client.query({
            name: 'by id',
            text: 'SELECT name FROM items WHERE id = $1',
            values: [id],
          })
        ).rows[0].name,
    ],
  ] as const)('%s: everybody gets the own answer', async (_, ask) => {
    await start({ size: 1 }, 30);
    for (let round = 0; round < 10; round++) {
      const ids = clients.map((__, index) => ((index * 7 + round) % 99) + 1);
      const names = await Promise.all(clients.map((client, index) => ask(client, ids[index]!)));
      expect(names).toEqual(ids.map((id) => `item ${id}`));
    }
    expect(await shared()).toBeGreaterThan(30);
  });

  test('fail each by itself', async () => {
    await start({ size: 1 }, 20);
    await warmUp('SELECT 12 / $1::int', [1]);
    for (let round = 0; round < 5; round++) {
      const outcomes = await Promise.all(
        clients.map((client, index) =>
          value(client, 'SELECT 12 / $1::int', [index % 3]).catch(({ code }) => code),
        ),
      );
      expect(outcomes).toEqual(clients.map((__, index) => ['22012', 12, 6][index % 3]));
    }
    expect(await shared()).toBeGreaterThan(20);
  });

  test('run with the settings of their sessions', async () => {
    await start({ size: 2 }, 12);
    const zones = ['Asia/Tokyo', 'Europe/Berlin', 'UTC'];
    for (const [index, client] of clients.entries()) {
      await client.query(`SET TimeZone TO '${zones[index % 3]}'`);
    }
    for (let round = 0; round < 20; round++) {
      const told = await Promise.all(
        clients.map((client) => value(client, "SELECT current_setting('TimeZone')")),
      );
      expect(told).toEqual(clients.map((_, index) => zones[index % 3]));
    }
    expect(await shared()).toBeGreaterThan(0);
  });

  test('leave room for who wants a connection of his own', async () => {
    await start({ size: 1 }, 10);
    await warmUp('SELECT 1 + $1::int', [1]);
    let isDone = false;
    const readers = clients.slice(1).map(async (client) => {
      while (!isDone) await client.query('SELECT 1 + $1::int', [1]);
    });
    // On the replica, like the reads, and not short.
    for (let round = 0; round < 5; round++) {
      await clients[0]!.query('BEGIN READ ONLY');
      expect(await value(clients[0]!, 'SELECT count(*)::int FROM items')).toBe(99);
      await clients[0]!.query('COMMIT');
    }
    isDone = true;
    await Promise.all(readers);
    expect(await shared()).toBeGreaterThan(0);
  });

  test('are not shared where that is switched off', async () => {
    await start({ size: 1, sharing: false }, 10);
    for (let round = 0; round < 10; round++) {
      await Promise.all(clients.map((client) => client.query('SELECT 1')));
    }
    expect(await shared()).toBe(0);
  });

  test('say where they went', async () => {
    await start({ size: 1 }, 2);
    await warmUp('SELECT name FROM items WHERE id = $1', [1]);
    const { rows } = await clients[0]!.query('SHOW tidemark.route');
    expect(rows[0]).toMatchObject({ role: 'replica', reason: 'read' });
  });
});

describe('a read that turns out to take long', () => {
  test('holds up nobody behind it', async () => {
    const [slow, ...others] = await start({ size: 3 }, 4);
    await warmUp(counting, [1]);
    const long = watched(slow!.query(counting, [forMinutes]));
    // In the same turn: they are behind it on its connection.
    const answers = await Promise.all(others.map((client) => value(client, counting, [5])));
    expect(answers).toEqual([5, 5, 5]);
    expect(long.isOver).toBe(false);
    expect(await displaced()).toBeGreaterThan(0);
    await untilCancelled(slow!, long);
    expect(await value(slow!, counting, [3])).toBe(3);
  });

  test('is cancelled alone', async () => {
    const [slow, other] = await start({ size: 2 }, 2);
    await warmUp(counting, [1]);
    for (let round = 0; round < 5; round++) {
      const long = watched(slow!.query(counting, [forMinutes]));
      const short = value(other!, counting, [5]);
      await untilCancelled(slow!, long);
      expect(await short).toBe(5);
    }
  });

  test('goes on when one behind it is cancelled', async () => {
    const [slow, other] = await start({ size: 1 }, 2);
    await warmUp(counting, [1]);
    const long = watched(slow!.query(counting, [forMinutes]));
    const behind = value(other!, counting, [5]).catch(({ code }) => code);
    await cancel(other!);
    expect(await behind).toBe('57014');
    expect(long.isOver).toBe(false);
    await untilCancelled(slow!, long);
    expect(await value(other!, counting, [6])).toBe(6);
  });

  test('by its bytes and a client that does not read them holds up nobody either', async () => {
    const [slow, other] = await start({ size: 2 }, 2);
    await warmUp(repeating, [1]);
    const { stream } = (slow as unknown as { connection: { stream: import('node:net').Socket } })
      .connection;
    const long = slow!.query(repeating, [200_000_000]);
    stream.pause();
    expect(await value(other!, repeating, [3])).toBe('xxx');
    stream.resume();
    expect((await long).rows[0].long.length).toBe(200_000_000);
  });
});

describe('a server connection that goes away', () => {
  test('takes no shared read with it', async () => {
    await start({ size: 2 }, 6);
    await warmUp(counting, [1]);
    const long = watched(clients[0]!.query(counting, [forMinutes]));
    const behind = clients.slice(1).map((client) => value(client, counting, [7]));
    await eventually(
      async () =>
        (
          await cluster.replicas[0]!.query(
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE query ~ 'generate_series' AND state = 'active' AND pid <> pg_backend_pid()`,
          )
        ).length > 0,
      'the long read runs and is cut off',
    );
    expect(await Promise.all(behind)).toEqual([7, 7, 7, 7, 7]);
    // Those behind it may have left before, and then it is the only one.
    await eventually(
      async () => (await counter('tidemark_retries_total')) > 0,
      'the long read runs again',
    );
    await untilCancelled(clients[0]!, long);
  });

  test('nor does a client that goes away', async () => {
    await start({ size: 2 }, 4);
    await warmUp(counting, [1]);
    const [first, second, ...rest] = clients;
    first!.query(counting, [2]).catch(() => {});
    second!.query(counting, [3]).catch(() => {});
    const answers = rest.map((client) => value(client, counting, [9]));
    for (const leaving of [first!, second!]) {
      (
        leaving as unknown as { connection: { stream: import('node:net').Socket } }
      ).connection.stream.destroy();
    }
    expect(await Promise.all(answers)).toEqual([9, 9]);
    clients = rest;
    for (let round = 0; round < 3; round++) expect(await value(rest[0]!, counting, [4])).toBe(4);
  });
});
