import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster, type TestNode } from '../support/cluster.ts';
import { connectDriver, type Driver, driverKinds } from '../support/drivers.ts';
import { eventually, startTestProxy, type TestProxy } from '../support/proxy.ts';
import { ReadLoad } from '../support/read-load.ts';

const primaryWaitTimeoutMs = 300;
const maxStalenessMs = 2_000;

const readItem = 'select value, inet_server_port() as port from items where id = $1';

let cluster: TestCluster;
let proxy: TestProxy;
let replica1: TestNode;
let replica2: TestNode;

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 2, links: 'relayed' });
  [replica1, replica2] = cluster.replicas as [TestNode, TestNode];
  await cluster.primary.query(`
    create table items (id int primary key, value int not null);
    insert into items select id, 0 from generate_series(0, 9) id`);
  await cluster.waitForCatchup();
  proxy = await startTestProxy(cluster, {
    freshness: { primaryWaitTimeoutMs, maxStalenessMs },
    // Nobody may wait for a connection to a server that does not answer.
    pool: { connectTimeoutMs: 600_000, waitTimeoutMs: 600_000 },
  });
});

afterAll(async () => {
  await proxy?.stop();
  await cluster?.stop();
});

async function retries(): Promise<number> {
  const metrics = await (await fetch(`${proxy.httpUrl}/metrics`)).text();
  return Number(/^tidemark_retries_total (\d+)/m.exec(metrics)?.[1]);
}

/** False: it was refused while there is no primary, and so has done nothing. */
async function isDone(write: Promise<unknown>): Promise<boolean> {
  try {
    await write;
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: '57P03' });
    return false;
  }
}

async function route(client: pg.Client): Promise<{ node: string; role: string; reason: string }> {
  return (await client.query('show tidemark.route')).rows[0];
}

describe('under read load', () => {
  let drivers: Driver[] = [];
  let load: ReadLoad;

  beforeEach(async () => {
    drivers = [];
    for (let client = 0; client < 24; client++) {
      drivers.push(await connectDriver(driverKinds[client % driverKinds.length]!, proxy));
    }
    load = new ReadLoad(drivers, readItem);
    await eventuallyServes(replica1);
    await eventuallyServes(replica2);
  });

  afterEach(async () => {
    await load.stop();
    await Promise.all(drivers.map((driver) => driver.end()));
  });

  /** Serves reads from now on. */
  async function eventuallyServes(node: TestNode): Promise<void> {
    const before = load.servedBy(node.port);
    await eventually(() => load.servedBy(node.port) >= before + 20, `${node.name} serves reads`);
  }

  /** Every client has its read answered and goes on. */
  async function everybodyGoesOn(): Promise<void> {
    const before = [...load.done];
    const all = () => load.done.every((count, client) => count >= before[client]! + 5);
    await eventually(all, 'every client goes on reading');
  }

  it('a replica that is killed is not noticed, and serves again when it is back', async () => {
    for (let round = 0; round < 4; round++) {
      await replica1.kill9();
      await everybodyGoesOn();
      await replica1.start();
      await eventuallyServes(replica1);
    }
    expect(load.errors).toEqual([]);
  });

  it('a replica that hangs loses its reads to others, and serves again when it goes on', async () => {
    const before = await retries();
    await replica1.sigstop();
    await everybodyGoesOn();
    expect(await retries()).toBeGreaterThan(before);
    await replica1.sigcont();
    await eventuallyServes(replica1);
    expect(load.errors).toEqual([]);
    if (process.env.TIDEMARK_TEST_FIGURES) console.log(`longest read ${load.longestMs} ms`);
  });

  it('connections that are cut one by one are not noticed', async () => {
    for (const replica of [replica1, replica2, replica1]) {
      await replica.query(`select pg_terminate_backend(pid) from pg_stat_activity
        where backend_type = 'client backend' and pid <> pg_backend_pid()
          and application_name <> 'tidemark monitor'`);
      await everybodyGoesOn();
      await eventuallyServes(replica);
    }
    expect(load.errors).toEqual([]);
  });

  it('a replica whose monitoring is cut goes on serving as soon as it is proven fresh', async () => {
    for (let round = 0; round < 5; round++) {
      await replica1.query(`select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'tidemark monitor'`);
      await everybodyGoesOn();
      await eventuallyServes(replica1);
    }
    expect(load.errors).toEqual([]);
  });
});

describe('a replica that gets no WAL', () => {
  it('is left by sessions that have written, and used again when it has caught up', async () => {
    const client = await proxy.client();
    replica1.cutLink();
    for (let value = 1; value <= 100; value++) {
      await client.query('update items set value = $1 where id = 1', [value]);
      const [row] = (await client.query(readItem, [1])).rows;
      expect(row.value).toBe(value);
      expect(row.port).not.toBe(replica1.port);
    }
    // A session that only reads may go there as long as it is within the bound on staleness.
    const reader = await proxy.client();
    const isStale = async () => {
      await client.query('update items set value = value where id = 2');
      const metrics = await (await fetch(`${proxy.httpUrl}/metrics`)).text();
      const staleness = /^tidemark_node_staleness_seconds\{.*node="replica1".*\} (\S+)/m.exec(
        metrics,
      );
      return Number(staleness?.[1]) * 1000 > maxStalenessMs;
    };
    await eventually(isStale, 'replica1 is stale');
    for (let i = 0; i < 50; i++) {
      expect((await reader.query(readItem, [1])).rows).not.toContainEqual({
        value: 100,
        port: replica1.port,
      });
    }
    await reader.end();
    replica1.restoreLink();
    await eventually(async () => {
      await client.query('update items set value = 100 where id = 1');
      const [row] = (await client.query(readItem, [1])).rows;
      expect(row.value).toBe(100);
      return row.port === replica1.port;
    }, 'replica1 serves again');
    await client.end();
  });
});

describe('what a replica refuses', () => {
  let client: pg.Client;

  beforeEach(async () => {
    client = await proxy.client();
  });
  afterEach(() => client.end());

  describe('pitfall 12: a read cancelled by a recovery conflict (40001)', () => {
    beforeAll(async () => {
      for (const replica of cluster.replicas) {
        await replica.setting('max_standby_streaming_delay', '0');
        await replica.setting('hot_standby_feedback', 'off');
      }
      await cluster.primary.query(`create table victims (id int);
        create table naps (seconds float8); insert into naps values (60)`);
      // Made past the proxy: reads of it go to the primary until the catalog is looked at again.
      const reader = await proxy.client();
      await eventually(async () => {
        await reader.query('select from victims');
        return (await route(reader)).node !== 'primary';
      }, 'the table is known');
      await reader.end();
    });

    async function isReading(replica: TestNode): Promise<boolean> {
      const like = "query like '%victims%' and wait_event = 'PgSleep'";
      return (await replica.query(`select from pg_stat_activity where ${like}`)).length > 0;
    }

    it.each(driverKinds)('runs again, unnoticed by a client of kind %s', async (kind) => {
      await cluster.primary.query('insert into victims select generate_series(1, 1000)');
      await cluster.waitForCatchup();
      const driver = await connectDriver(kind, proxy);
      // Another statement with as many parameters, which must not be mistaken for it.
      expect(await driver.query('select $1::int as count', [-1])).toEqual([{ count: -1 }]);
      const before = await retries();
      // It sleeps until it is cancelled, and no more where what cancels it has been replayed.
      const sql = `select (select count(*) from victims)::int as count,
                          pg_sleep($1 * (select seconds from naps))`;
      const reading = driver.query(sql, [1]);
      const somewhere = async () => (await isReading(replica1)) || (await isReading(replica2));
      await eventually(somewhere, 'a replica runs the long read');
      await cluster.primary.query('delete from victims where id > 10; update naps set seconds = 0');
      await cluster.primary.query('vacuum victims');
      expect(await reading).toMatchObject([{ count: 10 }]);
      expect(await retries()).toBeGreaterThan(before);
      await cluster.primary.query('delete from victims; update naps set seconds = 60');
      await driver.end();
    });
  });

  it('a read that turns out to write runs on the primary, and goes there at once next time', async () => {
    await client.query(`create function write_it(int) returns int volatile language plpgsql as
      'begin update items set value = $1 where id = 2; return $1; end'`);
    await client.query(`create function innocent(int) returns int stable language plpgsql as
      'begin return write_it($1); end'`);
    await cluster.waitForCatchup();
    const before = await retries();
    await eventually(async () => {
      await client.query('select innocent(1)');
      return (await route(client)).reason === 'retry-refused';
    }, 'the catalog knows the function, and the replica refuses it');
    expect((await client.query(readItem, [2])).rows[0].value).toBe(1);
    expect(await retries()).toBe(before + 1);
    for (const query of ['select innocent(2)', { text: 'select innocent($1)', values: [3] }]) {
      await client.query(query as pg.QueryConfig);
    }
    await client.query('select innocent(4)');
    expect(await route(client)).toMatchObject({ node: 'primary', reason: 'learned-write' });
    expect((await client.query(readItem, [2])).rows[0].value).toBe(4);
  });
});

describe('a primary whose monitoring is cut', () => {
  it('goes on with its transactions, and takes writes again when it has answered', async () => {
    const client = await proxy.client();
    const writer = await proxy.client();
    await client.query('begin');
    let statements = 0;
    let isOver = false;
    const working = (async () => {
      while (!isOver) {
        await client.query('update items set value = value + 1 where id = 5');
        statements += 1;
      }
    })();
    for (let round = 0; round < 3; round++) {
      // After a second a connection counts as a good one, and is replaced without a pause.
      await sleep(1_100);
      const before = statements;
      const cut = await cluster.primary.query(`select pg_terminate_backend(pid)
        from pg_stat_activity where application_name = 'tidemark monitor'`);
      expect(cut.length).toBeLessThanOrEqual(1);
      await eventually(
        () => isDone(writer.query('update items set value = value + 1 where id = 6')),
        'others write',
      );
      await eventually(() => statements > before + 20, 'the transaction goes on');
    }
    isOver = true;
    await working;
    await client.query('commit');
    const { rows } = await client.query('select value from items where id in (5, 6) order by id');
    expect(rows).toEqual([{ value: statements }, { value: 3 }]);
    await Promise.all([client.end(), writer.end()]);
  });
});

describe.each(['fast', 'immediate'] as const)('the primary stopped (%s)', (mode) => {
  let reader: pg.Client;
  let writer: pg.Client;
  let inTransaction: pg.Client;
  let rollingBack: pg.Client;
  /** Reads since the primary was told to stop, and what ended them. */
  let reading: Promise<{ ports: number[]; failure: unknown; tookMs: number }>;

  /** Reads until a read fails. */
  async function readOn(): Promise<Awaited<typeof reading>> {
    const beganMs = performance.now();
    const ports: number[] = [];
    for (;;) {
      try {
        const { rows } = await reader.query(readItem, [3]);
        ports.push(rows[0].port);
      } catch (failure) {
        return { ports, failure, tookMs: performance.now() - beganMs };
      }
    }
  }

  beforeAll(async () => {
    [reader, writer, inTransaction, rollingBack] = await Promise.all([
      proxy.client(),
      proxy.client(),
      proxy.client(),
      proxy.client(),
    ]);
    await writer.query('update items set value = 0 where id = 3');
    await inTransaction.query('begin');
    await inTransaction.query('update items set value = value + 1 where id = 3');
    await rollingBack.query('begin');
    await rollingBack.query('update items set value = value + 1 where id = 4');
    // What the primary itself has shown may be proven by no replica before it is back.
    await eventually(async () => {
      const { rows } = await reader.query(readItem, [3]);
      return rows[0].port !== cluster.primary.port;
    }, 'the reader reads on a replica');
    reading = readOn();
    await cluster.primary.stop(mode);
  });

  afterAll(async () => {
    if (!cluster.primary.running) await cluster.primary.start();
    const clients = [reader, writer, inTransaction, rollingBack];
    await Promise.all(clients.map((client) => client.end()));
  });

  it('reads go on while replicas are provably fresh enough, then fail clearly', async () => {
    const { ports, failure, tookMs } = await reading;
    const replicaPorts = cluster.replicas.map(({ port }) => port);
    expect(replicaPorts).toContain(ports.at(-1));
    expect(tookMs).toBeGreaterThan(maxStalenessMs / 2);
    expect(failure).toMatchObject({ code: '57P03', hint: expect.stringContaining('retried') });
  });

  it('an eventual read asks for no proof and is served', async () => {
    await reader.query("set tidemark.consistency = 'eventual'");
    expect((await reader.query(readItem, [3])).rows[0].value).toBe(0);
    await reader.query('reset tidemark.consistency');
  });

  it('a write fails after a bounded wait, with a hint', async () => {
    const beganMs = performance.now();
    const write = writer.query('update items set value = 9 where id = 3');
    const hint = expect.stringContaining('not sent to any server');
    await expect(write).rejects.toMatchObject({ code: '57P03', hint });
    expect(performance.now() - beganMs).toBeGreaterThanOrEqual(primaryWaitTimeoutMs);
  });

  it('a transaction that was idle hears of it, is a failed one, and can be ended', async () => {
    const lost = inTransaction.query('update items set value = 1 where id = 3');
    await expect(lost).rejects.toMatchObject({
      code: '08006',
      hint: expect.stringContaining('Nothing of the transaction took effect'),
    });
    for (let i = 0; i < 2; i++) {
      await expect(inTransaction.query('select 1')).rejects.toMatchObject({ code: '25P02' });
    }
    await expect(inTransaction.query('select $1::int', [1])).rejects.toMatchObject({
      code: '25P02',
    });
    expect((await inTransaction.query('rollback')).command).toBe('ROLLBACK');
  });

  it('a transaction that was idle can be rolled back as if nothing had happened', async () => {
    expect((await rollingBack.query('rollback')).command).toBe('ROLLBACK');
  });

  it('a new client can log in and is told the same', async () => {
    const client = await proxy.client();
    const write = client.query('update items set value = 9 where id = 3');
    await expect(write).rejects.toMatchObject({ code: '57P03' });
    await client.end();
  });

  it('a write that waits is done when the primary is back, on the same connections', async () => {
    await cluster.primary.start();
    for (const client of [writer, inTransaction, rollingBack]) {
      const write = () => client.query('update items set value = value + 1 where id = 3');
      await eventually(() => isDone(write()), 'writes work again');
    }
    expect((await rollingBack.query(readItem, [3])).rows[0].value).toBe(3);
    await eventually(async () => {
      const { rows } = await reader.query(readItem, [3]).catch(() => ({ rows: [] }));
      return rows[0]?.value === 3;
    }, 'reads work again');
    await eventually(async () => {
      await writer.query('update items set value = 3 where id = 3');
      return (await writer.query(readItem, [3])).rows[0].port !== cluster.primary.port;
    }, 'replicas serve reads of what was just written');
  });
});

describe('a write in flight when the primary is killed', () => {
  it('fails with 08006, and says that its outcome is unknown', async () => {
    const client = await proxy.client();
    const write = client.query('update items set value = 7 where id = 4 returning pg_sleep(60)');
    const failure = write.catch((error: unknown) => error);
    const running = "select from pg_stat_activity where wait_event = 'PgSleep'";
    const runs = async () => (await cluster.primary.query(running)).length > 0;
    await eventually(runs, 'the write runs');
    await cluster.primary.kill9();
    expect(await failure).toMatchObject({
      code: '08006',
      hint: expect.stringContaining('unknown'),
    });
    await cluster.primary.start();
    await eventually(async () => {
      const done = await client.query('update items set value = 7 where id = 4').catch(() => null);
      return done !== null;
    }, 'writes work again');
    await client.end();
  });
});

describe('a promoted replica', () => {
  it('takes the writes of the same clients', async () => {
    const clients = await Promise.all(driverKinds.map((kind) => connectDriver(kind, proxy)));
    const update = 'update items set value = $1 where id = $2';
    for (const [id, client] of clients.entries()) await client.query(update, [1, id]);
    await cluster.waitForCatchup();
    await cluster.primary.stop('fast');
    await replica1.promote();
    await replica2.follow(replica1);
    for (const [id, client] of clients.entries()) {
      const write = () => client.query(update, [2, id]);
      await eventually(() => isDone(write()), 'writes go to the new primary');
      expect((await client.query(readItem, [id]))[0]?.value).toBe(2);
    }
    const rows = await replica1.query('select value from items where id < 4');
    expect(rows).toEqual(clients.map(() => ({ value: 2 })));
    const [first] = clients as [Driver];
    await eventually(async () => {
      await first.query(update, [3, 0]);
      return (await first.query(readItem, [0]))[0]?.port === replica2.port;
    }, 'the other replica follows and serves reads');
    await Promise.all(clients.map((client) => client.end()));
  });
});
