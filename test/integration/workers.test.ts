import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cancelRequest } from '../../src/protocol/frontend.ts';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { Program } from '../support/program.ts';
import { eventually } from '../support/proxy.ts';
import { metric, option, route, whilePaused } from '../support/sessions.ts';

const workers = 2;
const poolSize = 12;

let cluster: TestCluster;
let folder: string;
let running: Program;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-workers-'));
  cluster = await startTestCluster({ replicas: 1 });
  running = await start();
});

afterAll(async () => {
  await running?.end('SIGKILL');
  await cluster?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function configFile(listen = '127.0.0.1:0'): Promise<string> {
  const file = join(folder, `${randomBytes(4).toString('hex')}.yaml`);
  const nodes = cluster.nodes.map((node) => `  - { name: ${node.name}, url: "${node.url()}" }\n`);
  await writeFile(
    file,
    `listen: ${listen}\nhttp: 127.0.0.1:0\nworkers: ${workers}\npool: { size: ${poolSize} }\nnodes:\n${nodes.join('')}`,
  );
  return file;
}

async function start(): Promise<Program> {
  const program = new Program(await configFile());
  await program.ready();
  return program;
}

interface Key {
  readonly processID: number;
  readonly secretKey: number;
}

/** The cancel key that the client was given at login. */
const keyOf = (client: pg.Client) => client as unknown as Key;
const workerOf = (client: pg.Client) => keyOf(client).processID % workers;

async function connected(
  config: pg.ClientConfig & { readonly program?: Program } = {},
): Promise<pg.Client> {
  const { program = running, ...rest } = config;
  const { hostname: host, port, username: user, pathname } = new URL(program.databaseUrl);
  const client = new pg.Client({
    host,
    port: Number(port),
    user,
    password: cluster.password,
    database: pathname.slice(1),
    ...rest,
  });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** One client of each worker, by its number. */
async function oneOfEach(config: Parameters<typeof connected>[0] = {}): Promise<pg.Client[]> {
  const found: pg.Client[] = [];
  while (found.filter(Boolean).length < workers) {
    const client = await connected(config);
    const worker = workerOf(client);
    if (found[worker] === undefined) found[worker] = client;
    else await client.end();
  }
  return found;
}

const endAll = (clients: readonly pg.Client[]) =>
  Promise.all(clients.map((client) => client.end().catch(() => {})));

async function value(client: pg.Client, text: string, values: unknown[] = []): Promise<unknown> {
  const { rows } = await client.query({ text, values, rowMode: 'array' });
  return rows[0]?.[0];
}

/** The worker processes of the program. */
function childrenOf({ pid }: Program): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .split(' ')
    .filter((word) => word !== '')
    .map(Number)
    .filter((child) => readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('worker-main'));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Asks on a connection of its own, which any worker may get; resolves when that is closed. */
async function cancel({ processID, secretKey }: Key): Promise<void> {
  const secret = Buffer.alloc(4);
  secret.writeInt32BE(secretKey);
  const url = new URL(running.databaseUrl);
  const socket = connect({ host: url.hostname, port: Number(url.port) });
  socket.on('error', () => {});
  socket.resume();
  socket.write(cancelRequest(processID, secret));
  await once(socket, 'close');
}

/** A query that ends only when it is cancelled. */
class Sleeper {
  readonly client: pg.Client;
  outcome: string | null = null;

  constructor(client: pg.Client) {
    this.client = client;
    client.query("SELECT pg_sleep(600) /* 'sleeper' */").then(
      () => {
        this.outcome = 'slept';
      },
      (error) => {
        this.outcome = error.code;
      },
    );
  }
}

async function sleeping(clients: readonly pg.Client[]): Promise<Sleeper[]> {
  const sleepers = clients.map((client) => new Sleeper(client));
  await eventually(async () => {
    const counts = cluster.nodes.map(async (node) => {
      const [row] = await node.query(
        "SELECT count(*)::int AS n FROM pg_stat_activity WHERE query LIKE '%''sleeper''%' AND state = 'active' AND pid <> pg_backend_pid()",
      );
      return row.n as number;
    });
    const [first = 0, second = 0] = await Promise.all(counts);
    return first + second === clients.length;
  }, 'all of them sleep');
  return sleepers;
}

describe('clients', () => {
  test('are spread evenly over the workers, and all are served', async () => {
    const clients = await Promise.all(Array.from({ length: 40 }, () => connected()));
    const pids = clients.map((client) => keyOf(client).processID);
    expect(new Set(pids).size).toBe(pids.length);
    for (let worker = 0; worker < workers; worker++) {
      expect(clients.filter((client) => workerOf(client) === worker).length).toBe(20);
    }
    const answers = await Promise.all(
      clients.map((client, i) => value(client, 'SELECT $1::int', [i])),
    );
    expect(answers).toEqual(clients.map((_, i) => i));
    await endAll(clients);
  });

  test('are counted together, as is what they do', async () => {
    const clients = await oneOfEach();
    const before = await metric(running, 'tidemark_requests_total');
    for (const client of clients) for (let i = 0; i < 5; i++) await value(client, 'SELECT 1');
    expect(await metric(running, 'tidemark_requests_total')).toBe(before + workers * 5);
    expect(await metric(running, 'tidemark_workers')).toBe(workers);
    await eventually(
      async () => (await metric(running, 'tidemark_clients')) === workers,
      'those that left are not counted any more',
    );
    expect(await metric(running, 'tidemark_build_info')).toBe(1);
    const roles = cluster.nodes.length;
    expect(await metric(running, 'tidemark_node_role')).toBe(roles);
    await endAll(clients);
  });

  test('new clients go to the worker that others have left', async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => connected()));
    const left = workerOf(clients[0]!);
    const leaving = clients.filter((client) => workerOf(client) === left);
    await endAll(leaving);
    // It takes a moment until that is known.
    await eventually(async () => {
      const client = await connected();
      await client.end();
      return workerOf(client) === left;
    }, 'a client goes there');
    const coming: pg.Client[] = [];
    while (coming.length < leaving.length - 2) coming.push(await connected());
    expect(coming.map(workerOf)).toEqual(coming.map(() => left));
    await endAll([...clients, ...coming]);
  });

  test('read what any of them has written, at the level global', async () => {
    const perPair = 250;
    await cluster.primary.query('CREATE TABLE written (pair int PRIMARY KEY, n int)');
    const stale: string[] = [];
    let onReplica = 0;
    const pair = async (number: number) => {
      const both = await oneOfEach(option('consistency', 'global'));
      const [writer, reader] = number % 2 === 0 ? both : both.toReversed();
      await writer!.query('INSERT INTO written VALUES ($1, 0)', [number]);
      for (let n = 1; n <= perPair; n++) {
        await writer!.query('UPDATE written SET n = $2 WHERE pair = $1', [number, n]);
        const seen = await value(reader!, 'SELECT n FROM written WHERE pair = $1', [number]);
        if (seen !== n) stale.push(`${String(seen)} for ${n}`);
        if (n % 20 === 0 && (await route(reader!)).role === 'replica') onReplica += 1;
      }
      await endAll(both);
    };
    await Promise.all(Array.from({ length: 8 }, (_, number) => pair(number)));
    expect(stale).toEqual([]);
    expect(onReplica).toBeGreaterThan(0);
  });

  test('do so also while the replica is behind, and within its lag budget', async () => {
    const both = await oneOfEach(option('consistency', 'global'));
    await both[0]!.query('CREATE TABLE behind AS SELECT 0 AS n');
    for (const client of both) {
      await eventually(async () => {
        await client.query('SELECT n FROM behind');
        return (await route(client)).role === 'replica';
      }, 'the table is known, and read from the replica');
    }
    await whilePaused(cluster, async () => {
      for (const [worker, writer] of both.entries()) {
        const reader = both[1 - worker]!;
        await writer.query('UPDATE behind SET n = $1', [worker + 1]);
        expect(await value(reader, 'SELECT n FROM behind')).toBe(worker + 1);
      }
    });
    await endAll(both);
  });

  test('get no more server connections together than the configuration says', async () => {
    const clients = await Promise.all(Array.from({ length: 40 }, () => connected()));
    let isOver = false;
    const load = clients.map(async (client) => {
      while (!isOver) await client.query('SELECT pg_sleep(0.01), txid_current()');
    });
    const counts: number[] = [];
    try {
      // More than the share of one worker: both are at it.
      await eventually(async () => {
        const [row] = await cluster.primary.query(
          "SELECT count(*)::int AS n FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name = ''",
        );
        counts.push(row.n);
        return counts.length > 50 && Math.max(...counts) > poolSize / workers;
      }, 'both workers have server connections');
    } finally {
      isOver = true;
      await Promise.all(load);
    }
    expect(Math.max(...counts)).toBeLessThanOrEqual(poolSize);
    await endAll(clients);
  });
});

describe('what is meant for a session of another worker', () => {
  test('a cancel request ends its query and no other, whichever worker gets it', async () => {
    const clients: pg.Client[] = [];
    for (let i = 0; i < 4; i++) clients.push(...(await oneOfEach()));
    const sleepers = await sleeping(clients);
    for (const [index, sleeper] of sleepers.entries()) {
      const { processID, secretKey } = keyOf(sleeper.client);
      await cancel({ processID, secretKey: secretKey ^ 1 });
      await cancel({ processID, secretKey });
      await eventually(() => sleeper.outcome !== null, 'the query ends');
      expect(sleepers.map(({ outcome }) => outcome)).toEqual(
        sleepers.map((_, at) => (at <= index ? '57014' : null)),
      );
    }
    for (const client of clients) expect(await value(client, 'SELECT 1')).toBe(1);
    await endAll(clients);
  });

  test.each([0, 1])(
    'pg_cancel_backend() and pg_terminate_backend() from worker %i',
    async (from) => {
      const both = await oneOfEach();
      const [client, other] = [both[from]!, both[1 - from]!];
      const [sleeper] = await sleeping([other]);
      const { processID } = keyOf(other);
      expect(await value(client, `SELECT pg_cancel_backend(${processID})`)).toBe(true);
      await eventually(() => sleeper!.outcome !== null, 'the query ends');
      expect(sleeper!.outcome).toBe('57014');
      const ended = new Promise<void>((resolve) => other.on('end', resolve));
      expect(await value(client, 'SELECT pg_terminate_backend($1)', [processID])).toBe(true);
      await ended;
      // Nobody has that number any more, which the server says.
      const notices: string[] = [];
      client.on('notice', ({ message }) => notices.push(message ?? ''));
      expect(await value(client, `SELECT pg_terminate_backend(${processID})`)).toBe(false);
      expect(notices).toEqual([expect.stringContaining(`${processID}`)]);
      await endAll(both);
    },
  );

  test('NOTIFY reaches who listens there', async () => {
    const both = await oneOfEach();
    const heard: string[] = [];
    for (const [worker, client] of both.entries()) {
      client.on('notification', ({ payload }) => heard.push(`${worker} ${payload}`));
      await client.query('LISTEN news');
    }
    for (const [worker, client] of both.entries()) await client.query(`NOTIFY news, '${worker}'`);
    await eventually(() => heard.length === 4, 'both have heard both');
    expect(heard.sort()).toEqual(['0 0', '0 1', '1 0', '1 1']);
    await endAll(both);
  });

  test('changes of the catalog are noticed before the next look at it', async () => {
    const [here, there] = (await oneOfEach()) as [pg.Client, pg.Client];
    await here.query('CREATE FUNCTION looks() RETURNS int STABLE LANGUAGE sql AS $$ SELECT 1 $$');
    await here.query('CREATE TABLE grown (a int)');
    // The catalog is looked at every minute, and for unknown names; neither is of use below.
    const limitMs = 20_000;
    const roleOf = async (client: pg.Client) => {
      await client.query('SELECT looks()');
      return (await route(client)).role;
    };
    await eventually(async () => (await roleOf(there)) === 'replica', 'a read', limitMs);
    const text = 'SELECT * FROM grown';
    await there.query({ name: 'before', text });
    await here.query('ALTER FUNCTION looks() VOLATILE');
    await here.query('ALTER TABLE grown ADD b int');
    await eventually(async () => (await roleOf(there)) === 'primary', 'no read', limitMs);
    const { fields } = await there.query({ name: 'after', text });
    expect(fields.map(({ name }) => name)).toEqual(['a', 'b']);
    await endAll([here, there]);
  });

  test('connections that are kept to a database do not keep it from being dropped', async () => {
    const [here] = (await oneOfEach()) as [pg.Client];
    await here.query('CREATE DATABASE passing');
    const visitors = await oneOfEach({ database: 'passing' });
    for (const visitor of visitors) await visitor.query('SELECT txid_current()');
    await endAll(visitors);
    await here.query('DROP DATABASE passing');
    await here.end();
  });
});

describe('the processes', () => {
  test('a worker that is killed is replaced, and no client of another notices', async () => {
    const before = childrenOf(running);
    expect(before).toHaveLength(workers);
    const clients = await oneOfEach();
    const lost: pg.Client[] = [];
    for (const client of clients) client.on('end', () => lost.push(client));
    for (const client of clients) await value(client, 'SELECT 1');
    const counted = await metric(running, 'tidemark_requests_total');
    process.kill(before[0]!, 'SIGKILL');
    await eventually(() => lost.length > 0, 'its client is cut off');
    const left = clients.find((client) => !lost.includes(client))!;
    for (let i = 0; i < 100; i++) expect(await value(left, 'SELECT $1::int', [i])).toBe(i);
    await eventually(() => childrenOf(running).length === workers, 'another is started');
    const after = childrenOf(running);
    expect(after).toContain(before[1]);
    expect(after).not.toContain(before[0]);
    const again = await oneOfEach();
    for (const client of again) expect(await value(client, 'SELECT 1')).toBe(1);
    expect(lost).toHaveLength(1);
    expect(await metric(running, 'tidemark_worker_crashes_total')).toBe(1);
    expect(await metric(running, 'tidemark_workers')).toBe(workers);
    // What the one that is gone has counted stays: totals never fall.
    expect(await metric(running, 'tidemark_requests_total')).toBe(counted + 100 + workers);
    expect((await fetch(`${running.httpUrl}/readyz`)).status).toBe(200);
    expect(running.output).toContain('"msg":"worker ended, another is started"');
    await endAll([...again, left]);
  });

  test('SIGTERM lets transactions end, and leaves no process', async () => {
    const program = await start();
    const children = childrenOf(program);
    const clients = await oneOfEach({ program });
    for (const client of clients) {
      await client.query('BEGIN');
      await client.query('SELECT txid_current()');
    }
    const ended = program.end('SIGTERM');
    await eventually(async () => {
      const response = await fetch(`${program.httpUrl}/readyz`);
      return response.status === 503;
    }, 'it says that it drains');
    for (const client of clients) expect((await client.query('COMMIT')).command).toBe('COMMIT');
    expect(await ended).toBe(0);
    expect(children.filter(isAlive)).toEqual([]);
    await endAll(clients);
  });

  test('say once what they say at the start', async () => {
    expect(running.output.match(/looking at the nodes/g)).toHaveLength(1);
    expect(running.output.match(/Tidemark is ready/g)).toHaveLength(1);
  });

  test('end with a clear word when they cannot listen', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    const program = new Program(await configFile(`127.0.0.1:${port}`));
    expect(await program.ended()).toBe(1);
    expect(program.output).toContain(
      `tidemark: cannot listen on 127.0.0.1:${port}: another program does`,
    );
    taken.close();
  });

  test('none is left when the first one is killed', async () => {
    const children = childrenOf(running);
    expect(children).toHaveLength(workers);
    await running.end('SIGKILL');
    await eventually(() => !children.some(isAlive), 'the workers end');
  });
});
