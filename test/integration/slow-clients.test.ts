import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import * as frontend from '../../src/protocol/frontend.ts';
import { Bystander, bystanderUser, expectClean } from '../support/bystander.ts';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/proxy.ts';
import { ProxyProcess } from '../support/proxy-process.ts';
import {
  describeFrames,
  RawClient,
  type RawTarget,
  rawHeader,
  rawMessage,
} from '../support/raw-client.ts';

const { bind, copyData, copyDone, copyFail, execute, flush, parse, query, sync } = frontend;

const mebibyte = 1024 * 1024;
/** Buffers of sockets, messages held whole, and what the garbage collector has not yet taken. */
const growthMax = 96 * mebibyte;
const gigabyteOfRows = "select repeat('x', 1000) from generate_series(1, 1000000)";
const gigabyteOfCopy = `copy (${gigabyteOfRows}) to stdout`;
/** It runs until it is cancelled: how long buffers take to fill is the machine's affair. */
const longStatement = 'select pg_sleep(3600)';

let cluster: TestCluster;
let proxy: ProxyProcess;
let bystander: Bystander;
let there: RawTarget;
let clients: RawClient[] = [];

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 2 });
  proxy = await ProxyProcess.start(cluster, { users: [bystanderUser], pool: { size: 2 } });
  const { user, password, database } = cluster;
  there = { host: proxy.host, port: proxy.port, user, password, database };
  await cluster.primary.query('create table target (n int, t text)');
  bystander = await Bystander.start(cluster, proxy);
});

afterEach(async () => {
  for (const client of clients) client.destroy();
  clients = [];
  await bystander.isServed();
  await expectClean(cluster, proxy);
});

afterAll(async () => {
  await bystander?.stop();
  // Somebody who does not even read why the connection ends.
  const client = await RawClient.logIn(there);
  client.pause();
  client.send(query(gigabyteOfRows));
  expect(await proxy?.stop()).toBe(0);
  client.destroy();
  await cluster?.stop();
});

async function logIn(): Promise<RawClient> {
  const client = await RawClient.logIn(there);
  clients.push(client);
  return client;
}

/** Does it, and watches the proxy's memory while the bystander is served for a while. */
async function expectBounded(what: () => void | Promise<void>): Promise<void> {
  const before = await proxy.residentBytes();
  await what();
  for (let round = 0; round < 10; round++) {
    await bystander.isServed();
    expect((await proxy.residentBytes()) - before).toBeLessThan(growthMax);
  }
}

/** The backend cannot go on because nobody reads. */
async function waitUntilBlocked(): Promise<void> {
  await eventually(async () => {
    for (const node of cluster.nodes) {
      const rows = await node.query(
        "select from pg_stat_activity where wait_event = 'ClientWrite' and state = 'active'",
      );
      if (rows.length > 0) return true;
    }
    return false;
  }, 'a backend waits for its client to read');
}

/** Sends for as long as somebody takes it. */
function flood(client: RawClient, chunk: Buffer, bytesMax: number): void {
  let sent = 0;
  const more = () => {
    while (!client.isClosed && sent < bytesMax) {
      sent += chunk.length;
      if (!client.socket.write(chunk)) return;
    }
  };
  client.socket.on('drain', more);
  more();
}

function repeated(bytes: Buffer, times: number): Buffer {
  return Buffer.concat(Array.from({ length: times }, () => bytes));
}

describe('clients that do not read', () => {
  const asked: Record<string, readonly Buffer[]> = {
    'a Query': [query(gigabyteOfRows)],
    'an Execute': [parse('', gigabyteOfRows), bind(), execute(), sync],
    'a COPY': [query(gigabyteOfCopy)],
    'an extended COPY': [parse('', gigabyteOfCopy), bind(), execute(), sync],
  };

  for (const [name, pieces] of Object.entries(asked)) {
    it(`are waited for in the result of ${name}, then get all of it`, async () => {
      const client = await logIn();
      client.pause();
      await expectBounded(async () => {
        client.send(...pieces);
        await waitUntilBlocked();
      });
      client.count();
      client.resume();
      await expectBounded(() => client.when(() => client.bytesRead > 1e9, '1 GB', 60_000));
      client.send(frontend.terminate);
      await client.closed();
    });

    it(`leave nothing behind when they leave in the result of ${name}`, async () => {
      const client = await logIn();
      client.pause();
      client.send(...pieces);
      await waitUntilBlocked();
      client.destroy();
    });
  }

  it('get no more answers from the proxy itself', async () => {
    const client = await logIn();
    client.pause();
    const chunk = repeated(Buffer.concat([query('begin'), query('rollback')]), 5_000);
    await expectBounded(() => flood(client, chunk, 400 * mebibyte));
    expect(client.socket.writableLength).toBeGreaterThan(0);
  });

  it('get no more answers from the servers', async () => {
    const client = await logIn();
    client.pause();
    await expectBounded(() =>
      flood(client, repeated(query("select repeat('x', 10000)"), 1_000), 100 * mebibyte),
    );
    expect(client.socket.writableLength).toBeGreaterThan(0);
  });
});

describe('clients that send without end', () => {
  /** That the client has gone is not seen while nothing is read of it. */
  async function cancelLongStatement(): Promise<void> {
    const cancel = `select pg_cancel_backend(pid) from pg_stat_activity
      where query = '${longStatement}' and state = 'active'`;
    for (const node of cluster.nodes) await node.query(cancel);
  }

  it('are not read on while a statement runs', async () => {
    const client = await logIn();
    client.send(query(longStatement));
    await expectBounded(() => flood(client, repeated(query('select 1'), 5_000), 400 * mebibyte));
    expect(client.socket.writableLength).toBeGreaterThan(0);
    client.destroy();
    await cancelLongStatement();
  });

  it('are not read on while a batch without Sync runs', async () => {
    const client = await logIn();
    client.send(parse('', longStatement), bind(), execute(), flush);
    await expectBounded(() => flood(client, repeated(execute(), 5_000), 400 * mebibyte));
    expect(client.socket.writableLength).toBeGreaterThan(0);
    client.destroy();
    await cancelLongStatement();
  });

  it('are heard, and nothing of it kept, when a batch without Sync has failed', async () => {
    const client = await logIn();
    const chunk = repeated(execute('nobody'), 5_000);
    await expectBounded(async () => {
      for (let sent = 0; sent < 20 * mebibyte; sent += chunk.length) await client.sendSlowly(chunk);
    });
    expect(describeFrames(await client.ask(sync))).toEqual(['E:ERROR:34000', 'Z:I']);
  });

  for (const type of ['Q', 'P', 'B', 'd', 'F']) {
    it(`may begin a message of 1 GB of type ${type} and leave`, async () => {
      await expectBounded(async () => {
        for (let i = 0; i < 4; i++) {
          const client = await logIn();
          client.send(rawHeader(type, 1_000_000_000), Buffer.from('a\0b\0select 1 --'));
          await client.sendSlowly(Buffer.alloc(4 * mebibyte, 'x'));
          if (i % 2 === 0) client.destroy();
        }
      });
    });
  }

  it('may begin a long message byte by byte', async () => {
    const client = await logIn();
    const message = query(`select length('${'x'.repeat(2_000)}')`);
    for (const byte of message) await client.sendSlowly(Buffer.of(byte));
    await client.until('Z');
    expect(describeFrames(client.frames)).toEqual(['T', 'D', 'C:SELECT 1', 'Z:I']);
  });
});

describe('long messages', () => {
  const long = 'x'.repeat(5 * mebibyte);
  const isLong = (frames: readonly { type: string; bytes: Buffer }[]) =>
    frames
      .find(({ type }) => type === 'D')
      ?.bytes.subarray(11)
      .toString() === `${5 * mebibyte}`;

  it('are served as a Query', async () => {
    const client = await logIn();
    const frames = await client.ask(query(`select length('${long}')`));
    expect(describeFrames(frames)).toEqual(['T', 'D', 'C:SELECT 1', 'Z:I']);
    expect(isLong(frames)).toBe(true);
  });

  it('are served as a Parse, unnamed and named', async () => {
    const client = await logIn();
    for (const name of ['', 'named']) {
      const frames = await client.ask(
        parse(name, `select length('${long}')`),
        bind({ statement: name }),
        execute(),
        sync,
      );
      expect(describeFrames(frames)).toEqual(['1', '2', 'D', 'C:SELECT 1', 'Z:I']);
      expect(isLong(frames)).toBe(true);
    }
    const again = await client.ask(bind({ statement: 'named' }), execute(), sync);
    expect(isLong(again)).toBe(true);
  });

  it('are served as a Bind, unnamed and named', async () => {
    const client = await logIn();
    for (const name of ['', 'named']) {
      const frames = await client.ask(
        parse(name, 'select length($1)'),
        bind({ statement: name, params: [long] }),
        execute(),
        sync,
      );
      expect(describeFrames(frames)).toEqual(['1', '2', 'D', 'C:SELECT 1', 'Z:I']);
      expect(isLong(frames)).toBe(true);
    }
  });

  it('are served in many small messages of one batch', async () => {
    const client = await logIn();
    const one = Buffer.concat([
      parse('', 'select length($1)'),
      bind({ params: ['x'.repeat(1000)] }),
      execute(),
    ]);
    const frames = await client.ask(repeated(one, 3_000), sync);
    expect(describeFrames(frames).filter((frame) => frame === 'D')).toHaveLength(3_000);
    expect(frames.at(-1)?.type).toBe('Z');
  });

  it('may be the rest of a COPY that has failed', async () => {
    const client = await logIn();
    client.send(query('copy target (n) from stdin'));
    await client.until('G');
    client.send(copyData(Buffer.from('no number\n')), rawHeader('d', 4 + 8 * mebibyte));
    for (let i = 0; i < 7; i++) await client.sendSlowly(Buffer.alloc(mebibyte, 'x'));
    await client.until('Z');
    // Others go on meanwhile, and nothing of the message gets in their way.
    for (let i = 0; i < 20; i++) {
      const other = await logIn();
      expect(describeFrames(await other.ask(query('update target set n = 1')))).toEqual([
        'C:UPDATE 0',
        'Z:I',
      ]);
      other.destroy();
    }
    client.send(Buffer.alloc(mebibyte, 'x'), copyDone);
    client.take();
    expect(describeFrames(await client.ask(query('update target set n = 1')))).toEqual([
      'C:UPDATE 0',
      'Z:I',
    ]);
  });

  it('of a COPY that fails while the server is slow to read do not stop the client', async () => {
    await cluster.primary.query(`
      create table slow (n int);
      create function refuse() returns trigger language plpgsql as $$
        begin perform pg_sleep(1); raise exception 'no'; end $$;
      create trigger refuse before insert on slow for each row execute function refuse()`);
    const client = await logIn();
    client.send(query('copy slow from stdin'));
    await client.until('G');
    client.send(copyData(Buffer.from('1\n')));
    const chunk = copyData(Buffer.alloc(60_000, 'x'));
    for (let i = 0; i < 500; i++) await client.sendSlowly(chunk);
    client.send(copyFail('enough'));
    await client.until('Z');
    client.take();
    expect(describeFrames(await client.ask(query('select 1')))).toEqual([
      'T',
      'D',
      'C:SELECT 1',
      'Z:I',
    ]);
  });

  it('are refused with an error that names what is wrong inside', async () => {
    const client = await logIn();
    const frames = await client.ask(rawMessage('Q', 'x'.repeat(2 * mebibyte)));
    expect(describeFrames(frames)).toEqual(['E:ERROR:08P01', 'Z:I']);
  });
});
