import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Classifier } from '../../src/router/classifier.ts';
import { loadParser } from '../../src/router/parser.ts';
import type { DatabaseCatalog } from '../../src/session/database-catalog.ts';
import { classificationRows, introspectionRows } from '../support/classification-docs.ts';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { corpus } from './oracle/corpus.ts';
import { classify, isRead, loadedCatalog, Oracle } from './oracle/oracle.ts';
import { schema } from './oracle/schema.ts';
import { filesOf, runFile, SuiteReport } from './oracle/suite.ts';

/** Statements that end servers or sessions, or wait for what does not come. */
const untouchable =
  /pg_(terminate|cancel)_backend|pg_promote|pg_reload_conf|^ALTER SYSTEM|^CHECKPOINT|pg_sleep\(1\)/i;

/** What servers answer differently for a reason, in reads: chance, clocks, and who is asked. */
const differs =
  /random|uuid|clock_timestamp|now\(\)|transaction_timestamp|inet_server|gen_salt|clock_view|pg_roles|EXPLAIN|TimeZone|'now'|timezone_names/i;

/** lo_get() opens the large objects for writing, and writes nothing (open_lo_relation). */
function isHarmless(sql: string, deed: string): boolean {
  return sql.includes('lo_get') && deed === 'took relation RowExclusiveLock';
}

describe('each statement that does something', () => {
  let cluster: TestCluster;
  let catalog: DatabaseCatalog;
  let classifier: Classifier;
  let oracle: Oracle;
  const documented = [...classificationRows, ...introspectionRows].map(({ sql }) => sql);
  const statements = [...new Set([...documented, ...corpus])].filter(
    (sql) => !untouchable.test(sql),
  );

  beforeAll(async () => {
    await loadParser();
    cluster = await startTestCluster({ replicas: 1 });
    const node = cluster.nodes[0]!;
    await node.query(schema(node.port, node.user, node.password));
    catalog = await loadedCatalog(node);
    classifier = new Classifier({ catalog });
    oracle = new Oracle(node.url());
    await oracle.start();
  });

  afterAll(async () => {
    await oracle?.stop();
    catalog?.close();
    await cluster?.stop();
  });

  test.each(introspectionRows)(
    '$sql is asked where docs/introspection.md says',
    ({ sql, cells }) => {
      const { access, statements } = classify(classifier, sql);
      const effect = statements[0]!.effect?.kind;
      const isLocal = effect === 'backend-pid' || effect === 'show';
      expect(isLocal ? 'Tidemark' : access === 'read' ? 'any server' : 'the primary').toBe(
        cells[0],
      );
    },
  );

  test('is known not to be a read', async () => {
    expect(statements.length).toBeGreaterThan(900);
    const misrouted: string[] = [];
    const needless = new Map<string, number>();
    let did = 0;
    for (const sql of statements) {
      const classified = classify(classifier, sql);
      const { deeds, error } = await oracle.inTransaction(sql);
      if (deeds.length > 0) did += 1;
      if (isRead(classified)) {
        const alone = await oracle.alone(sql);
        const all = [...deeds.filter((deed) => !isHarmless(sql, deed)), ...alone.deeds];
        if (all.length > 0) misrouted.push(`${sql}: ${all.join(', ')}`);
      } else if (classified.access === 'write' && deeds.length === 0 && error === null) {
        const reason = classified.reason ?? 'none';
        needless.set(reason, (needless.get(reason) ?? 0) + 1);
      }
    }
    console.log(
      `${statements.length} statements, ${did} did something; on the primary for nothing:`,
      Object.fromEntries(needless),
    );
    expect(misrouted).toEqual([]);
    expect(did).toBeGreaterThan(200);
  }, 300_000);

  test('and each read is answered alike by a replica', async () => {
    const [primary, replica] = cluster.nodes;
    const [{ lsn }] = await primary!.query('SELECT pg_current_wal_insert_lsn()::text AS lsn');
    const clients = [new pg.Client(primary!.url()), new pg.Client(replica!.url())] as const;
    for (const client of clients) await client.connect();
    await expect
      .poll(
        async () =>
          (await replica!.query('SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS ok', [lsn]))[0]
            .ok,
      )
      .toBe(true);
    const wrong: string[] = [];
    let reads = 0;
    for (const sql of statements) {
      if (!isRead(classify(classifier, sql))) continue;
      reads += 1;
      const [here, there] = await Promise.all(clients.map((client) => answer(client, sql)));
      if (here!.error !== there!.error) wrong.push(`${sql}: ${here!.error} and ${there!.error}`);
      else if (!differs.test(sql) && here!.rows !== there!.rows) {
        wrong.push(`${sql}: ${here!.rows.slice(0, 200)} and ${there!.rows.slice(0, 200)}`);
      }
    }
    for (const client of clients) await client.end();
    expect(wrong).toEqual([]);
    expect(reads).toBeGreaterThan(150);
  }, 120_000);
});

/** A folder like src/test/regress of PostgreSQL's source: `parallel_schedule`, `sql/*.sql`, `data`. */
const suite = process.env.TIDEMARK_ORACLE_SUITE;

describe.runIf(suite !== undefined)('the statements of a regression suite', () => {
  test('are no reads where they do something', async () => {
    await loadParser();
    const cluster = await startTestCluster({ replicas: 0 });
    const report = new SuiteReport();
    try {
      for (const file of filesOf(suite!)) await runFile(cluster.nodes[0]!, suite!, file, report);
    } finally {
      console.log(report.text());
      await cluster.stop();
    }
    expect(report.misrouted).toEqual([]);
  }, 7_200_000);
});

async function answer(client: pg.Client, sql: string): Promise<{ error: string; rows: string }> {
  try {
    const results: unknown = await client.query({ text: sql, rowMode: 'array' });
    const rows = [results].flat().map((result) => (result as pg.QueryArrayResult).rows);
    return { error: '', rows: JSON.stringify(rows) };
  } catch (error) {
    if (error instanceof pg.DatabaseError) return { error: error.code ?? 'unknown', rows: '' };
    throw error;
  }
}
