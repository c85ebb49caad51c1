import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Exchange } from '../../../src/pool/exchange.ts';
import { cancelOn, giveBack, leaveToItself } from '../../../src/pool/give-back.ts';
import { Pool } from '../../../src/pool/pool.ts';
import { type Step, steps } from '../../../src/pool/step.ts';
import {
  bindComplete,
  commandComplete,
  emptyQueryResponse,
  errorResponse,
  readyForQueryFailed,
  readyForQueryIdle,
  readyForQueryInTransaction,
} from '../../../src/protocol/backend.ts';
import { cancelRequest } from '../../../src/protocol/frontend.ts';
import { type FakeServer, fakeServer, RecordingSink } from './fake-server.ts';

const failure = errorResponse({ severity: 'ERROR', sqlstate: '57014', message: 'canceled' });
const done = commandComplete('DONE');

let listener: Server;
let cancels: Socket[];
let address: { host: string; port: number };

beforeEach(async () => {
  cancels = [];
  listener = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    cancels.push(socket);
  }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  address = { host: '127.0.0.1', port: (listener.address() as AddressInfo).port };
});

afterEach(() => {
  for (const socket of cancels) socket.destroy();
  listener.close();
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** A connection that is checked out to a session. */
async function checkedOut(): Promise<FakeServer & { pool: Pool; sink: RecordingSink }> {
  const server = fakeServer();
  const pool = new Pool({
    connect: () => Promise.resolve(server.connection),
    config: {
      size: 1,
      waitTimeoutMs: 60_000,
      connectTimeoutMs: 60_000,
      idleTimeoutMs: 60_000,
      lifetimeMs: 60_000,
      checkAfterIdleMs: 60_000,
      statementsMax: 10,
      sharing: true,
    },
    now: () => 0,
  });
  await new Promise((resolve) => pool.acquire(resolve, () => {}));
  const sink = new RecordingSink();
  server.connection.owner = sink;
  return { ...server, pool, sink };
}

function expectReplies(server: FakeServer, sink: RecordingSink, ...expected: Step[]): Exchange {
  const exchange = new Exchange(sink);
  exchange.steps.push(...expected);
  server.connection.expect(exchange);
  return exchange;
}

const left = (exchange: Exchange) => ({
  exchange,
  address,
  mayCancel: false,
  mustClose: false,
  leavesTraces: false,
  copyToEnd: false,
  lacksSync: false,
});

describe('giving back', () => {
  it('pools the connection, unless it is closed', async () => {
    const { pool, connection } = await checkedOut();
    giveBack(pool, connection);
    expect(pool.stat.idle).toBe(1);
    expect(connection.owner).toBeNull();
    const other = await checkedOut();
    other.connection.close('lifetime');
    giveBack(other.pool, other.connection);
    expect(other.pool.stat.idle).toBe(0);
  });

  it('waits for cancel requests, and for a round trip behind them', async () => {
    const { pool, connection, socket } = await checkedOut();
    cancelOn(address, pool, connection);
    cancelOn(address, pool, connection);
    giveBack(pool, connection);
    expect(pool.stat).toMatchObject({ active: 1, idle: 0 });
    await until(() => cancels.length === 2);
    const [sent] = (await once(cancels[0]!, 'data')) as [Buffer];
    expect(sent).toEqual(cancelRequest(connection.pid, connection.secret));
    cancels[0]!.destroy();
    await until(() => connection.cancelsInFlight === 1);
    expect(socket.takeWritten()).toBe('');
    cancels[1]!.destroy();
    await until(() => connection.cancelsInFlight === 0);
    expect(socket.takeWritten()).toBe('Q');
    expect(pool.stat.idle).toBe(0);
    socket.deliver(failure, readyForQueryIdle);
    expect(pool.stat).toMatchObject({ active: 0, idle: 1 });
  });

  it('leaves a cancelled connection to the session that still has it', async () => {
    const { pool, connection, socket } = await checkedOut();
    cancelOn(address, pool, connection);
    await until(() => cancels.length === 1);
    cancels[0]!.destroy();
    await until(() => connection.cancelsInFlight === 0);
    expect(socket.takeWritten()).toBe('');
    giveBack(pool, connection);
    expect(pool.stat.idle).toBe(1);
  });

  it('does not wait for a cancel request that finds nobody', async () => {
    const { pool, connection, socket } = await checkedOut();
    listener.close();
    cancelOn(address, pool, connection);
    giveBack(pool, connection);
    await until(() => connection.cancelsInFlight === 0);
    socket.deliver(emptyQueryResponse, readyForQueryIdle);
    expect(pool.stat.idle).toBe(1);
  });
});

describe('leaving to itself', () => {
  it('an idle connection goes back at once', async () => {
    const { pool, connection, sink } = await checkedOut();
    leaveToItself(pool, connection, left(new Exchange(sink)));
    expect(pool.stat.idle).toBe(1);
  });

  it('an idle transaction is rolled back', async () => {
    const server = await checkedOut();
    const { pool, connection, socket, sink } = server;
    expectReplies(server, sink, steps.query);
    socket.deliver(commandComplete('BEGIN'), readyForQueryInTransaction);
    leaveToItself(pool, connection, left(new Exchange(sink)));
    expect(socket.written.at(-1)!.toString('latin1')).toContain('ROLLBACK');
    socket.deliver(commandComplete('ROLLBACK'), readyForQueryIdle);
    expect(pool.stat.idle).toBe(1);
  });

  it('a transaction that cannot be rolled back is cut off', async () => {
    const server = await checkedOut();
    const { pool, connection, socket, sink } = server;
    expectReplies(server, sink, steps.query);
    socket.deliver(commandComplete('BEGIN'), readyForQueryInTransaction);
    leaveToItself(pool, connection, left(new Exchange(sink)));
    socket.deliver(failure, readyForQueryFailed);
    expect(connection.closedFor).toBe('client-left');
    expect(pool.stat).toMatchObject({ active: 0, idle: 0 });
  });

  it('what runs ends by itself; nobody hears of it, and its settings are unknown', async () => {
    const server = await checkedOut();
    const { pool, connection, socket, sink } = server;
    const exchange = expectReplies(server, sink, steps.query);
    connection.pause();
    leaveToItself(pool, connection, left(exchange));
    expect(socket.isPaused).toBe(false);
    expect(pool.stat.idle).toBe(0);
    socket.deliver(done, readyForQueryIdle);
    expect(pool.stat.idle).toBe(1);
    expect(sink.bytes).toHaveLength(0);
    expect(sink.events).toEqual([]);
    expect(connection.settings).toBeNull();
    expect(cancels).toHaveLength(0);
  });

  it('what nobody needs is cancelled, and rolled back', async () => {
    const server = await checkedOut();
    const { pool, connection, socket, sink } = server;
    const exchange = expectReplies(server, sink, steps.query);
    leaveToItself(pool, connection, { ...left(exchange), mayCancel: true });
    await until(() => cancels.length === 1);
    socket.deliver(failure, readyForQueryFailed);
    socket.deliver(commandComplete('ROLLBACK'), readyForQueryIdle);
    expect(pool.stat.idle).toBe(0);
    cancels[0]!.destroy();
    await until(() => connection.cancelsInFlight === 0);
    socket.deliver(emptyQueryResponse, readyForQueryIdle);
    expect(pool.stat.idle).toBe(1);
  });

  it('half a message, or objects of the session, cost the connection', async () => {
    const server = await checkedOut();
    const { pool, connection, sink } = server;
    const exchange = expectReplies(server, sink, steps.query);
    leaveToItself(pool, connection, { ...left(exchange), mustClose: true });
    expect(connection.closedFor).toBe('client-left');
    expect(sink.events).toEqual([]);
    expect(pool.stat.active).toBe(0);
  });

  it('a COPY is failed', async () => {
    const server = await checkedOut();
    const { pool, connection, socket, sink } = server;
    const exchange = expectReplies(server, sink, steps.query);
    leaveToItself(pool, connection, { ...left(exchange), copyToEnd: true });
    expect(socket.takeWritten()).toBe('f');
    socket.deliver(failure, readyForQueryIdle);
    expect(pool.stat.idle).toBe(1);
  });

  it('a batch without Sync is failed and ended', async () => {
    const server = await checkedOut();
    const { pool, connection, socket, sink } = server;
    const exchange = expectReplies(server, sink, steps.bind);
    socket.deliver(bindComplete);
    leaveToItself(pool, connection, { ...left(exchange), lacksSync: true });
    expect(socket.takeWritten()).toBe('BS');
    socket.deliver(failure, readyForQueryIdle);
    expect(pool.stat.idle).toBe(1);
    expect(sink.types).toBe('2');
  });

  it('a closed connection needs nothing', async () => {
    const { pool, connection, sink } = await checkedOut();
    connection.close('node-down');
    leaveToItself(pool, connection, { ...left(new Exchange(sink)), lacksSync: true });
    expect(pool.stat).toMatchObject({ active: 0, idle: 0 });
  });
});
