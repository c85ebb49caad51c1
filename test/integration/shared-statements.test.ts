import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { startTestProxy, type TestProxy } from '../support/proxy.ts';
import { option, route, withClients } from '../support/sessions.ts';

let cluster: TestCluster;
let proxy: TestProxy;

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 1 });
  // One server connection per node: whatever sessions share, they share it.
  proxy = await startTestProxy(cluster, { pool: { size: 1 } });
  await cluster.primary.query('CREATE SCHEMA a; CREATE SCHEMA b');
});

afterAll(async () => {
  await proxy?.stop();
  await cluster?.stop();
});

beforeEach(async () => {
  await cluster.primary.query(`DROP TABLE IF EXISTS things, a.place, b.place CASCADE;
    DROP TYPE IF EXISTS mood;
    CREATE TABLE things (id int, name text);
    INSERT INTO things VALUES (1, 'one')`);
  await cluster.waitForCatchup();
});

const named = (name: string, text: string, ...values: unknown[]) => ({ name, text, values });
const all = named('all', 'SELECT * FROM things');

const onPrimary = option('target', 'primary');

/** With sessions that share one server connection of the primary. */
const withSessions = <T>(count: number, run: (...clients: pg.Client[]) => Promise<T>) =>
  withClients(run, ...Array.from({ length: count }, () => [proxy, onPrimary] as const));

const planChanged = { code: '0A000', message: 'cached plan must not change result type' };

describe('a statement that sessions prepare with the same text', () => {
  it('is read anew by whoever prepares it after the table has changed', () =>
    withSessions(3, async (early, changer, late) => {
      expect((await early!.query(all)).rows).toEqual([{ id: 1, name: 'one' }]);
      await changer!.query('ALTER TABLE things ADD COLUMN more int');
      expect((await late!.query(all)).rows).toEqual([{ id: 1, name: 'one', more: null }]);
      await expect(early!.query(all)).rejects.toMatchObject(planChanged);
      // Still so, and no reason for others to fail.
      await expect(early!.query(all)).rejects.toMatchObject(planChanged);
      expect((await late!.query(all)).rows).toEqual([{ id: 1, name: 'one', more: null }]);
    }));

  it('is read anew within the transaction that changes the table', () =>
    withSessions(2, async (changer, other) => {
      await changer!.query(all);
      await changer!.query('BEGIN');
      await changer!.query('ALTER TABLE things DROP COLUMN name');
      expect((await changer!.query({ ...all, name: 'again' })).rows).toEqual([{ id: 1 }]);
      await changer!.query('ROLLBACK');
      const whole = [{ id: 1, name: 'one' }];
      expect((await other!.query(all)).rows).toEqual(whole);
      expect((await changer!.query({ ...all, name: 'once more' })).rows).toEqual(whole);
    }));

  it('is read anew when a change has gone past the proxy', () =>
    withSessions(3, async (early, late, later) => {
      await early!.query(all);
      await cluster.primary.query('ALTER TABLE things ADD COLUMN more int');
      const more = [{ id: 1, name: 'one', more: null }];
      expect((await late!.query(all)).rows).toEqual(more);
      await expect(early!.query(all)).rejects.toMatchObject(planChanged);
      expect((await later!.query(all)).rows).toEqual(more);
    }));

  it('is read anew after a transaction in which it failed', () =>
    withSessions(3, async (early, late, later) => {
      await early!.query(all);
      await cluster.primary.query('ALTER TABLE things ADD COLUMN more int');
      await late!.query('BEGIN');
      await late!.query(all).catch(() => {});
      await late!.query('ROLLBACK');
      await later!.query('BEGIN');
      const { rows } = await later!.query(all);
      expect(rows).toEqual([{ id: 1, name: 'one', more: null }]);
      await later!.query('COMMIT');
    }));

  it('has the types of its parameters looked up anew', () =>
    withSessions(2, async (one, other) => {
      const insert = (id: number | boolean) =>
        named('insert', 'INSERT INTO things (id) VALUES ($1) RETURNING id', id);
      await one!.query(insert(2));
      await one!.query('ALTER TABLE things ALTER COLUMN id TYPE bool USING id > 1');
      expect((await other!.query(insert(false))).rows).toEqual([{ id: false }]);
      await one!.query("CREATE TYPE mood AS ENUM ('glad')");
      const cast = named('cast', "SELECT 'glad'::mood AS mood");
      await one!.query(cast);
      await one!.query("DROP TYPE mood; CREATE TYPE mood AS ENUM ('sad', 'glad')");
      expect((await other!.query(cast)).rows).toEqual([{ mood: 'glad' }]);
    }));

  it('means what the settings of each session make of it', () =>
    withSessions(2, async (one, other) => {
      await cluster.primary.query(`CREATE TABLE a.place AS SELECT 'a' AS name;
        CREATE TABLE b.place AS SELECT 'b' AS name, 1 AS number`);
      const place = named('place', 'SELECT * FROM place');
      await one!.query('SET search_path TO a');
      await other!.query('SET search_path TO b');
      expect((await one!.query(place)).rows).toEqual([{ name: 'a' }]);
      expect((await other!.query(place)).rows).toEqual([{ name: 'b', number: 1 }]);
      const moment = named(
        'moment',
        "SELECT extract(epoch FROM timestamptz '2024-01-01 00:00')::int AS at",
      );
      await one!.query("SET TimeZone TO 'UTC'");
      await other!.query("SET TimeZone TO 'Asia/Tokyo'");
      expect((await one!.query(moment)).rows).toEqual([{ at: 1704067200 }]);
      expect((await other!.query(moment)).rows).toEqual([{ at: 1704067200 - 9 * 3600 }]);
    }));

  it('means what a transaction makes of it with SET LOCAL', () =>
    withSessions(2, async (one, other) => {
      const moment = named(
        'local',
        "SELECT extract(epoch FROM timestamptz '2024-01-01 00:00')::int AS at",
      );
      await one!.query('BEGIN');
      await one!.query("SET LOCAL TimeZone TO 'Asia/Tokyo'");
      expect((await one!.query(moment)).rows).toEqual([{ at: 1704067200 - 9 * 3600 }]);
      await one!.query('COMMIT');
      expect((await other!.query(moment)).rows).toEqual([{ at: 1704067200 }]);
    }));

  it('is not taken for a write when its table has changed', () =>
    withClients(
      async (reader, other) => {
        const ids = named('ids', 'SELECT * FROM things WHERE id > 0');
        await reader.query(ids);
        expect((await route(reader)).role).toBe('replica');
        await cluster.primary.query('ALTER TABLE things ADD COLUMN more int');
        await cluster.waitForCatchup();
        await expect(reader.query(ids)).rejects.toMatchObject(planChanged);
        expect((await other.query(ids)).rows).toEqual([{ id: 1, name: 'one', more: null }]);
        expect((await route(other)).role).toBe('replica');
      },
      [proxy],
      [proxy],
    ));
});
