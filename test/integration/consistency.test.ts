import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
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

let cluster: TestCluster;
/** Two proxies in front of the same cluster. */
let proxy: TestProxy;
let other: TestProxy;

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 2 });
  // Reads wait rather than go to the primary, however slow the machine is.
  const freshness = { waitTimeoutMs: 30_000, maxStalenessMs: 60_000 };
  proxy = await startTestProxy(cluster, { freshness });
  other = await startTestProxy(cluster, { freshness });
  await cluster.primary.query('create table t (id int primary key, v int not null)');
  await cluster.primary.query('insert into t select i, 0 from generate_series(1, 100) i');
  await cluster.waitForCatchup();
});

afterAll(async () => {
  await proxy?.stop();
  await other?.stop();
  await cluster?.stop();
});

const value = async (client: pg.Client, id: number) =>
  (await client.query('select v from t where id = $1', [id])).rows[0].v;
const bump = (client: pg.Client, id: number) =>
  client
    .query('update t set v = v + 1 where id = $1 returning v', [id])
    .then(({ rows }) => rows[0].v);
describe('a token', () => {
  it('covers what its session wrote, at another proxy, on a new connection and in a hint', async () => {
    await withClients(
      async (writer) => {
        for (let round = 0; round < 20; round++) {
          const version = await bump(writer, 1);
          const token = await show(writer, 'lsn');
          expect(token).toMatch(/^\d+\/1\/[0-9A-F]+\/[0-9A-F]+$/);
          const at = round % 2 === 0 ? proxy : other;
          await withClients(
            async (reader) => {
              if (round % 4 < 2) {
                await reader.query(`set tidemark.min_lsn = '${token}'`);
                expect(await value(reader, 1)).toBeGreaterThanOrEqual(version);
              } else {
                const { rows } = await reader.query(
                  `/* tidemark: min_lsn=${token} */ select v from t where id = 1`,
                );
                expect(rows[0].v).toBeGreaterThanOrEqual(version);
              }
              expect((await route(reader)).role).toBe('replica');
            },
            [at],
          );
        }
      },
      [proxy],
    );
  });

  it('is waited for, and the read served by the replica that gets there', async () => {
    await whilePaused(cluster, async (resume) => {
      const [{ lsn }] = await cluster.primary
        .query('update t set v = v + 1 where id = 2')
        .then(() => cluster.primary.query('select pg_current_wal_insert_lsn()::text as lsn'));
      await withClients(
        async (reader) => {
          const before = await value(reader, 2);
          await reader.query(`set tidemark.min_lsn = '${lsn}'`);
          let answered: number | null = null;
          const reading = value(reader, 2).then((v) => {
            answered = v;
          });
          await eventually(
            async () => (await metric(proxy, 'tidemark_gate_waiters')) > 0,
            'it waits',
          );
          expect(answered).toBeNull();
          await resume();
          await reading;
          expect(answered).toBe(before + 1);
          expect(await route(reader)).toMatchObject({ role: 'replica', reason: 'read-waited' });
        },
        [proxy, option('consistency', 'eventual')],
      );
    });
  });

  it('covers what its session has seen, also from a replica', async () => {
    await withClients(
      async (first, second) => {
        await cluster.primary.query('update t set v = v + 1 where id = 3');
        await cluster.waitForCatchup();
        const seen = await value(first, 3);
        await second.query(`set tidemark.min_lsn = '${await show(first, 'lsn')}'`);
        expect(await value(second, 3)).toBeGreaterThanOrEqual(seen);
      },
      [proxy],
      [other],
    );
  });

  it('is pushed with each commit to those who ask at startup', async () => {
    await withClients(
      async (writer, reader) => {
        const tokens: string[] = [];
        const { connection } = writer as unknown as { connection: NodeJS.EventEmitter };
        connection.on(
          'parameterStatus',
          (status: { parameterName: string; parameterValue: string }) => {
            if (status.parameterName === 'tidemark.lsn') tokens.push(status.parameterValue);
          },
        );
        expect(await show(writer, 'report_lsn')).toBe('on');
        await writer.query('select 1');
        await writer.query('begin');
        await writer.query('update t set v = v + 1 where id = 4');
        expect(tokens).toEqual([]);
        await writer.query('commit');
        expect(tokens).toHaveLength(1);
        const version = await bump(writer, 4);
        expect(tokens).toHaveLength(2);
        // Also in front of what follows an error: the first part of the string has committed.
        expect(
          await code(
            writer.query('begin; update t set v = v + 1 where id = 4; commit; select 1/0'),
          ),
        ).toBe('22012');
        // pg rejects before it has read what follows the error.
        await eventually(() => tokens.length === 3, 'the token of the commit before the error');
        await reader.query(`set tidemark.min_lsn = '${tokens[2]}'`);
        expect(await value(reader, 4)).toBe(version + 1);
      },
      [proxy, option('report_lsn', 'on')],
      [other],
    );
  });

  it('that is garbage, of another system or ahead of the log is refused', async () => {
    const [{ id }] = await cluster.primary.query(
      'select system_identifier::text as id from pg_control_system()',
    );
    await withClients(
      async (client) => {
        const tokens = ['garbage', '0/0', '1/2/3', `${id}/1/FFFFFFFF`, `${id}x/1/0/1`];
        for (const token of tokens) {
          expect(await code(client.query(`set tidemark.min_lsn = '${token}'`))).toBe('22023');
        }
        for (const token of ['12345/1/0/1000', 'FFFFFFFF/FFFFFFFF', `${id}/1/FFFFFFFF/0`]) {
          expect(await code(client.query(`set tidemark.min_lsn = '${token}'`)), token).toBe(
            '22023',
          );
          const hinted = `/* tidemark: min_lsn=${token} */ select 1`;
          expect(await code(client.query(hinted)), token).toBe('22023');
        }
        expect(await show(client, 'min_lsn')).toBe('');
        expect(await code(proxy.client(option('min_lsn', 'garbage')))).toBe('22023');
        await withClients(
          async (late) => {
            expect(await code(late.query('select 1'))).toBe('22023');
          },
          [proxy, option('min_lsn', 'FFFFFFFF/0')],
        );
      },
      [proxy],
    );
  });

  it('in a failed or rolled-back transaction is forgotten with it', async () => {
    await withClients(
      async (client) => {
        const token = await show(client, 'lsn');
        await client.query('begin');
        await client.query(`set tidemark.min_lsn = '${token}'`);
        await client.query(`set local tidemark.consistency = 'strong'`);
        expect(await show(client, 'min_lsn')).toBe(token);
        await client.query('rollback');
        expect(await show(client, 'min_lsn')).toBe('');
        expect(await show(client, 'consistency')).toBe('session');
        await client.query('begin');
        expect(await code(client.query("set tidemark.min_lsn = 'garbage'"))).toBe('22023');
        expect(await code(client.query('select 1'))).toBe('25P02');
        await client.query('rollback');
      },
      [proxy],
    );
  });
});

describe('a strong read', () => {
  it('sees every commit that was acknowledged to anybody, from a replica', async () => {
    await withClients(
      async (reader) => {
        let onReplica = 0;
        for (let round = 0; round < 50; round++) {
          const [{ v }] = await cluster.primary.query(
            'update t set v = v + 1 where id = 5 returning v',
          );
          expect(await value(reader, 5)).toBe(v);
          if ((await route(reader)).role === 'replica') onReplica++;
        }
        expect(onReplica).toBe(50);
      },
      [proxy, option('consistency', 'strong')],
    );
  });

  it('in a READ ONLY transaction is gated before it begins', async () => {
    await withClients(
      async (reader) => {
        const [{ v }] = await cluster.primary.query(
          'update t set v = v + 1 where id = 6 returning v',
        );
        await reader.query('begin isolation level repeatable read read only');
        await reader.query("set local tidemark.consistency = 'strong'");
        expect(await value(reader, 6)).toBe(v);
        expect(await route(reader)).toMatchObject({
          role: 'replica',
          reason: 'read-only-transaction',
        });
        await cluster.primary.query('update t set v = v + 1 where id = 6');
        expect(await value(reader, 6)).toBe(v);
        // What its snapshot cannot have is refused rather than served stale.
        const hinted = '/* tidemark: consistency=strong */ select v from t where id = 6';
        await whilePaused(cluster, async () => {
          await cluster.primary.query('update t set v = v + 1 where id = 6');
          expect(await code(reader.query(hinted))).toBe('25001');
        });
        await reader.query('rollback');
      },
      [proxy],
    );
  });
});

describe('a global read', () => {
  it('sees what other sessions of the proxy wrote', async () => {
    await withClients(
      async (writer, reader) => {
        for (let round = 0; round < 20; round++) {
          const version = await bump(writer, 7);
          expect(await value(reader, 7)).toBe(version);
          expect((await route(reader)).role).toBe('replica');
        }
      },
      [proxy],
      [proxy, option('consistency', 'global')],
    );
  });
});

describe('a read for which no replica is fresh enough', () => {
  it('goes to the primary, or fails, as the session says', async () => {
    await whilePaused(cluster, async () => {
      await withClients(
        async (client) => {
          await client.query('set tidemark.wait_timeout = 1');
          const version = await bump(client, 8);
          expect(await value(client, 8)).toBe(version);
          expect((await route(client)).role).toBe('primary');
          await client.query("set tidemark.on_timeout = 'error'");
          expect(await code(value(client, 8))).toBe('57014');
          expect(
            (await client.query('/* tidemark: consistency=eventual */ select 1 as one')).rows,
          ).toEqual([{ one: 1 }]);
          await client.query('reset all');
          expect(await show(client, 'on_timeout')).toBe('primary');
          // DISCARD ALL forgets the settings, not what the session has written.
          await client.query('set tidemark.wait_timeout = 1');
          await client.query('discard all');
          await client.query('set tidemark.wait_timeout = 1');
          expect(await value(client, 8)).toBe(version);
        },
        [proxy],
      );
    });
  });

  it('goes there only as far as the limit of such reads lets it', async () => {
    const limited = await startTestProxy(cluster, {
      freshness: { waitTimeoutMs: 200, fallbackReadsMax: 1 },
    });
    try {
      await whilePaused(cluster, async () => {
        await withClients(
          async (first, second, locker) => {
            await bump(first, 9);
            await bump(second, 10);
            await locker.query('begin');
            await locker.query('lock table t in access exclusive mode');
            const blocked = value(first, 9);
            await eventually(
              async () => (await metric(limited, 'tidemark_fallback_reads')) === 1,
              'the first is on the primary',
            );
            expect(await code(second.query('select v from t where id = 10'))).toBe('57014');
            await locker.query('rollback');
            await blocked;
            expect(await value(second, 10)).toBeGreaterThan(0);
            expect(await metric(limited, 'tidemark_fallback_limit_total')).toBe(1);
          },
          [limited],
          [limited],
          [limited],
        );
      });
    } finally {
      await limited.stop();
    }
  });
});

describe('the settings', () => {
  it('of database and user come from the configuration, over them the connection’s', async () => {
    const configured = await startTestProxy(cluster, {
      freshness: {
        databases: { [cluster.database]: { consistency: 'bounded', maxStalenessMs: 60_000 } },
        users: { [cluster.user]: { consistency: 'eventual' } },
      },
    });
    try {
      await withClients(
        async (plain, own) => {
          expect(await show(plain, 'consistency')).toBe('eventual');
          expect(await show(plain, 'max_staleness')).toBe('1min');
          expect(await show(own, 'consistency')).toBe('global');
          await own.query('set tidemark.consistency = strong');
          await own.query('reset tidemark.consistency');
          expect(await show(own, 'consistency')).toBe('global');
        },
        [configured],
        [configured, option('consistency', 'global')],
      );
    } finally {
      await configured.stop();
    }
  });

  it('are not heard of by servers, also among other statements', async () => {
    await withClients(
      async (client) => {
        await client.query("set tidemark.consistency = 'strong'; select 1");
        expect(await show(client, 'consistency')).toBe('strong');
        const left = "select current_setting('tidemark.consistency', true) as v";
        for (let i = 0; i < 20; i++) {
          const { rows } = await client.query(`${left} /* tidemark: primary */`);
          expect(rows[0].v ?? '').toBe('');
        }
      },
      [proxy],
    );
  });

  it('with an unknown name or value are refused as PostgreSQL would', async () => {
    await withClients(
      async (client) => {
        expect(await code(client.query('set tidemark.lag = 1'))).toBe('42602');
        expect(await code(client.query("set tidemark.consistency = 'storng'"))).toBe('22023');
        expect(await code(client.query("set tidemark.lsn = '0/1'"))).toBe('55P02');
        expect(await code(client.query('show tidemark.lag'))).toBe('42704');
        expect(await code(proxy.client(option('consistency', 'x')))).toBe('22023');
        expect(await code(client.query('/* tidemark: consistency=x */ select 1'))).toBe('22023');
      },
      [proxy],
    );
  });
});
