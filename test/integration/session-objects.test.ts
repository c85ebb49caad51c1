import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { query } from '../../src/protocol/frontend.ts';
import { call } from '../differential/message.ts';
import { busyPools } from '../support/bystander.ts';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { eventually, startTestProxy, type TestProxy } from '../support/proxy.ts';
import { describeFrames, RawClient } from '../support/raw-client.ts';
import { metric, route, show, withClients } from '../support/sessions.ts';

const clientsCount = 50;
const poolSize = 5;

let cluster: TestCluster;
let proxy: TestProxy;

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 2 });
  await cluster.nodes[0]!.query('CREATE TABLE items (id int PRIMARY KEY, name text)');
  await cluster.nodes[0]!.query(
    "INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, 100) i",
  );
  // However slow the machine is: a read of what was just written is to find a replica.
  const freshness = { waitTimeoutMs: 10_000 };
  proxy = await startTestProxy(cluster, { pool: { size: poolSize }, freshness });
});

afterAll(async () => {
  await proxy?.stop();
  await cluster?.stop();
});

/** The first column of the first row. */
async function value(client: pg.Client, text: string, values: unknown[] = []): Promise<unknown> {
  const { rows } = await client.query({ text, values, rowMode: 'array' });
  return rows[0]?.[0];
}

const pins = (client: pg.Client) => show(client, 'pins');
const unpinned = (client: pg.Client) =>
  eventually(async () => (await pins(client)) === '', 'no reason to keep the server connection');

/** Runs with many more clients than there are server connections. */
async function withMany(run: (client: pg.Client, index: number) => Promise<void>): Promise<void> {
  await withClients(
    async (...clients) => {
      await Promise.all(clients.map(run));
    },
    ...Array.from({ length: clientsCount }, () => [proxy] as const),
  );
}

describe(`${clientsCount} clients on ${poolSize} server connections, in transaction pooling`, () => {
  test('SET and RESET', () =>
    withMany(async (client, index) => {
      await client.query(`SET statement_timeout TO ${60_001 + index}`);
      await client.query(`SET search_path TO s${index}, public`);
      for (let round = 0; round < 3; round++) {
        expect(await value(client, 'SHOW statement_timeout')).toBe(`${60_001 + index}ms`);
        expect(await value(client, 'SELECT current_setting($1)', ['search_path'])).toBe(
          `s${index}, public`,
        );
      }
      await client.query('RESET statement_timeout');
      expect(await value(client, 'SHOW statement_timeout')).toBe('0');
    }));

  test('LISTEN and NOTIFY', () =>
    withMany(async (client, index) => {
      const heard: string[] = [];
      client.on('notification', ({ payload }) => heard.push(payload ?? ''));
      await client.query(`LISTEN channel_${index}`);
      expect(await pins(client)).toBe('');
      await client.query(`NOTIFY channel_${index}, 'one'`);
      expect(heard).toEqual(['one']);
      await client.query('SELECT pg_notify($1, $2)', [`channel_${index}`, 'two']);
      expect(heard).toEqual(['one', 'two']);
      await client.query(`UNLISTEN channel_${index}`);
      await client.query(`NOTIFY channel_${index}, 'three'`);
      await client.query('SELECT 1');
      expect(heard).toEqual(['one', 'two']);
    }));

  test('WITH HOLD cursors', () =>
    withMany(async (client) => {
      await client.query('BEGIN');
      await client.query('DECLARE c CURSOR WITH HOLD FOR SELECT id FROM items ORDER BY id');
      await client.query('COMMIT');
      expect(await pins(client)).toBe('hold-cursor');
      expect(await value(client, 'FETCH 1 FROM c')).toBe(1);
      expect(await value(client, 'FETCH 1 FROM c')).toBe(2);
      await client.query('CLOSE c');
      await unpinned(client);
    }));

  test('PREPARE and DEALLOCATE', () =>
    withMany(async (client, index) => {
      await client.query(
        `PREPARE mine (int) AS SELECT name || ' of ${index}' FROM items WHERE id = $1`,
      );
      for (let round = 1; round <= 5; round++) {
        expect(await value(client, `EXECUTE mine(${round})`)).toBe(`item ${round} of ${index}`);
      }
      await client.query('DEALLOCATE mine');
      await expect(client.query('EXECUTE mine(1)')).rejects.toMatchObject({ code: '26000' });
    }));

  test('protocol-level prepared statements', () =>
    withMany(async (client, index) => {
      const text = `SELECT name || ' for ${index}' FROM items WHERE id = $1`;
      for (let round = 1; round <= 3; round++) {
        const { rows } = await client.query({
          name: 'same',
          text,
          values: [round],
          rowMode: 'array',
        });
        expect(rows).toEqual([[`item ${round} for ${index}`]]);
      }
    }));

  test('temporary tables that outlive their transaction', () =>
    withMany(async (client, index) => {
      await client.query('CREATE TEMP TABLE mine AS SELECT 0 AS n');
      expect(await pins(client)).toBe('temp-table');
      await client.query('INSERT INTO mine VALUES ($1)', [index]);
      expect(await value(client, 'SELECT max(n) FROM mine')).toBe(index);
      await client.query('DROP TABLE mine');
      await unpinned(client);
    }));

  test('temporary replication slots', async () => {
    const slots = `SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'temporary%'`;
    await withClients(
      async (...clients) => {
        for (const [index, client] of clients.entries()) {
          const create = 'SELECT pg_create_physical_replication_slot($1, false, true)';
          await client.query(create, [`temporary_${index}`]);
          expect(await pins(client)).toBe('session-function');
        }
        expect(await cluster.nodes[0]!.query(slots)).toHaveLength(2);
        await clients[1]!.query("SELECT pg_drop_replication_slot('temporary_1')");
      },
      [proxy],
      [proxy],
    );
    const areGone = async () => (await cluster.nodes[0]!.query(slots)).length === 0;
    await eventually(areGone, 'the slots have gone with their session');
  });

  test('LOAD', async () => {
    await withMany(async (client) => {
      await client.query("LOAD 'plpgsql'");
      expect(await pins(client)).toBe('load');
      await client.end();
    });
  });

  test('session-level advisory locks, as often as they were taken', () =>
    withMany(async (client, index) => {
      const lock = `SELECT pg_advisory_lock(${index})`;
      const unlock = `SELECT pg_advisory_unlock(${index})`;
      await client.query(lock);
      await client.query(lock);
      expect(await pins(client)).toBe('advisory-lock');
      expect(await value(client, unlock)).toBe(true);
      await client.query('SELECT 1');
      expect(await pins(client)).toBe('advisory-lock');
      expect(await value(client, unlock)).toBe(true);
      await unpinned(client);
      expect(await value(client, unlock)).toBe(false);
    }));
});

describe('what keeps a server connection', () => {
  const sole = (run: (client: pg.Client) => Promise<void>) => () => withClients(run, [proxy]);

  test(
    'goes with the transaction that brought it',
    sole(async (client) => {
      await client.query('BEGIN');
      await client.query('CREATE TEMP TABLE gone (n int)');
      await client.query('ROLLBACK');
      await unpinned(client);
    }),
  );

  test(
    'goes when a function takes it away, and comes when a DO block brings it',
    sole(async (client) => {
      await client.query('DO $$ BEGIN CREATE TEMP TABLE hidden (n int); END $$');
      await eventually(async () => (await pins(client)) === 'temp-table', 'pinned');
      await client.query('INSERT INTO hidden VALUES (1)');
      await client.query('DO $$ BEGIN DROP TABLE hidden; END $$');
      await unpinned(client);
    }),
  );

  test(
    'is found where a function has left it',
    sole(async (client) => {
      await client.query(`CREATE FUNCTION lock_it(n int) RETURNS void LANGUAGE plpgsql
        AS $$ BEGIN PERFORM pg_advisory_lock(n); END $$`);
      await client.query('SELECT lock_it(4712)');
      await eventually(async () => (await pins(client)) === 'advisory-lock', 'pinned');
      await client.query('SELECT pg_advisory_unlock(4712)');
      await unpinned(client);
    }),
  );

  describe('is a lock that was taken by what failed', () => {
    const key = 816;
    const fails = `SELECT pg_advisory_lock(n), 1 / (n - ${key}) FROM generate_series(${key}, ${key}) n`;
    const ways: Record<string, readonly string[]> = {
      'before its end': [fails],
      'in a transaction': ['BEGIN', fails, 'ROLLBACK'],
      'by its commit': [`INSERT INTO late VALUES (0); SELECT pg_try_advisory_lock(${key})`],
      'in a function': [`SELECT lock_and_fail(${key})`],
      'in a block': [`DO $$ BEGIN PERFORM pg_advisory_lock(${key}); RAISE 'no'; END $$`],
      'in what was prepared': [`PREPARE locks AS ${fails}`, 'EXECUTE locks', 'DEALLOCATE locks'],
    };

    beforeAll(async () => {
      await cluster.primary.query(`
        CREATE TABLE late (item int REFERENCES items DEFERRABLE INITIALLY DEFERRED);
        CREATE FUNCTION lock_and_fail(n int) RETURNS void LANGUAGE plpgsql
          AS $$ BEGIN PERFORM pg_advisory_lock(n); RAISE 'no'; END $$`);
      await cluster.waitForCatchup();
    });

    const isFree = async () => {
      const rows = await cluster.primary.query<{ free: boolean }>(
        `SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = ${key}) AS free`,
      );
      return rows[0]!.free;
    };

    for (const [way, statements] of Object.entries(ways)) {
      for (const queryMode of ['simple', 'extended'] as const) {
        if (queryMode === 'extended' && statements[0]!.includes(';')) continue;
        test(
          `${way}, ${queryMode}`,
          sole(async (client) => {
            let failures = 0;
            for (const text of statements) {
              const asked = queryMode === 'simple' ? { text } : { text, queryMode };
              await client.query(asked).catch(() => {
                failures += 1;
              });
            }
            expect(failures).toBe(1);
            await eventually(async () => (await pins(client)) === 'advisory-lock', 'pinned');
            expect(await value(client, `SELECT pg_advisory_unlock(${key})`)).toBe(true);
            await unpinned(client);
            expect(await isFree()).toBe(true);
          }),
        );
      }
    }

    test('and so is a setting that a block has committed before it failed', async () => {
      const sets = "PERFORM set_config('left.over', 'by a block', false)";
      for (const queryMode of ['simple', 'extended'] as const) {
        await withClients(
          async (client) => {
            const text = `DO $$ BEGIN ${sets}; COMMIT; RAISE 'no'; END $$`;
            const asked = queryMode === 'simple' ? { text } : { text, queryMode };
            await expect(client.query(asked)).rejects.toThrow('no');
            expect(await pins(client)).toBe('unknown-set');
          },
          [proxy],
        );
        await withClients(
          async (client) => {
            const left =
              "/* tidemark: primary */ SELECT nullif(current_setting('left.over', true), '') AS value";
            expect(await value(client, left)).toBeNull();
          },
          [proxy],
        );
      }
    });

    test('through a function call of the protocol, which has not even to fail', async () => {
      const { user, password, database } = cluster.nodes[0]!;
      const client = await RawClient.logIn({ ...proxy, user, password, database });
      // pg_advisory_lock(int8)
      await client.ask(call(2880, String(key)).bytes(''));
      expect(await isFree()).toBe(false);
      client.destroy();
      await eventually(isFree, 'the lock goes with its client');
    });
  });

  test('is nothing that a function has set, for others', async () => {
    const single = await startTestProxy(cluster, { pool: { size: 1 } });
    await withClients(
      async (left, right) => {
        await left.query(`CREATE FUNCTION set_it() RETURNS void LANGUAGE plpgsql
          AS $$ BEGIN PERFORM set_config('app.tenant', 'left', false); SET work_mem = '9MB'; END $$`);
        await left.query('SELECT set_it()');
        // On the same server connection, that to the primary.
        await right.query('BEGIN');
        await right.query('LOCK TABLE items IN ACCESS SHARE MODE');
        expect(await value(right, "SELECT current_setting('app.tenant', true)")).not.toBe('left');
        expect(await value(right, 'SHOW work_mem')).toBe('4MB');
        await right.query('COMMIT');
      },
      [single],
      [single],
    );
    await single.stop();
  });

  test(
    'is never kept on a replica',
    sole(async (client) => {
      await client.query("SET tidemark.target = 'replica'");
      await eventually(async () => {
        await client.query('SELECT lock_it(4713)');
        return (await route(client)).role === 'replica';
      }, 'taken on a replica');
      await client.query("SET tidemark.target = 'auto'");
      await client.query("UPDATE items SET name = 'x' WHERE id = 60");
      expect(await pins(client)).toBe('');
      await eventually(async () => {
        const locks = cluster.nodes
          .slice(1)
          .map((node) => node.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"));
        return (await Promise.all(locks)).flat().length === 0;
      }, 'the lock has gone with its connection');
    }),
  );

  test(
    'is nothing that a statement only tried to make',
    sole(async (client) => {
      await expect(client.query('CREATE TEMP TABLE broken (n nonsense)')).rejects.toThrow();
      await client.query('SELECT 1');
      expect(await pins(client)).toBe('');
    }),
  );

  test(
    'goes with DISCARD ALL',
    sole(async (client) => {
      await client.query('CREATE TEMP TABLE one (n int)');
      await client.query('SELECT pg_advisory_lock(4711)');
      await client.query('DISCARD ALL');
      expect(await pins(client)).toBe('');
    }),
  );

  test('never outlives its client', async () => {
    const locked = () =>
      cluster.nodes[0]!.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 815");
    await withClients(
      async (client) => {
        await client.query('SELECT pg_advisory_lock(815)');
        expect(await locked()).toHaveLength(1);
      },
      [proxy],
    );
    await eventually(async () => (await locked()).length === 0, 'the lock is gone');
  });

  test('lets reads go on to replicas when it has gone', async () => {
    await withClients(
      async (client) => {
        await client.query('CREATE TEMP TABLE mine (n int)');
        await client.query('SELECT count(*) FROM items');
        expect(await route(client)).toMatchObject({ node: 'primary', reason: 'pinned' });
        await client.query('DROP TABLE mine');
        await unpinned(client);
        await eventually(async () => {
          await client.query('SELECT count(*) FROM items');
          return (await route(client)).role === 'replica';
        }, 'reads on a replica');
      },
      [proxy],
    );
  });
});

describe('a session that keeps its server connection to be asked what it left', () => {
  /** Of one server connection. */
  let narrow: TestProxy;
  let busy: RawClient;
  let other: pg.Client;

  beforeAll(async () => {
    await cluster.nodes[0]!.query(
      "CREATE FUNCTION wander() RETURNS float8 LANGUAGE plpgsql AS 'BEGIN RETURN random(); END'",
    );
    await cluster.waitForCatchup();
    narrow = await startTestProxy(cluster, { pool: { size: 1, waitTimeoutMs: 60_000 } });
  });

  afterAll(() => narrow?.stop());

  beforeEach(async () => {
    const { host, port } = narrow;
    const { user, password, database } = cluster.nodes[0]!;
    busy = await RawClient.logIn({ host, port, user, password, database });
    other = await narrow.client();
  });

  afterEach(async () => {
    busy.destroy();
    await other.end();
    await eventually(async () => (await busyPools(narrow.httpUrl)).length === 0, 'idle pools');
  });

  const writes = (text: string) => other.query('UPDATE items SET name = $1 WHERE id = 1', [text]);

  /** The question waits for as long as this runs, and so does the next request for the answer. */
  async function whileAsked(next: string, run: (asked: number) => Promise<void>): Promise<void> {
    const locker = new pg.Client(cluster.primary.url());
    await locker.connect();
    try {
      await locker.query('BEGIN; LOCK TABLE pg_catalog.pg_prepared_statements');
      await busy.ask(query('SELECT wander()'));
      const asked = async () => {
        const rows = await cluster.primary.query<{ pid: number }>(
          "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%from_sql%'",
        );
        return rows[0]?.pid ?? null;
      };
      await eventually(async () => (await asked()) !== null, 'the question');
      const served = writes(next);
      await eventually(
        async () => (await metric(narrow, 'tidemark_pool_waiting')) === 1,
        'somebody who waits',
      );
      busy.send(query(next));
      await run((await asked())!);
      await locker.query('ROLLBACK');
      await served;
    } finally {
      await locker.end();
    }
  }

  test('leaves it to those who wait, however quickly it goes on', async () => {
    const answers = () => busy.frames.filter(({ type }) => type === 'Z').length;
    // Its next request is always there before the server has said what the last one has left.
    const many = 400;
    busy.send(...Array.from({ length: many }, () => query('SELECT wander()')));
    await busy.until('Z');
    await writes('served');
    expect(answers()).toBeLessThan(many);
    await busy.until('Z', many);
  });

  test('runs nothing any more for a client that has gone', async () => {
    await whileAsked('UPDATE items SET name = $$never$$ WHERE id = 2', async () => {
      busy.destroy();
      await eventually(
        async () => (await metric(narrow, 'tidemark_clients')) === 1,
        'one client only',
      );
    });
    expect(await value(other, 'SELECT name FROM items WHERE id = 2')).toBe('item 2');
  });

  test('gives up at once what is cancelled before it has begun', async () => {
    await whileAsked('SELECT pg_sleep(600), wander()', async () => {
      await busy.cancel();
      await busy.until('Z');
      expect(describeFrames(busy.take())).toEqual(['E:ERROR:57014', 'Z:I']);
    });
    expect(describeFrames(await busy.ask(query('SELECT 1')))).toContain('C:SELECT 1');
  });

  test('keeps what it has there when its next request is cancelled', async () => {
    await busy.ask(query('CREATE TEMP TABLE kept (a int)'));
    await whileAsked('SELECT pg_sleep(600), wander()', async () => {
      await busy.cancel();
      await busy.until('Z');
      expect(describeFrames(busy.take())).toEqual(['E:ERROR:57014', 'Z:I']);
      busy.send(query('DROP TABLE kept'));
    });
    await busy.until('Z');
    expect(describeFrames(busy.take())).toEqual(['C:DROP TABLE', 'Z:I']);
  });

  test('runs what waits elsewhere when the connection breaks', async () => {
    await whileAsked('SELECT 1, wander()', async (pid) => {
      await cluster.primary.query('SELECT pg_terminate_backend($1)', [pid]);
      await busy.until('Z');
      expect(describeFrames(busy.take())).toContain('C:SELECT 1');
    });
  });
});

describe('settings whose values only the server knows', () => {
  test('follow their session, on other connections too', async () => {
    const single = await startTestProxy(cluster, { pool: { size: 1 } });
    const read = "SELECT current_setting('app.tenant', true) AS tenant";
    await withClients(
      async (left, right) => {
        for (const [client, tenant] of [
          [left, "o'left"],
          [right, 'right'],
        ] as const) {
          await client.query("SELECT set_config('app.tenant', $1, false)", [tenant]);
        }
        for (let round = 0; round < 3; round++) {
          expect(await value(left, read)).toBe("o'left");
          expect(await value(right, read)).toBe('right');
          await left.query('INSERT INTO items VALUES ($1) ON CONFLICT DO NOTHING', [1000 + round]);
          expect(await value(right, read)).toBe('right');
        }
        await left.query('BEGIN');
        await left.query("SELECT set_config('app.tenant', $1, false)", ['undone']);
        await left.query('ROLLBACK');
        expect(await value(left, read)).toBe("o'left");
        await left.query("SELECT set_config('app.tenant', $1, $2)", ['gone at once', true]);
        expect(await value(left, read)).toBe("o'left");
        await unpinned(left);
      },
      [single],
      [single],
    );
    await single.stop();
  });

  test('do not keep a write on a replica', async () => {
    await withClients(
      async (client) => {
        for (let round = 0; round < 20; round++) {
          // Without waiting for the answers in between.
          const answers = [
            client.query("SELECT set_config('app.tenant', $1, false)", [String(round)]),
            client.query("UPDATE items SET name = current_setting('app.tenant') WHERE id = 50"),
            client.query('SELECT name FROM items WHERE id = 50'),
          ];
          const [, , read] = await Promise.all(answers);
          expect(read!.rows).toEqual([{ name: String(round) }]);
        }
      },
      [proxy],
    );
  });
});

describe('what a session has taken from sequences', () => {
  test('is told where nobody else has been since, and never mixed up', async () => {
    const single = await startTestProxy(cluster, { pool: { size: 1 } });
    await cluster.nodes[0]!.query('CREATE TABLE numbered (id serial, name text)');
    await withClients(
      async (left, right) => {
        const id = () => value(left, 'INSERT INTO numbered (name) VALUES (1) RETURNING id');
        const first = await id();
        expect(await value(left, 'SELECT lastval()')).toBe(String(first));
        expect(await value(left, "SELECT currval('numbered_id_seq')")).toBe(String(first));
        await expect(right.query('SELECT lastval()')).rejects.toMatchObject({ code: '55000' });
        await right.query('INSERT INTO numbered (name) VALUES (2)');
        await expect(left.query('SELECT lastval()')).rejects.toMatchObject({ code: '55000' });
        await left.query('BEGIN');
        const second = await id();
        expect(await value(left, 'SELECT lastval()')).toBe(String(second));
        await left.query('COMMIT');
      },
      [single],
      [single],
    );
    await single.stop();
  });

  test('is not what others have taken, whatever the session did on their server connection', async () => {
    const single = await startTestProxy(cluster, { pool: { size: 1 } });
    await cluster.nodes[0]!.query('CREATE SEQUENCE theirs');
    await withClients(
      async (left, right) => {
        const theirs = () => right.query("SELECT nextval('theirs')");
        const refuses = async () => {
          const none = { code: '55000' };
          await expect(left.query('SELECT lastval()')).rejects.toMatchObject(none);
          await expect(left.query("SELECT currval('theirs')")).rejects.toMatchObject(none);
        };
        await theirs();
        await left.query("UPDATE items SET name = '' WHERE id = 60");
        await refuses();
        await theirs();
        await left.query('BEGIN');
        await left.query('SELECT 1');
        await left.query("UPDATE items SET name = '' WHERE id = 60");
        await left.query('SAVEPOINT asks');
        await expect(left.query('SELECT lastval()')).rejects.toMatchObject({ code: '55000' });
        await left.query('ROLLBACK TO asks');
        await left.query('COMMIT');
        // What is taken within a transaction that began by reading is not left to others either.
        await theirs();
        await left.query('BEGIN');
        await left.query('SELECT 1');
        await left.query("SELECT nextval('theirs')");
        await left.query('COMMIT');
        await expect(right.query('SELECT lastval()')).rejects.toMatchObject({ code: '55000' });
        await left.query("SELECT nextval('theirs')");
        await left.query('DISCARD SEQUENCES');
        await refuses();
      },
      [single],
      [single],
    );
    await single.stop();
  });

  test('is not what it took on another server connection before', async () => {
    const pair = await startTestProxy(cluster, { pool: { size: 2 } });
    await cluster.nodes[0]!.query('CREATE SEQUENCE one; CREATE SEQUENCE two START 50');
    await withClients(
      async (client, other) => {
        // The other one holds the server connection that the session has last been on.
        const elsewhere = async (sql: string) => {
          await other.query('BEGIN READ ONLY');
          await other.query('SELECT pg_is_in_recovery()');
          await client.query(sql);
          await other.query('COMMIT');
        };
        await client.query("SELECT nextval('one')");
        await elsewhere("SELECT nextval('two')");
        expect(await value(client, 'SELECT lastval()')).toBe('50');
        await elsewhere("UPDATE items SET name = '' WHERE id = 61");
        await expect(client.query('SELECT lastval()')).rejects.toMatchObject({ code: '55000' });
      },
      [pair],
      [pair],
    );
    await pair.stop();
  });
});

describe('databases', () => {
  test('are copied, renamed and dropped when their clients have gone', async () => {
    await withClients(
      async (client) => {
        await client.query('CREATE DATABASE model_db');
        await withClients(
          (other) => other.query('CREATE TABLE t (n int)'),
          [proxy, { database: 'model_db' }],
        );
        await client.query('CREATE DATABASE copied_db TEMPLATE model_db');
        await withClients(
          async (other) => expect(await value(other, 'SELECT count(*) FROM t')).toBe('0'),
          [proxy, { database: 'copied_db' }],
        );
        await client.query('ALTER DATABASE copied_db RENAME TO renamed_db');
        await client.query('DROP DATABASE renamed_db');
        await client.query('DROP DATABASE model_db');
      },
      [proxy],
    );
  });

  test('and roles give new sessions their new defaults', async () => {
    await withClients(
      async (client) => {
        await client.query("ALTER ROLE CURRENT_USER SET work_mem TO '7MB'");
        await withClients(
          async (other) => {
            await other.query('BEGIN');
            await other.query('LOCK TABLE items IN ACCESS SHARE MODE');
            expect(await value(other, 'SHOW work_mem')).toBe('7MB');
            await other.query('COMMIT');
          },
          [proxy],
        );
        await client.query('ALTER ROLE CURRENT_USER RESET work_mem');
      },
      [proxy],
    );
  });
});

describe('SQL PREPARE', () => {
  const sole = (run: (client: pg.Client) => Promise<void>) => () => withClients(run, [proxy]);

  test(
    'of a read is executed on replicas, of a write on the primary',
    sole(async (client) => {
      await client.query('PREPARE reading (int) AS SELECT name FROM items WHERE id = $1');
      expect(await value(client, 'EXECUTE reading(7)')).toBe('item 7');
      expect(await route(client)).toMatchObject({ role: 'replica' });
      await client.query("PREPARE writing (int) AS UPDATE items SET name = 'new' WHERE id = $1");
      await client.query('EXECUTE writing(99)');
      expect(await route(client)).toMatchObject({ role: 'primary' });
      expect(await value(client, 'EXECUTE reading(99)')).toBe('new');
      expect(await value(client, 'EXPLAIN EXECUTE reading(1)')).toMatch(/items/);
      await client.query('CREATE TEMP TABLE copied AS EXECUTE reading(7)');
      expect(await value(client, 'SELECT name FROM copied')).toBe('item 7');
    }),
  );

  test(
    'shares its names with statements of the protocol',
    sole(async (client) => {
      await client.query('PREPARE shared (int) AS SELECT $1 + 1');
      await expect(client.query({ name: 'shared', text: 'SELECT 1' })).rejects.toMatchObject({
        code: '42P05',
      });
      await client.query({ name: 'parsed', text: 'SELECT $1::int * 2', values: [1] });
      expect(await value(client, 'EXECUTE parsed(21)')).toBe(42);
      await expect(client.query('PREPARE parsed AS SELECT 1')).rejects.toMatchObject({
        code: '42P05',
      });
    }),
  );

  test(
    'says of a table that has gone what PostgreSQL says',
    sole(async (client) => {
      await client.query('CREATE TABLE fleeting (n int)');
      await client.query('PREPARE of_it AS SELECT n FROM fleeting');
      await client.query('DROP TABLE fleeting');
      for (let round = 0; round < 3; round++) {
        await expect(client.query('EXECUTE of_it')).rejects.toMatchObject({ code: '42P01' });
      }
    }),
  );

  test("never executes another session's statement", async () => {
    const single = await startTestProxy(cluster, { pool: { size: 1 } });
    await withClients(
      async (left, right) => {
        await left.query('PREPARE p AS SELECT 1');
        await expect(right.query('EXECUTE p')).rejects.toMatchObject({ code: '26000' });
        await right.query('PREPARE p AS SELECT 2');
        for (let round = 0; round < 3; round++) {
          expect(await value(left, 'EXECUTE p')).toBe(1);
          expect(await value(right, 'EXECUTE p')).toBe(2);
        }
      },
      [single],
      [single],
    );
    await single.stop();
  });
});

describe('LISTEN', () => {
  /** What a client is told from now on: [channel, payload, pid]. */
  function hearing(client: pg.Client): [string, string, number][] {
    const heard: [string, string, number][] = [];
    client.on('notification', ({ channel, payload, processId }) => {
      heard.push([channel, payload ?? '', processId]);
    });
    return heard;
  }

  /** Asks the primary, past the proxy. */
  async function backendPid(sql: string): Promise<number> {
    const [row] = await cluster.nodes[0]!.query(sql);
    return Number(row!.pid);
  }

  test('takes effect with COMMIT, and not with ROLLBACK', async () => {
    await withClients(
      async (listener, notifier) => {
        const heard = hearing(listener);
        await listener.query('BEGIN');
        await listener.query('LISTEN kept');
        await listener.query('SAVEPOINT s');
        await listener.query('LISTEN undone');
        await listener.query('ROLLBACK TO s');
        await notifier.query("NOTIFY kept, 'too early'");
        await listener.query('COMMIT');
        await listener.query('BEGIN');
        await listener.query('LISTEN dropped');
        await listener.query('ROLLBACK');
        for (const channel of ['undone', 'dropped', 'kept']) {
          await notifier.query(`NOTIFY ${channel}, 'now'`);
        }
        await eventually(() => heard.length > 0, 'a notification');
        expect(heard.map(([channel, payload]) => [channel, payload])).toEqual([['kept', 'now']]);
      },
      [proxy],
      [proxy],
    );
  });

  test('is not told of what came before its UNLISTEN', async () => {
    await withClients(
      async (client) => {
        const told: string[] = [];
        client.on('notification', ({ payload }) => told.push(payload ?? ''));
        for (let round = 0; round < 20; round++) {
          await client.query('LISTEN quiet');
          await client.query(
            "NOTIFY quiet, 'left'; CREATE TEMP TABLE slow (a int); DROP TABLE slow; UNLISTEN quiet",
          );
        }
        await client.query("LISTEN quiet; NOTIFY quiet, 'stays'");
        await eventually(() => told.length > 0, 'the notification');
        expect(told).toEqual(['stays']);
        await client.query('UNLISTEN quiet');
      },
      [proxy],
    );
  });

  test('bears the number by which the notifying client knows itself', async () => {
    await withClients(
      async (listener, notifier) => {
        const heard = hearing(listener);
        const pid = async (client: pg.Client) =>
          Number(await value(client, 'SELECT pg_backend_pid()'));
        expect(await pid(listener)).toBe((listener as unknown as { processID: number }).processID);
        await listener.query('LISTEN numbered');
        await listener.query('NOTIFY numbered');
        expect(heard).toEqual([['numbered', '', await pid(listener)]]);
        await notifier.query('NOTIFY numbered');
        await eventually(() => heard.length === 2, 'the second');
        expect(heard[1]).toEqual(['numbered', '', await pid(notifier)]);
        // The news comes long before the backend has answered.
        const answered = notifier.query('BEGIN; NOTIFY numbered; COMMIT; SELECT pg_sleep(0.3)');
        await eventually(() => heard.length === 3, 'the third');
        await answered;
        expect(heard[2]).toEqual(['numbered', '', await pid(notifier)]);
        // One that Tidemark knows nothing of has its own.
        const backend = await backendPid(
          "SELECT pg_backend_pid() AS pid, pg_notify('numbered', '')",
        );
        await eventually(() => heard.length === 4, 'the fourth');
        expect(heard[3]).toEqual(['numbered', '', backend]);
      },
      [proxy],
      [proxy],
    );
  });

  test('is listed by pg_listening_channels()', async () => {
    await withClients(
      async (listener, other) => {
        for (const channel of ['"One"', 'two']) await listener.query(`LISTEN ${channel}`);
        const list =
          'SELECT array_agg(channel ORDER BY channel) FROM pg_listening_channels() channel';
        expect(await value(listener, list)).toEqual(['One', 'two']);
        expect(await value(other, list)).toBeNull();
        await listener.query('UNLISTEN *');
        expect(await value(listener, list)).toBeNull();
      },
      [proxy],
      [proxy],
    );
  });

  test('tells a session in a transaction when that has ended', async () => {
    await withClients(
      async (listener, notifier) => {
        const heard = hearing(listener);
        await listener.query('LISTEN patient');
        await listener.query('BEGIN');
        await listener.query('SELECT 1');
        await notifier.query("NOTIFY patient, 'waits'");
        await notifier.query('SELECT 1');
        await listener.query('SELECT 2');
        expect(heard).toEqual([]);
        await listener.query('COMMIT');
        await eventually(() => heard.length === 1, 'the notification');
      },
      [proxy],
      [proxy],
    );
  });

  test('holds one server connection for all, and none when nobody listens', async () => {
    const listening = async () =>
      (
        await cluster.nodes[0]!.query(
          "SELECT 1 FROM pg_stat_activity WHERE application_name = 'tidemark notifications'",
        )
      ).length;
    await eventually(async () => (await listening()) === 0, 'nobody listens');
    await withMany(async (client) => {
      await client.query('LISTEN everybody');
    });
    await eventually(async () => (await listening()) === 0, 'nobody listens any more');
    await withClients(
      async (...clients) => {
        const heard = clients.map(hearing);
        for (const client of clients) await client.query('LISTEN everybody');
        expect(await listening()).toBe(1);
        await clients[0]!.query("NOTIFY everybody, 'hello'");
        await eventually(() => heard.every(({ length }) => length === 1), 'all have heard');
      },
      ...Array.from({ length: 20 }, () => [proxy] as const),
    );
  });

  test('ends with an error when notifications may have been lost', async () => {
    await withClients(
      async (listener) => {
        const failed = new Promise<{ code?: string }>((resolve) => listener.once('error', resolve));
        await listener.query('LISTEN doomed');
        await cluster.nodes[0]!.query(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidemark notifications'",
        );
        expect(await failed).toMatchObject({ code: '57P01' });
      },
      [proxy],
    );
  });
});
