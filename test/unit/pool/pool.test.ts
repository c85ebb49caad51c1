import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { PoolConfig } from '../../../src/config.ts';
import { type AcquireFailure, Pool, type Waiter } from '../../../src/pool/pool.ts';
import type { ServerConnection } from '../../../src/pool/server-connection.ts';
import { emptyQueryResponse, readyForQueryIdle } from '../../../src/protocol/backend.ts';
import { type FakeServer, fakeServer } from './fake-server.ts';

const config: PoolConfig = {
  size: 3,
  waitTimeoutMs: 1_000,
  connectTimeoutMs: 500,
  idleTimeoutMs: 60_000,
  lifetimeMs: 600_000,
  checkAfterIdleMs: 10_000,
  statementsMax: 10,
  sharing: true,
};

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});

afterEach(() => {
  vi.useRealTimers();
});

/** A server's side of the pool: every connect is answered by the test. */
class Servers {
  readonly pending: { resolve(connection: ServerConnection): void; reject(e: Error): void }[] = [];
  readonly opened: FakeServer[] = [];
  readonly pool: Pool;

  constructor(overrides: Partial<PoolConfig> = {}) {
    this.pool = new Pool({
      connect: () => new Promise((resolve, reject) => this.pending.push({ resolve, reject })),
      config: { ...config, ...overrides },
      now: () => performance.now(),
    });
  }

  /** The oldest connect succeeds. */
  async accept(): Promise<FakeServer> {
    const server = fakeServer(performance.now());
    this.opened.push(server);
    this.pending.shift()!.resolve(server.connection);
    await settle();
    return server;
  }

  async refuse(text = 'refused'): Promise<void> {
    this.pending.shift()!.reject(new Error(text));
    await settle();
  }

  of(connection: ServerConnection): FakeServer {
    return this.opened.find((server) => server.connection === connection)!;
  }

  /** `count` idle connections. */
  async fill(count: number): Promise<FakeServer[]> {
    const clients = Array.from({ length: count }, () => new Client(this.pool));
    while (this.pending.length > 0) await this.accept();
    for (const client of clients) client.release();
    return this.opened.slice();
  }
}

const settle = async () => {
  for (let hops = 0; hops < 5; hops++) await null;
};

class Client {
  served: ServerConnection | null = null;
  failure: AcquireFailure | null = null;
  calls = 0;
  readonly waiter: Waiter;
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
    this.waiter = pool.acquire(
      (connection) => {
        this.calls += 1;
        this.served = connection;
      },
      (failure) => {
        this.calls += 1;
        this.failure = failure;
      },
    );
  }

  release(): void {
    this.#pool.release(this.served!);
    this.served = null;
  }
}

const alive = (server: FakeServer) => server.socket.deliver(emptyQueryResponse, readyForQueryIdle);

describe('handing out', () => {
  it('opens up to `size` connections, one for each waiter', async () => {
    const servers = new Servers();
    const clients = Array.from({ length: 5 }, () => new Client(servers.pool));
    expect(servers.pending).toHaveLength(3);
    expect(servers.pool.stat).toMatchObject({ connecting: 3, waiting: 5, active: 0, idle: 0 });
    for (let i = 0; i < 3; i++) await servers.accept();
    expect(clients.map(({ served }) => served !== null)).toEqual([true, true, true, false, false]);
    expect(servers.pending).toHaveLength(0);
    expect(servers.pool.load).toBe(5);
  });

  it('serves waiters in the order they came, whatever comes free', async () => {
    const servers = new Servers({ size: 1 });
    const first = new Client(servers.pool);
    await servers.accept();
    const order: number[] = [];
    const release = (connection: ServerConnection) => servers.pool.release(connection);
    for (let i = 0; i < 4; i++) {
      servers.pool.acquire(
        (connection) => {
          order.push(i);
          // Whoever comes now stands behind those who wait.
          expect(servers.pool.tryAcquire()).toBeNull();
          release(connection);
        },
        () => {},
      );
    }
    first.release();
    expect(order).toEqual([0, 1, 2, 3]);
  });

  it('takes the connection that was used last', async () => {
    const servers = new Servers();
    const [a, b, c] = await servers.fill(3);
    expect(servers.pool.tryAcquire()).toBe(c!.connection);
    expect(servers.pool.tryAcquire()).toBe(b!.connection);
    servers.pool.release(c!.connection);
    expect(servers.pool.tryAcquire()).toBe(c!.connection);
    expect(servers.pool.tryAcquire()).toBe(a!.connection);
    expect(servers.pool.tryAcquire()).toBeNull();
  });

  it('refuses what is not checked out, or still in use', async () => {
    const servers = new Servers();
    const [server] = await servers.fill(1);
    expect(() => servers.pool.release(server!.connection)).toThrow('not checked out');
    const connection = servers.pool.tryAcquire()!;
    connection.runOwn(Buffer.from('Q'), () => {});
    expect(() => servers.pool.release(connection)).toThrow('still in use');
  });

  it('reads from a connection again that its last client had stopped', async () => {
    const servers = new Servers();
    const [server] = await servers.fill(1);
    const connection = servers.pool.tryAcquire()!;
    connection.pause();
    servers.pool.release(connection);
    expect(server!.socket.isPaused).toBe(false);
  });
});

describe('waiting', () => {
  it('ends at the deadline, for each in turn', async () => {
    const servers = new Servers({ size: 1 });
    const first = new Client(servers.pool);
    await servers.accept();
    const early = new Client(servers.pool);
    vi.advanceTimersByTime(400);
    const late = new Client(servers.pool);
    expect(servers.pool.stat.waitMsMax).toBe(400);
    vi.advanceTimersByTime(599);
    expect(early.failure).toBeNull();
    vi.advanceTimersByTime(2);
    expect(early.failure).toEqual({ kind: 'timeout' });
    expect(late.failure).toBeNull();
    vi.advanceTimersByTime(400);
    expect(late.failure).toEqual({ kind: 'timeout' });
    first.release();
    expect([early.calls, late.calls]).toEqual([1, 1]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('can be given up, before and after it ended', async () => {
    const servers = new Servers({ size: 1 });
    const first = new Client(servers.pool);
    await servers.accept();
    const [gone, next] = [new Client(servers.pool), new Client(servers.pool)];
    servers.pool.giveUp(gone.waiter);
    servers.pool.giveUp(gone.waiter);
    servers.pool.giveUp(first.waiter);
    first.release();
    expect(gone.calls).toBe(0);
    expect(next.served).not.toBeNull();
  });

  it('keeps the connection that was opened for a waiter who gave up', async () => {
    const servers = new Servers();
    const client = new Client(servers.pool);
    servers.pool.giveUp(client.waiter);
    await servers.accept();
    expect(servers.pool.stat).toMatchObject({ idle: 1, active: 0, connecting: 0 });
  });
});

describe('failing to connect', () => {
  it('fails everybody when nobody could ever be served', async () => {
    const servers = new Servers();
    const clients = [new Client(servers.pool), new Client(servers.pool)];
    await servers.refuse();
    expect(clients.map(({ calls }) => calls)).toEqual([0, 0]);
    await servers.refuse('no route');
    for (const { failure } of clients) {
      expect(failure).toMatchObject({ kind: 'connect', error: { message: 'no route' } });
    }
  });

  it('lets them wait while other connections are open', async () => {
    const servers = new Servers();
    const first = new Client(servers.pool);
    await servers.accept();
    const second = new Client(servers.pool);
    await servers.refuse();
    expect(second.calls).toBe(0);
    first.release();
    expect(second.served).not.toBeNull();
  });

  it('tries again when the last open one goes away', async () => {
    const servers = new Servers();
    const first = new Client(servers.pool);
    await servers.accept();
    const second = new Client(servers.pool);
    await servers.refuse();
    first.served!.close('server-closed');
    await settle();
    await servers.accept();
    expect(second.served).not.toBeNull();
  });

  it('calls nobody who gives up meanwhile', async () => {
    const servers = new Servers({ size: 1 });
    let calls = 0;
    let second: Waiter;
    servers.pool.acquire(
      () => {},
      () => servers.pool.giveUp(second),
    );
    second = servers.pool.acquire(
      () => {},
      () => {
        calls += 1;
      },
    );
    await servers.refuse();
    expect(calls).toBe(0);
  });

  it('may be answered by trying again at once', async () => {
    const servers = new Servers();
    let again: Client | null = null;
    servers.pool.acquire(
      () => {},
      () => {
        again = new Client(servers.pool);
      },
    );
    await servers.refuse();
    await servers.accept();
    expect(again!.served).not.toBeNull();
  });
});

describe('the check after idling', () => {
  it('asks one connection for each waiter', async () => {
    const servers = new Servers();
    const [a, b, c] = await servers.fill(3);
    vi.advanceTimersByTime(10_001);
    expect(servers.pool.tryAcquire()).toBeNull();
    const client = new Client(servers.pool);
    expect([a, b, c].map((server) => server!.socket.takeWritten())).toEqual(['', '', 'Q']);
    expect(servers.pending).toHaveLength(0);
    expect(client.calls).toBe(0);
    alive(c!);
    expect(client.served).toBe(c!.connection);
    expect(servers.pool.stat).toMatchObject({ active: 1, idle: 2 });
    // The others go on growing old.
    vi.advanceTimersByTime(50_000);
    servers.pool.tidy();
    expect(servers.pool.stat).toMatchObject({ active: 1, idle: 0 });
  });

  it('asks the next one, or opens one, when it is dead', async () => {
    const servers = new Servers();
    const [a, b] = await servers.fill(2);
    vi.advanceTimersByTime(10_001);
    const client = new Client(servers.pool);
    b!.socket.emit('close');
    await settle();
    expect(a!.socket.takeWritten()).toBe('Q');
    a!.socket.emit('error', new Error('ECONNRESET'));
    await settle();
    expect((await servers.accept()).connection).toBe(client.served);
    expect(vi.getTimerCount()).toBeLessThanOrEqual(1);
  });

  it('waits once for connections that do not answer', async () => {
    const servers = new Servers();
    const idle = await servers.fill(3);
    vi.advanceTimersByTime(10_001);
    const client = new Client(servers.pool);
    vi.advanceTimersByTime(500);
    await settle();
    expect(idle.map(({ connection }) => connection.closedFor)).toEqual(
      Array(3).fill('check-failed'),
    );
    await servers.accept();
    expect(client.served).not.toBeNull();
  });

  it('does not hold back a fresh connection', async () => {
    const servers = new Servers();
    const [, b] = await servers.fill(2);
    vi.advanceTimersByTime(9_000);
    const busy = new Client(servers.pool);
    vi.advanceTimersByTime(2_000);
    const client = new Client(servers.pool);
    busy.release();
    expect(client.served).toBe(b!.connection);
  });

  it('does not hand out what was retired meanwhile', async () => {
    const servers = new Servers();
    const [server] = await servers.fill(1);
    vi.advanceTimersByTime(10_001);
    const client = new Client(servers.pool);
    servers.pool.retire('node-down');
    alive(server!);
    await settle();
    expect(server!.connection.closedFor).not.toBeNull();
    await servers.accept();
    expect(client.served).not.toBeNull();
  });
});

describe('ends', () => {
  it('closes old connections when they come back', async () => {
    const servers = new Servers();
    const client = new Client(servers.pool);
    const server = await servers.accept();
    vi.advanceTimersByTime(600_001);
    client.release();
    expect(server.connection.closedFor).toBe('lifetime');
    expect(servers.pool.stat).toMatchObject({ active: 0, idle: 0 });
  });

  it('tidies idle ones by idle time and by age', async () => {
    const servers = new Servers({ lifetimeMs: 100_000 });
    const [a, b] = await servers.fill(2);
    vi.advanceTimersByTime(60_000);
    servers.pool.tidy();
    expect(servers.pool.stat.idle).toBe(2);
    const client = new Client(servers.pool);
    alive(b!);
    client.release();
    vi.advanceTimersByTime(1);
    servers.pool.tidy();
    expect([a, b].map((server) => server!.connection.closedFor)).toEqual(['idle-timeout', null]);
    vi.advanceTimersByTime(40_000);
    servers.pool.tidy();
    expect(b!.connection.closedFor).toBe('lifetime');
  });

  it('forgets connections that close, idle or in use', async () => {
    const servers = new Servers();
    const [a, b] = await servers.fill(2);
    const client = new Client(servers.pool);
    expect(client.served).toBe(b!.connection);
    a!.socket.emit('close');
    b!.socket.emit('close');
    expect(servers.pool.stat).toMatchObject({ active: 0, idle: 0 });
    expect(servers.pool.tryAcquire()).toBeNull();
  });

  it('retires: idle now, in use when they come back, opening ones at once', async () => {
    const servers = new Servers();
    const [a, b] = await servers.fill(2);
    const held = new Client(servers.pool);
    new Client(servers.pool);
    const opening = new Client(servers.pool);
    expect(servers.pending).toHaveLength(1);
    servers.pool.giveUp(opening.waiter);
    servers.pool.release(a!.connection);
    servers.pool.retire('node-down');
    expect(a!.connection.closedFor).toBe('node-down');
    expect(b!.connection.closedFor).toBeNull();
    const late = await servers.accept();
    expect(late.connection.closedFor).not.toBeNull();
    held.release();
    expect(b!.connection.closedFor).not.toBeNull();
  });

  it('destroys all', async () => {
    const servers = new Servers();
    const [a, b] = await servers.fill(2);
    const held = new Client(servers.pool);
    servers.pool.destroy('node-down');
    expect([a, b].map((server) => server!.connection.closedFor)).toEqual([
      'node-down',
      'node-down',
    ]);
    expect(held.served).not.toBeNull();
    const next = new Client(servers.pool);
    await servers.accept();
    expect(next.served).not.toBeNull();
  });

  it('fails who waits and who comes when it is closed', async () => {
    const servers = new Servers({ size: 1 });
    const held = new Client(servers.pool);
    const server = await servers.accept();
    const waiting = new Client(servers.pool);
    servers.pool.close();
    expect(waiting.failure).toEqual({ kind: 'closed' });
    expect(new Client(servers.pool).failure).toEqual({ kind: 'closed' });
    expect(server.connection.closedFor).toBeNull();
    held.release();
    expect(server.connection.closedFor).toBe('shutdown');
  });

  it('is unused without connections, waiters and holders', async () => {
    const servers = new Servers();
    vi.advanceTimersByTime(70);
    expect(servers.pool.unusedForMs).toBe(70);
    servers.pool.holders += 1;
    expect(servers.pool.unusedForMs).toBe(0);
    servers.pool.holders -= 1;
    const [server] = await servers.fill(1);
    vi.advanceTimersByTime(30);
    expect(servers.pool.unusedForMs).toBe(0);
    server!.connection.close('idle-timeout');
    vi.advanceTimersByTime(20);
    expect(servers.pool.unusedForMs).toBe(20);
  });
});

describe('whatever happens', () => {
  type Operation = { kind: string; pick: number };
  const kinds = [
    ...['acquire', 'acquire', 'acquire', 'try', 'release', 'release', 'giveUp', 'accept', 'accept'],
    ...['refuse', 'serverCloses', 'answerChecks', 'answerChecks', 'pass', 'passLong', 'tidy'],
    ...['retire', 'destroy'],
  ];
  const operation: fc.Arbitrary<Operation> = fc.record({
    kind: fc.constantFrom(...kinds),
    pick: fc.nat(100),
  });

  it('has at most `size` connections, serves nobody twice and loses none', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.array(operation, { maxLength: 80 }),
        async (size, operations) => {
          const servers = new Servers({ size });
          const { pool } = servers;
          const clients: Client[] = [];
          const taken: ServerConnection[] = [];
          const givenUp = new Set<Client>();
          const holders = () => clients.filter(({ served }) => served !== null);

          const check = () => {
            const { active, idle, connecting, waiting } = pool.stat;
            expect(active + idle + connecting).toBeLessThanOrEqual(size);
            const open = servers.opened.filter(({ connection }) => connection.closedFor === null);
            expect(active + idle).toBe(open.length);
            const held = [...holders().map(({ served }) => served!), ...taken];
            const live = held.filter(({ closedFor }) => closedFor === null);
            expect(new Set(held).size).toBe(held.length);
            expect(live.length).toBeLessThanOrEqual(active);
            const unsettled = clients.filter((one) => one.calls === 0 && !givenUp.has(one));
            expect(waiting).toBe(unsettled.length);
            for (const one of clients) {
              expect(one.calls).toBeLessThanOrEqual(givenUp.has(one) ? 0 : 1);
            }
            // First in, first out: who came later is not served before.
            const firstWaiting = clients.indexOf(unsettled[0]!);
            if (firstWaiting >= 0) {
              for (const one of clients.slice(firstWaiting)) expect(one.calls).toBe(0);
            }
          };

          const giveBack = (connection: ServerConnection) => {
            if (connection.closedFor === null) pool.release(connection);
          };
          const run = async ({ kind, pick }: Operation) => {
            const at = <T>(list: readonly T[]): T | undefined => list[pick % list.length];
            switch (kind) {
              case 'acquire':
                clients.push(new Client(pool));
                return;
              case 'try': {
                const connection = pool.tryAcquire();
                if (connection !== null) taken.push(connection);
                return;
              }
              case 'release': {
                const connection = taken.shift();
                if (connection !== undefined) giveBack(connection);
                const holder = at(holders());
                if (holder === undefined) return;
                const { served } = holder;
                holder.served = null;
                giveBack(served!);
                return;
              }
              case 'giveUp': {
                const waiting = at(clients.filter(({ calls }) => calls === 0));
                if (waiting === undefined) return;
                givenUp.add(waiting);
                pool.giveUp(waiting.waiter);
                // It leaves the line: later ones may be served before.
                clients.splice(clients.indexOf(waiting), 1);
                return;
              }
              case 'accept':
                if (servers.pending.length > 0) await servers.accept();
                return;
              case 'refuse':
                if (servers.pending.length > 0) await servers.refuse();
                return;
              case 'serverCloses':
                at(servers.opened)?.socket.emit('close');
                return;
              case 'answerChecks':
                for (const server of servers.opened) {
                  if (!server.connection.isQuiet && server.connection.closedFor === null) {
                    alive(server);
                  }
                }
                return;
              case 'pass':
                vi.advanceTimersByTime(pick * 10);
                return;
              case 'passLong':
                vi.advanceTimersByTime(10_000 + pick * 600);
                return;
              case 'tidy':
                pool.tidy();
                return;
              case 'retire':
                pool.retire('node-down');
                return;
              case 'destroy':
                if (pick < 20) pool.destroy('node-down');
                return;
            }
          };

          for (const one of operations) {
            await run(one);
            await settle();
            check();
          }
          // Left to themselves everybody gets an answer.
          vi.advanceTimersByTime(2_000);
          await settle();
          expect(pool.stat.waiting).toBe(0);
          pool.close();
          for (const connection of [...holders().map(({ served }) => served!), ...taken]) {
            giveBack(connection);
          }
          while (servers.pending.length > 0) await servers.accept();
          vi.advanceTimersByTime(2_000);
          expect(pool.stat).toMatchObject({ active: 0, idle: 0, connecting: 0, waiting: 0 });
          for (const { socket } of servers.opened) expect(socket.destroyed).toBe(true);
          expect(vi.getTimerCount()).toBe(0);
        },
      ),
      { numRuns: 400 },
    );
  });
});
