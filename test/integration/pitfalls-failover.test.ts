import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster, type TestNode } from '../support/cluster.ts';
import { eventually, startTestProxy, type TestProxy } from '../support/proxy.ts';
import {
  code,
  metric,
  option,
  route,
  show,
  whilePaused,
  withClients,
} from '../support/sessions.ts';

/* The rest of the pitfalls: servers that crash, change their roles, or are not what they seem. */

const waiting = { waitTimeoutMs: 60_000, maxStalenessMs: 600_000 };

async function createTable(primary: TestNode): Promise<void> {
  await primary.query(`
    create table t (id int primary key, v int not null);
    insert into t select i, 0 from generate_series(1, 100) i`);
}
const value = async (client: pg.Client, id: number): Promise<number> =>
  (await client.query('select v from t where id = $1', [id])).rows[0].v;
const valueAt = async (node: TestNode, id: number): Promise<number> =>
  (await node.query('select v from t where id = $1', [id]))[0].v;
const bump = (client: pg.Client, id: number) =>
  client.query(`update t set v = v + 1 where id = ${id}`);

/** SQLSTATEs of the notices that come from now on. */
function notices(client: pg.Client): string[] {
  const codes: string[] = [];
  client.on('notice', (notice) => codes.push(notice.code ?? ''));
  return codes;
}

describe('pitfall 2: an asynchronous commit that a crash takes', () => {
  let cluster: TestCluster;
  let proxy: TestProxy;

  beforeAll(async () => {
    cluster = await startTestCluster({ replicas: 1, settings: { wal_writer_delay: '10s' } });
    await createTable(cluster.primary);
    await cluster.waitForCatchup();
    proxy = await startTestProxy(cluster, { freshness: waiting });
  });
  afterAll(async () => {
    await proxy?.stop();
    await cluster?.stop();
  });

  it('is told to the session that made it, which then reads what is left', async () => {
    await withClients(
      async (client) => {
        const told = notices(client);
        await client.query('set synchronous_commit = off');
        let isLost = false;
        for (let attempt = 0; attempt < 5 && !isLost; attempt++) {
          const before = await valueAt(cluster.primary, 1);
          told.length = 0;
          await bump(client, 1);
          // The log writer may have come first: then once more.
          await cluster.primary.kill9();
          await cluster.primary.start();
          await eventually(async () => (await code(client.query('select 1'))) === 'no error', 'up');
          isLost = (await valueAt(cluster.primary, 1)) === before;
          await eventually(async () => {
            const seen = await value(client, 1).catch(() => null);
            return seen === (await valueAt(cluster.primary, 1));
          }, 'the session reads what is there');
        }
        expect(isLost).toBe(true);
        expect(told).toEqual(['01000']);
        expect(
          await metric(proxy, 'tidemark_lost_history_total', 'kind="session"'),
        ).toBeGreaterThan(0);
      },
      [proxy],
    );
  });
});

describe('pitfall 9: a promotion', () => {
  let cluster: TestCluster;
  let proxy: TestProxy;
  let other: TestProxy;
  let lenient: TestProxy;
  let promoted: TestNode;
  let follower: TestNode;
  let kept: string;
  let lost: string;
  let loser: pg.Client;
  let loserTold: string[];
  let survivor: pg.Client;

  beforeAll(async () => {
    cluster = await startTestCluster({ replicas: 2, links: 'relayed' });
    [promoted, follower] = cluster.replicas as [TestNode, TestNode];
    await createTable(cluster.primary);
    await cluster.waitForCatchup();
    const freshness = { ...waiting, primaryWaitTimeoutMs: 60_000 };
    proxy = await startTestProxy(cluster, { freshness });
    other = await startTestProxy(cluster, { freshness });
    lenient = await startTestProxy(cluster, { freshness: { ...freshness, lostToken: 'warn' } });
    survivor = await proxy.client();
    loser = await proxy.client();
    loserTold = notices(loser);
    await bump(survivor, 1);
    kept = await show(survivor, 'lsn');
    await cluster.waitForCatchup();
    for (const replica of cluster.replicas) replica.cutLink();
    // Nobody but the primary has these.
    await loser.query('update t set v = 1000 where id > 50');
    lost = await show(loser, 'lsn');
    await cluster.primary.kill9();
    await promoted.promote();
    await follower.follow(promoted);
    // More than was lost, so that the positions alone would say that it is there.
    await eventually(
      async () =>
        (await code(survivor.query('update t set v = v + 1 where id < 40'))) === 'no error',
      'the promoted server takes writes',
    );
    for (const one of [proxy, other, lenient]) {
      await eventually(async () => {
        const staleness = await metric(
          one,
          'tidemark_node_staleness_seconds',
          `node="${follower.name}"`,
        );
        return staleness < 60;
      }, 'what follows the promoted server is proven fresh');
    }
    for (let round = 0; round < 20; round++)
      await survivor.query('update t set v = v + 1 where id < 40');
  });
  afterAll(async () => {
    await Promise.all([loser?.end(), survivor?.end()]);
    for (const one of [proxy, other, lenient]) await one?.stop();
    await cluster?.stop();
  });

  it('keeps what the promoted server had: its token is honoured, also by what follows it', async () => {
    await withClients(
      async (reader) => {
        await reader.query(`set tidemark.min_lsn = '${kept}'`);
        expect(await value(reader, 1)).toBeGreaterThan(0);
        expect(await route(reader)).toMatchObject({ node: follower.name, role: 'replica' });
      },
      [other],
    );
  });

  it.each(['proxy', 'other'])('a token of what was lost is refused (%s)', async (which) => {
    const at = which === 'proxy' ? proxy : other;
    const before = await metric(at, 'tidemark_lost_history_total', 'kind="token"');
    await withClients(
      async (client) => {
        expect(await code(client.query(`set tidemark.min_lsn = '${lost}'`))).toBe('55000');
        const hinted = `/* tidemark: min_lsn=${lost} */ select v from t where id = 60`;
        expect(await code(client.query(hinted))).toBe('55000');
        expect(await show(client, 'min_lsn')).toBe('');
      },
      [at],
    );
    expect(await metric(at, 'tidemark_lost_history_total', 'kind="token"')).toBe(before + 2);
  });

  it('or only warned of, where that is configured', async () => {
    await withClients(
      async (client) => {
        const told = notices(client);
        await client.query(`set tidemark.min_lsn = '${lost}'`);
        expect(told).toEqual(['01000']);
        expect(await value(client, 60)).toBe(0);
        await client.query(`/* tidemark: min_lsn=${lost} */ select v from t where id = 60`);
        expect(told).toEqual(['01000', '01000']);
      },
      [lenient],
    );
  });

  it('the session whose write was lost is told once, and reads on', async () => {
    loserTold.length = 0;
    expect(await value(loser, 60)).toBe(0);
    expect(loserTold).toEqual(['01000']);
    expect(await value(loser, 60)).toBe(0);
    expect(loserTold).toEqual(['01000']);
  });

  it('sessions of before go on, and read what they write', async () => {
    for (let round = 0; round < 10; round++) {
      await bump(survivor, 2);
      expect(await value(survivor, 2)).toBe(await valueAt(promoted, 2));
      expect((await route(survivor)).node).toBe(follower.name);
    }
  });

  it('the promoted server is a primary, though its replay position is frozen', async () => {
    const [{ lsn }] = await promoted.query('select pg_last_wal_replay_lsn()::text as lsn');
    expect(lsn).not.toBeNull();
    expect(
      await metric(proxy, 'tidemark_node_role', `node="${promoted.name}",role="primary"`),
    ).toBe(1);
    // Not by way of its replay position either: nothing is read there as from a replica.
    await withClients(
      async (client) => {
        for (let i = 0; i < 10; i++) {
          await value(client, 1);
          expect((await route(client)).node).toBe(follower.name);
        }
      },
      [proxy, option('consistency', 'bounded')],
    );
  });

  it('the former primary is fenced when it comes back as one', async () => {
    await cluster.primary.start();
    await eventually(
      async () =>
        (await metric(
          proxy,
          'tidemark_node_role',
          `node="${cluster.primary.name}",role="fenced"`,
        )) === 1,
      'it is fenced',
    );
    await bump(survivor, 3);
    expect((await route(survivor)).node).toBe(promoted.name);
    expect(await valueAt(cluster.primary, 3)).not.toBe(await valueAt(promoted, 3));
    expect(await value(survivor, 3)).toBe(await valueAt(promoted, 3));
    await withClients(
      async (client) => {
        for (let i = 0; i < 20; i++) {
          expect(await value(client, 60)).toBe(0);
        }
      },
      [proxy, option('consistency', 'eventual')],
    );
  });
});

describe('on an ordinary cluster', () => {
  let cluster: TestCluster;
  let proxy: TestProxy;

  beforeAll(async () => {
    cluster = await startTestCluster({ replicas: 2 });
    await createTable(cluster.primary);
    await cluster.waitForCatchup();
    proxy = await startTestProxy(cluster, { freshness: waiting });
  });
  afterAll(async () => {
    await proxy?.stop();
    await cluster?.stop();
  });

  it('pitfall 10: a read on the primary raises what the next one on a replica must show', async () => {
    await withClients(
      async (client) => {
        await whilePaused(cluster, async (resume) => {
          await cluster.primary.query('update t set v = v + 1 where id = 10');
          const { rows } = await client.query(
            '/* tidemark: primary */ select v from t where id = 10',
          );
          const reading = value(client, 10);
          await eventually(
            async () => (await metric(proxy, 'tidemark_gate_waiters')) > 0,
            'it waits',
          );
          await resume();
          expect(await reading).toBe(rows[0].v);
          expect((await route(client)).role).toBe('replica');
        });
      },
      [proxy],
    );
  });

  it('pitfall 10: what no position tells: a commit that its primary does not show yet', async () => {
    await cluster.primary.setting('synchronous_standby_names', 'nobody');
    try {
      await withClients(
        async (writer, reader) => {
          const before = await valueAt(cluster.primary, 11);
          const writing = bump(writer, 11);
          const [replica] = cluster.replicas as [TestNode, TestNode];
          await eventually(
            async () => (await valueAt(replica, 11)) === before + 1,
            'it is replayed',
          );
          await eventually(async () => (await value(reader, 11)) === before + 1, 'it is read');
          expect((await route(reader)).role).toBe('replica');
          // The limit that docs/freshness.md and docs/consistency.md name.
          const { rows } = await reader.query(
            '/* tidemark: primary */ select v from t where id = 11',
          );
          expect(rows[0].v).toBe(before);
          await cluster.primary.setting('synchronous_standby_names', '');
          await writing;
          expect(await value(reader, 11)).toBe(before + 1);
        },
        [proxy],
        [proxy],
      );
    } finally {
      await cluster.primary.setting('synchronous_standby_names', '');
    }
  });

  it('pitfall 12: a database is dropped under pooled connections (57P04), and made again', async () => {
    for (let round = 0; round < 3; round++) {
      await cluster.primary.query('create database passing');
      await cluster.waitForCatchup();
      await withClients(
        async (inside, outside) => {
          for (let i = 0; i < 10; i++) await inside.query('select 1');
          await cluster.primary.query('drop database passing with (force)');
          await cluster.waitForCatchup();
          expect(['3D000', '57P01', '08006']).toContain(await code(inside.query('select 1')));
          expect(await value(outside, 1)).toBe(await valueAt(cluster.primary, 1));
        },
        [proxy, { database: 'passing' }],
        [proxy],
      );
    }
  });

  it('pitfall 12: nothing runs again once its client has seen a row', async () => {
    await withClients(
      async (client) => {
        const before = await metric(proxy, 'tidemark_retries_total');
        let rows = 0;
        const rowsOfAll = client.query(
          'select i, repeat(chr(65), 500) from generate_series(1, 20000000) i',
        );
        const reading = code(rowsOfAll);
        client.connection.on('dataRow', () => {
          rows += 1;
        });
        await eventually(() => rows > 0, 'a row has come');
        for (const replica of cluster.replicas) {
          await replica.query(
            `select pg_terminate_backend(pid) from pg_stat_activity where query like '%generate_series(1, 20000000)%' and pid <> pg_backend_pid()`,
          );
        }
        expect(await reading).not.toBe('no error');
        expect(await metric(proxy, 'tidemark_retries_total')).toBe(before);
      },
      [proxy],
    );
  });

  it('pitfall 16: who was notified of a commit reads it, and so does who gets its token', async () => {
    // No sample but those that somebody waits for.
    const rare = await startTestProxy(cluster, {
      freshness: { ...waiting, sampleIntervalMs: 60_000 },
    });
    await withClients(
      async (listener, reader) => {
        await listener.query('listen changes');
        const [replica] = cluster.replicas as [TestNode, TestNode];
        for (let round = 0; round < 5; round++) {
          // A sample from before the commit, which covers all that the listener has asked for.
          await reader.query('/* tidemark: consistency=strong */ select v from t where id = 1');
          const notified = new Promise((resolve) => listener.once('notification', resolve));
          await whilePaused(cluster, async (resume) => {
            await cluster.primary.query('update t set v = v + 1 where id = 16; notify changes');
            const version = await valueAt(cluster.primary, 16);
            await notified;
            expect(await valueAt(replica, 16)).toBe(version - 1);
            const token = await show(listener, 'lsn');
            await reader.query(`set tidemark.min_lsn = '${token}'`);
            const readings = [value(reader, 16), value(listener, 16)];
            await resume();
            expect(await Promise.all(readings)).toEqual([version, version]);
          });
        }
      },
      [rare],
      [rare, option('consistency', 'eventual')],
    ).finally(() => rare.stop());
  });

  it('pitfall 16: a server of another system among the nodes gets no statement', async () => {
    const foreign = await startTestCluster({ replicas: 0 });
    const nodes = [...cluster.nodes, foreign.primary];
    const mixed = await startTestProxy({ nodes } as unknown as TestCluster, {
      freshness: waiting,
      users: [],
    });
    try {
      await eventually(
        async () => (await metric(mixed, 'tidemark_node_role', 'role="replica"')) === 2,
        'the replicas are known',
      );
      await withClients(
        async (client) => {
          for (let i = 0; i < 30; i++) {
            await bump(client, 17);
            expect(await value(client, 17)).toBe(await valueAt(cluster.primary, 17));
          }
        },
        [mixed],
      );
    } finally {
      await mixed.stop();
      await foreign.stop();
    }
  });
});
