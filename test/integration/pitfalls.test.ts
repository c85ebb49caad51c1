import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as frontend from '../../src/protocol/frontend.ts';
import { busyPools } from '../support/bystander.ts';
import { startTestCluster, type TestCluster, type TestNode } from '../support/cluster.ts';
import { fillPage } from '../support/fill-page.ts';
import { eventually, startTestProxy, type TestProxy } from '../support/proxy.ts';
import { type Frame, RawClient } from '../support/raw-client.ts';
import {
  code,
  metric,
  option,
  route,
  show,
  whilePaused,
  withClients,
} from '../support/sessions.ts';

/*
 * What goes wrong in splitters that compare log positions, one test or more for each: commits,
 * standbys and sessions here, failovers in pitfalls-failover.test.ts. Reads wait here for as long as
 * it takes, so that whatever is not awaited shows as a stale row.
 */

let cluster: TestCluster;
let proxy: TestProxy;
let other: TestProxy;
let target: { host: string; port: number; user: string; password: string; database: string };

beforeAll(async () => {
  cluster = await startTestCluster({
    replicas: 2,
    settings: { max_prepared_transactions: '10' },
  });
  const freshness = { waitTimeoutMs: 60_000, maxStalenessMs: 600_000 };
  proxy = await startTestProxy(cluster, { freshness });
  other = await startTestProxy(cluster, { freshness });
  const { user, password, database } = cluster;
  target = { host: proxy.host, port: proxy.port, user, password, database };
  await cluster.primary.query(`
    create table t (id int primary key, v int not null);
    insert into t select i, 0 from generate_series(1, 100) i;
    create procedure commits_then_fails(which int) language plpgsql as $$
      begin
        update t set v = v + 1 where id = which;
        commit;
        raise exception 'too late';
      end $$;
    create function swallows() returns int language plpgsql as $$
      begin
        insert into t values (1000 + (random() * 1e6)::int, 0);
        return 1;
      exception when others then
        return 0;
      end $$;
    create sequence s;`);
  await cluster.waitForCatchup();
});

afterAll(async () => {
  await proxy?.stop();
  await other?.stop();
  await cluster?.stop();
});

const value = async (client: pg.Client, id: number): Promise<number> =>
  (await client.query('select v from t where id = $1', [id])).rows[0].v;
const actual = async (id: number): Promise<number> =>
  (await cluster.primary.query('select v from t where id = $1', [id]))[0].v;

/** What has come up to the `count`th ReadyForQuery. */
async function answers(client: RawClient, count = 1): Promise<Frame[]> {
  await client.until('Z', count);
  return client.take();
}

/** Reads a row in a session that has to wait for paused replicas, which then go on. */
async function readsAfterCatchup(reader: pg.Client, id: number, resume: () => Promise<void>) {
  const reading = value(reader, id);
  await eventually(async () => (await metric(proxy, 'tidemark_gate_waiters')) > 0, 'it waits');
  await resume();
  const seen = await reading;
  expect((await route(reader)).role).toBe('replica');
  return seen;
}

describe('pitfall 1: a position behind the header of a page that nobody has written', () => {
  const places: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['at a page boundary', () => fillPage(cluster.primary)],
    ['at the start of a segment', () => cluster.primary.query('select pg_switch_wal()')],
  ];
  it.each(places)('is reached by replicas of an idle primary, %s', async (_, goThere) => {
    await withClients(
      async (taker, bare, reader) => {
        await goThere();
        const token = await show(taker, 'lsn');
        const [{ lsn }] = await cluster.primary.query(
          'select pg_current_wal_insert_lsn()::text as lsn',
        );
        await bare.query(`set tidemark.min_lsn = '${lsn}'`);
        await reader.query(`set tidemark.min_lsn = '${token}'`);
        for (const client of [bare, reader]) {
          await value(client, 1);
          expect((await route(client)).role).toBe('replica');
        }
      },
      [proxy],
      [proxy],
      [other, option('consistency', 'strong')],
    );
  });
});

describe('pitfall 2: synchronous_commit', () => {
  it.each(['off', 'local', 'on'])('%s: a commit is awaited, not guessed', async (mode) => {
    await withClients(
      async (client) => {
        await client.query(`set synchronous_commit = ${mode}`);
        for (let round = 0; round < 10; round++) {
          await client.query('update t set v = v + 1 where id = 2');
          expect(await value(client, 2)).toBe(await actual(2));
        }
      },
      [proxy],
    );
  });

  it('remote_apply: a commit is on the replica when it is acknowledged', async () => {
    await cluster.primary.setting('synchronous_standby_names', 'ANY 1 (*)');
    try {
      await withClients(
        async (client) => {
          await client.query('set synchronous_commit = remote_apply');
          for (let round = 0; round < 10; round++) {
            await client.query('update t set v = v + 1 where id = 2');
            expect(await value(client, 2)).toBe(await actual(2));
          }
        },
        [proxy],
      );
    } finally {
      await cluster.primary.setting('synchronous_standby_names', '');
    }
  });
});

describe('pitfall 4: commits that do not look like one', () => {
  /** What commits `by` times, and how it ends. */
  const cases: readonly (readonly [string, number, (client: pg.Client) => Promise<void>])[] = [
    [
      'CALL that commits and then fails',
      1,
      async (client) => {
        expect(await code(client.query('call commits_then_fails(3)'))).toBe('P0001');
        // Until the server has said what it left there, its session reads on the primary.
        await eventually(async () => (await busyPools(proxy.httpUrl)).length === 0, 'idle pools');
      },
    ],
    [
      'a string of statements that commits and then fails',
      1,
      async (client) => {
        const sql = 'begin; update t set v = v + 1 where id = 3; commit; select 1/0';
        expect(await code(client.query(sql))).toBe('22012');
      },
    ],
    [
      'a string of statements without BEGIN',
      2,
      async (client) => {
        await client.query(
          'update t set v = v + 1 where id = 3; update t set v = v + 1 where id = 3',
        );
      },
    ],
    [
      'COMMIT AND CHAIN, followed by ROLLBACK',
      1,
      async (client) => {
        await client.query('begin');
        await client.query('update t set v = v + 1 where id = 3');
        await client.query('commit and chain');
        await client.query('update t set v = v + 100 where id = 3');
        await client.query('rollback');
      },
    ],
    [
      'COMMIT that is answered with ROLLBACK',
      0,
      async (client) => {
        await client.query('begin');
        await client.query('update t set v = v + 1 where id = 3');
        expect(await code(client.query('select 1/0'))).toBe('22012');
        expect((await client.query('commit')).command).toBe('ROLLBACK');
      },
    ],
    [
      'COMMIT PREPARED',
      1,
      async (client) => {
        await client.query('begin');
        await client.query('update t set v = v + 1 where id = 3');
        await client.query("prepare transaction 'two phases'");
        await client.query("commit prepared 'two phases'");
      },
    ],
  ];
  it.each(cases)('%s', async (_, by, run) => {
    await withClients(
      async (client) => {
        const before = await actual(3);
        await whilePaused(cluster, async (resume) => {
          await run(client);
          expect(await readsAfterCatchup(client, 3, resume)).toBe(before + by);
        });
      },
      [proxy],
    );
  });

  it('pipelined: the read behind the Sync of a write sees it', async () => {
    const client = await RawClient.logIn(target);
    const extended = (sql: string) =>
      Buffer.concat([
        frontend.parse('', sql),
        frontend.bind({}),
        frontend.execute(),
        frontend.sync,
      ]);
    await whilePaused(cluster, async (resume) => {
      const before = await actual(4);
      client.send(
        Buffer.concat([
          extended('update t set v = v + 1 where id = 4'),
          extended('select v from t where id = 4'),
          extended('update t set v = v + 1 where id = 4 returning v'),
          extended('select v from t where id = 4'),
        ]),
      );
      await eventually(async () => (await metric(proxy, 'tidemark_gate_waiters')) > 0, 'it waits');
      await resume();
      const rows: number[] = [];
      for (const frame of await answers(client, 4)) {
        if (frame.type === 'D') rows.push(Number(frame.bytes.subarray(11).toString()));
      }
      expect(rows).toEqual([before + 1, before + 2, before + 2]);
    });
    client.destroy();
  });
});

/** Also while somebody commits: not older than what was there before, nor newer than afterwards. */
async function readsWhatIsThere(reader: pg.Client, id: number): Promise<void> {
  const before = await actual(id);
  const seen = await value(reader, id);
  expect(seen).toBeGreaterThanOrEqual(before);
  expect(seen).toBeLessThanOrEqual(await actual(id));
}

describe('pitfall 5: a client that goes in the middle of a commit', () => {
  it('leaves a clean pool, and whoever asks afterwards gets what became of it', async () => {
    await withClients(
      async (reader) => {
        const before = await actual(5);
        const leaver = await RawClient.logIn(target);
        leaver.send(frontend.query('begin; update t set v = v + 1 where id = 5; commit'));
        leaver.destroy();
        // It may have committed or not; nobody was told. What is shown must be what is there.
        await eventually(async () => {
          const rows = await cluster.primary.query(
            "select 1 from pg_stat_activity where query like 'begin; update%' and state <> 'idle'",
          );
          return rows.length === 0;
        }, 'the commit has ended');
        const after = await actual(5);
        expect([before, before + 1]).toContain(after);
        await reader.query(`set tidemark.min_lsn = '${await show(reader, 'lsn')}'`);
        await readsWhatIsThere(reader, 5);
        await eventually(
          async () => (await metric(proxy, 'tidemark_server_connections', 'state="active"')) === 0,
          'no server connection is in use',
        );
      },
      [proxy, option('consistency', 'strong')],
    );
  });

  it('also when the server commits only after that', async () => {
    await withClients(
      async (locker, reader) => {
        const before = await actual(6);
        await locker.query('begin');
        await locker.query('update t set v = v + 10 where id = 6');
        const leaver = await RawClient.logIn(target);
        // Sent whole: the server goes on with it whoever listens, unless it is cancelled.
        leaver.send(frontend.query('update t set v = v + 1 where id = 6'));
        await eventually(async () => {
          const rows = await cluster.primary.query(
            "select 1 from pg_stat_activity where wait_event_type = 'Lock'",
          );
          return rows.length > 0;
        }, 'it waits for the lock');
        leaver.destroy();
        await locker.query('commit');
        await eventually(async () => (await value(reader, 6)) >= before + 10, 'the lock is gone');
        await eventually(
          async () => (await metric(proxy, 'tidemark_server_connections', 'state="active"')) === 0,
          'no server connection is in use',
        );
        await readsWhatIsThere(reader, 6);
      },
      [other],
      [proxy, option('consistency', 'strong')],
    );
  });
});

describe('pitfall 6: the snapshot is taken after the proof', () => {
  it.each(['repeatable read', 'read committed'])('%s, READ ONLY', async (isolation) => {
    await withClients(
      async (client) => {
        await whilePaused(cluster, async (resume) => {
          await client.query('update t set v = v + 1 where id = 7');
          const version = await actual(7);
          await client.query(`begin isolation level ${isolation} read only`);
          expect(await readsAfterCatchup(client, 7, resume)).toBe(version);
          expect((await route(client)).reason).toBe('read-only-transaction');
          await client.query('commit');
        });
      },
      [proxy],
    );
  });

  it('a batch is not sent before the gate has been passed', async () => {
    const client = await RawClient.logIn(target);
    await whilePaused(cluster, async (resume) => {
      client.send(frontend.query('update t set v = v + 1 where id = 8'));
      await answers(client);
      const version = await actual(8);
      client.send(
        Buffer.concat([
          frontend.parse('', 'select v from t where id = 8'),
          frontend.bind({}),
          frontend.execute(),
          frontend.parse('', 'select v from t where id = 8'),
          frontend.bind({}),
          frontend.execute(),
          frontend.sync,
        ]),
      );
      await eventually(async () => (await metric(proxy, 'tidemark_gate_waiters')) > 0, 'it waits');
      for (const replica of cluster.replicas) {
        const [{ n }] = await replica.query(
          "select count(*)::int as n from pg_stat_activity where query like '%id = 8%' and pid <> pg_backend_pid()",
        );
        expect(n).toBe(0);
      }
      await resume();
      const frames = await answers(client);
      const rows = frames.filter(({ type }) => type === 'D');
      expect(rows.map(({ bytes }) => Number(bytes.subarray(11).toString()))).toEqual([
        version,
        version,
      ]);
    });
    client.destroy();
  });
});

describe('pitfall 7: a replica that restarts', () => {
  it.each(['immediate', 'fast'] as const)('(%s) is not believed what it had', async (mode) => {
    const [replica1, replica2] = cluster.replicas as [TestNode, TestNode];
    await withClients(
      async (client) => {
        await replica2.pauseReplay();
        try {
          for (let round = 0; round < 3; round++) {
            await client.query('update t set v = v + 1 where id = 9');
            const version = await actual(9);
            expect(await value(client, 9)).toBe(version);
            await replica1.stop(mode);
            await replica1.start();
            // Whatever it has replayed by now: the read waits for what the session has seen.
            expect(await value(client, 9)).toBe(version);
          }
        } finally {
          await replica2.resumeReplay();
        }
        await eventually(async () => {
          await value(client, 9);
          return (await route(client)).node === replica1.name;
        }, 'it serves again');
      },
      [proxy],
    );
  });
});

describe('pitfall 8: replication that stands still', () => {
  /** The replica's process of that kind. */
  async function backend(node: TestNode, type: string): Promise<number> {
    const [row] = await node.query('select pid from pg_stat_activity where backend_type = $1', [
      type,
    ]);
    return row.pid;
  }

  it.each(['walreceiver', 'walsender'] as const)('a stopped %s', async (type) => {
    const pids = await (type === 'walreceiver'
      ? Promise.all(cluster.replicas.map((replica) => backend(replica, type)))
      : cluster.primary
          .query("select pid from pg_stat_activity where backend_type = 'walsender'")
          .then((rows) => rows.map(({ pid }) => pid as number)));
    expect(pids).toHaveLength(2);
    await withClients(
      async (client, impatient) => {
        for (const pid of pids) process.kill(pid, 'SIGSTOP');
        try {
          await client.query('update t set v = v + 1 where id = 10');
          const version = await actual(10);
          await impatient.query('set tidemark.wait_timeout = 1');
          expect(await value(impatient, 10)).toBe(version);
          const reading = value(client, 10);
          await eventually(
            async () => (await metric(proxy, 'tidemark_gate_waiters')) > 0,
            'the read waits',
          );
          for (const pid of pids) process.kill(pid, 'SIGCONT');
          expect(await reading).toBe(version);
        } finally {
          for (const pid of pids) process.kill(pid, 'SIGCONT');
        }
      },
      [proxy],
      [proxy, option('consistency', 'strong')],
    );
  });

  it('recovery_min_apply_delay', async () => {
    for (const replica of cluster.replicas) await replica.setApplyDelay(300);
    try {
      await withClients(
        async (client) => {
          await client.query('update t set v = v + 1 where id = 10');
          expect(await value(client, 10)).toBe(await actual(10));
          expect((await route(client)).role).toBe('replica');
        },
        [proxy],
      );
    } finally {
      for (const replica of cluster.replicas) await replica.setApplyDelay(0);
    }
  });

  it('an idle primary makes nobody stale', async () => {
    const idle = await startTestProxy(cluster, {
      freshness: { maxStalenessMs: 300, waitTimeoutMs: 60_000, sampleIntervalMs: 20 },
    });
    try {
      await withClients(
        async (client) => {
          const [{ at }] = await cluster.primary.query('select clock_timestamp()::text as at');
          const age = 'select extract(epoch from clock_timestamp() - $1::timestamptz) as s';
          // For longer than the bound on staleness nobody writes anything.
          await eventually(
            async () => Number((await cluster.primary.query(age, [at]))[0].s) > 1,
            'a second has passed',
          );
          await value(client, 1);
          expect((await route(client)).role).toBe('replica');
          expect(await metric(idle, 'tidemark_node_staleness_seconds')).toBeLessThan(60);
        },
        [idle, option('consistency', 'bounded')],
      );
    } finally {
      await idle.stop();
    }
  });
});

describe('pitfall 11: what a standby answers, and answers wrongly', () => {
  /** Works on a standby, but means this server only, or says what is not so. */
  const wrong = [
    'select pg_try_advisory_lock(1)',
    'select pg_try_advisory_xact_lock(2)',
    'select pg_advisory_unlock_all()',
    'select pg_export_snapshot()',
    "select pg_sequence_last_value('s')",
    'select * from pg_sequences',
    'select pg_current_snapshot()',
    'select pg_current_xact_id_if_assigned()',
    'select setseed(0.5)',
    'select * from pg_locks limit 1',
    'select * from pg_prepared_xacts',
    'select * from pg_stat_replication limit 1',
    'select pg_listening_channels()',
    "copy (select 1) to '/dev/null'",
    "copy (select 1) to program 'true'",
    'select pg_reload_conf()',
    'checkpoint',
    'select pg_stat_reset()',
    'select pg_cancel_backend(0)',
    'select swallows()',
    'prepare p as insert into t values (-1, 0)',
    'declare c cursor with hold for select 1',
    'lock table t in access share mode',
  ];
  it.each(wrong)('%s runs on the primary', async (sql) => {
    await withClients(
      async (client) => {
        await client.query('begin');
        await client.query(sql).catch(() => undefined);
        await client.query('rollback');
        await client.query(sql).catch(() => undefined);
        expect((await route(client)).role).toBe('primary');
      },
      [proxy],
    );
  });

  it('a function that swallows the refusal of a write does write', async () => {
    await withClients(
      async (client) => {
        expect((await client.query('select swallows() as n')).rows).toEqual([{ n: 1 }]);
      },
      [proxy],
    );
  });

  it('a role whose transactions are SERIALIZABLE can log in, read and write', async () => {
    await cluster.primary.query(`
      create role careful login superuser password 'careful';
      alter role careful set default_transaction_isolation = 'serializable'`);
    await cluster.waitForCatchup();
    const careful = await startTestProxy(cluster, {
      users: [{ name: 'careful', secret: 'careful', serverPassword: 'careful' }],
    });
    try {
      const client = new pg.Client({
        host: careful.host,
        port: careful.port,
        user: 'careful',
        password: 'careful',
        database: cluster.database,
      });
      await client.connect();
      expect(await value(client, 1)).toBe(await actual(1));
      await client.query('update t set v = v where id = 1');
      expect((await client.query('show transaction_isolation')).rows).toEqual([
        { transaction_isolation: 'serializable' },
      ]);
      await client.end();
    } finally {
      await careful.stop();
    }
  });
});

describe('pitfall 13: reads that wait and do not wait any more', () => {
  const nobodyWaits = () =>
    eventually(async () => {
      const busy = await metric(proxy, 'tidemark_server_connections', 'state="active"');
      return busy === 0 && (await metric(proxy, 'tidemark_gate_waiters')) === 0;
    }, 'nobody waits and no server connection is in use');

  async function waitingReader(): Promise<{ client: RawClient; version: number }> {
    const client = await RawClient.logIn(target);
    client.send(frontend.query('update t set v = v + 1 where id = 13'));
    await answers(client);
    client.send(frontend.query('select v from t where id = 13'));
    await eventually(async () => (await metric(proxy, 'tidemark_gate_waiters')) > 0, 'it waits');
    return { client, version: await actual(13) };
  }

  it('for their client is gone', async () => {
    await whilePaused(cluster, async () => {
      const { client } = await waitingReader();
      client.destroy();
      await nobodyWaits();
    });
  });

  it('for they were cancelled', async () => {
    await whilePaused(cluster, async () => {
      await withClients(
        async (client) => {
          await client.query('update t set v = v + 1 where id = 13');
          const reading = code(value(client, 13));
          await eventually(
            async () => (await metric(proxy, 'tidemark_gate_waiters')) > 0,
            'it waits',
          );
          const { processID, secretKey } = client as unknown as {
            processID: number;
            secretKey: number;
          };
          const canceller = await RawClient.dial(target);
          const key = Buffer.alloc(4);
          key.writeInt32BE(secretKey);
          canceller.send(frontend.cancelRequest(processID, key));
          expect(await reading).toBe('57014');
          await nobodyWaits();
        },
        [proxy],
      );
    });
  });

  it('for the proxy shuts down', async () => {
    const ending = await startTestProxy(cluster, { freshness: { waitTimeoutMs: 600_000 } });
    await whilePaused(cluster, async () => {
      const client = await ending.client();
      await client.query('update t set v = v + 1 where id = 13');
      const reading = code(value(client, 13));
      await eventually(async () => (await metric(ending, 'tidemark_gate_waiters')) > 0, 'it waits');
      await ending.stop();
      expect(await reading).not.toBe('no error');
    });
  });

  it('are counted with the time that they have waited', async () => {
    const before = await metric(proxy, 'tidemark_read_wait_seconds_count', 'outcome="replica"');
    await whilePaused(cluster, async (resume) => {
      const { client } = await waitingReader();
      await resume();
      await answers(client);
      client.destroy();
    });
    expect(await metric(proxy, 'tidemark_read_wait_seconds_count', 'outcome="replica"')).toBe(
      before + 1,
    );
  });

  it('do not all go to the primary at once', async () => {
    const limited = await startTestProxy(cluster, {
      pool: { size: 50 },
      freshness: { waitTimeoutMs: 20, fallbackReadsMax: 2 },
    });
    try {
      await whilePaused(cluster, async () => {
        const clients = await Promise.all(Array.from({ length: 20 }, () => limited.client()));
        for (const client of clients) await client.query('update t set v = v + 1 where id = 13');
        const locker = clients[0]!;
        await locker.query('begin');
        await locker.query('lock table t in access exclusive mode');
        const reads = clients.slice(1).map((client) => code(value(client, 13)));
        await eventually(
          async () => (await metric(limited, 'tidemark_fallback_limit_total')) === 17,
          'all but two are refused',
        );
        const waiting =
          "select count(*)::int as n from pg_stat_activity where wait_event_type = 'Lock'";
        await eventually(
          async () => (await cluster.primary.query(waiting))[0].n === 2,
          'two wait on the primary',
        );
        await locker.query('rollback');
        expect((await Promise.all(reads)).toSorted()).toEqual([
          ...Array<string>(17).fill('57014'),
          ...Array<string>(2).fill('no error'),
        ]);
        await Promise.all(clients.map((client) => client.end()));
      });
    } finally {
      await limited.stop();
    }
  });
});

describe('pitfall 15: what a session asks for, and what it has seen', () => {
  it.each(['reset all', 'discard all'])('%s drops the first, not the second', async (sql) => {
    await withClients(
      async (client) => {
        await whilePaused(cluster, async (resume) => {
          await client.query('update t set v = v + 1 where id = 15');
          await client.query("set tidemark.on_timeout = 'error'");
          await client.query(sql);
          expect(await show(client, 'on_timeout')).toBe('primary');
          expect(await readsAfterCatchup(client, 15, resume)).toBe(await actual(15));
        });
      },
      [proxy],
    );
  });

  it('a level that asks for less for a while forgets nothing', async () => {
    await withClients(
      async (client) => {
        await whilePaused(cluster, async (resume) => {
          await client.query('update t set v = v + 1 where id = 15');
          await client.query("set tidemark.consistency = 'eventual'");
          expect(await value(client, 15)).toBe((await actual(15)) - 1);
          await client.query('reset tidemark.consistency');
          expect(await readsAfterCatchup(client, 15, resume)).toBe(await actual(15));
        });
      },
      [proxy],
    );
  });
});
