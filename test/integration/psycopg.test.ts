import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { startTestProxy, type TestProxy } from '../support/proxy.ts';

const run = promisify(execFile);
/** Where psycopg is installed, if not for the python3 on the PATH. */
const python = process.env['TIDEMARK_TEST_PYTHON'] ?? 'python3';

const hasPsycopg = await run(python, ['-c', 'import psycopg']).then(
  () => true,
  () => false,
);

let cluster: TestCluster;
let proxy: TestProxy;

/** Runs as its user would; what it prints is the answer. */
async function psycopg(script: string): Promise<string> {
  const code = `import os, psycopg\nurl = os.environ['TIDEMARK_URL']\n${script}`;
  const env = { ...process.env, TIDEMARK_URL: proxy.url };
  const { stdout, stderr } = await run(python, ['-c', code], { env });
  expect(stderr).toBe('');
  return stdout.trim();
}

describe.runIf(hasPsycopg)('psycopg', () => {
  beforeAll(async () => {
    cluster = await startTestCluster({ replicas: 2 });
    proxy = await startTestProxy(cluster, { pool: { size: 2, statementsMax: 3 } });
    await cluster.primary.query(`CREATE TABLE items (id int PRIMARY KEY, name text);
      INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, 100) i`);
    await cluster.waitForCatchup();
  });

  afterAll(async () => {
    await proxy?.stop();
    await cluster?.stop();
  });

  it('prepares what it executes often, and gives it up again', async () => {
    const said = await psycopg(`
with psycopg.connect(url, autocommit=True, prepare_threshold=1) as conn:
    conn.prepared_max = 3
    for turn in range(5):
        for n in range(8):
            row = conn.execute(f'SELECT %s::int + {n}, name FROM items WHERE id = %s', (turn, 1)).fetchone()
            assert row == (turn + n, 'item 1'), row
    print('ok')`);
    expect(said).toBe('ok');
  });

  it('prepares anew when its table has changed', async () => {
    const said = await psycopg(`
with psycopg.connect(url, autocommit=True) as conn, psycopg.connect(url, autocommit=True) as other:
    conn.execute('CREATE TABLE changing (id int)')
    for c in (conn, other):
        for _ in range(2):
            c.execute('SELECT * FROM changing', prepare=True)
    conn.execute('ALTER TABLE changing ADD COLUMN name text')
    with psycopg.connect(url, autocommit=True) as late:
        print(len(late.execute('SELECT * FROM changing', prepare=True).description))`);
    expect(said).toBe('2');
  });

  it('reads by cursors of the server and of the client, in text and in binary', async () => {
    const said = await psycopg(`
with psycopg.connect(url) as conn:
    with conn.cursor('of_server', binary=True) as cursor:
        cursor.itersize = 7
        cursor.execute('SELECT id FROM items ORDER BY id')
        print(sum(row[0] for row in cursor))
    with conn.cursor('scrolling', scrollable=True) as cursor:
        cursor.execute('SELECT id FROM items ORDER BY id')
        cursor.scroll(50)
        print(cursor.fetchone()[0])
    with conn.cursor('held', withhold=True) as cursor:
        cursor.execute('SELECT id FROM items ORDER BY id')
        conn.commit()
        print(cursor.fetchone()[0])
    print(len(list(conn.cursor().stream('SELECT id FROM items'))))`);
    expect(said.split('\n')).toEqual(['5050', '51', '1', '100']);
  });

  it('copies in and out, in text and in binary', async () => {
    const said = await psycopg(`
with psycopg.connect(url) as conn, conn.cursor() as cursor:
    cursor.execute('CREATE TABLE copied (id int, at timestamptz)')
    with cursor.copy('COPY copied FROM STDIN (FORMAT binary)') as copy:
        copy.set_types(['int4', 'timestamptz'])
        for n in range(1000):
            copy.write_row((n, None))
    conn.commit()
    with cursor.copy('COPY copied TO STDOUT') as copy:
        print(sum(1 for _ in copy.rows()))
    try:
        with cursor.copy('COPY copied FROM STDIN') as copy:
            copy.write_row((1, None))
            raise ZeroDivisionError
    except ZeroDivisionError:
        conn.rollback()
    print(cursor.execute('SELECT count(*) FROM copied').fetchone()[0])`);
    expect(said.split('\n')).toEqual(['1000', '1000']);
  });

  it('pipelines, and goes on behind an error', async () => {
    const said = await psycopg(`
with psycopg.connect(url, autocommit=True) as conn:
    with conn.pipeline() as pipeline:
        cursors = [conn.execute('SELECT %s::int, name FROM items WHERE id = 1', (n,)) for n in range(50)]
        pipeline.sync()
        failing = conn.execute('SELECT 1 / %s', (0,))
        try:
            pipeline.sync()
        except psycopg.errors.DivisionByZero:
            print('failed')
        conn.execute("UPDATE items SET name = 'changed' WHERE id = 1")
        after = conn.execute('SELECT name FROM items WHERE id = 1')
        pipeline.sync()
        print([c.fetchone()[0] for c in cursors] == list(range(50)), after.fetchone()[0])`);
    expect(said.split('\n')).toEqual(['failed', 'True changed']);
  });

  it('nests transactions, and prepares them in two phases', async () => {
    const said = await psycopg(`
conn = psycopg.connect(url)
with conn.transaction():
    conn.execute("INSERT INTO items VALUES (1000, 'outer')")
    try:
        with conn.transaction():
            conn.execute("INSERT INTO items VALUES (1001, 'inner')")
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
conn.commit()
conn.tpc_begin(conn.xid(1, 'gid', 'branch'))
conn.execute("INSERT INTO items VALUES (1002, 'two phases')")
conn.tpc_prepare()
conn.close()
with psycopg.connect(url) as conn:
    [xid] = conn.tpc_recover()
    conn.tpc_commit(xid)
    print(conn.execute('SELECT array_agg(id ORDER BY id) FROM items WHERE id >= 1000').fetchone()[0])`);
    expect(said).toBe('[1000, 1002]');
  });

  it('hears notifications of others and its own', async () => {
    const said = await psycopg(`
with psycopg.connect(url, autocommit=True) as conn, psycopg.connect(url, autocommit=True) as other:
    conn.execute('LISTEN news')
    for n in range(3):
        other.execute("SELECT pg_notify('news', %s)", (str(n),))
    print([(notice.payload, notice.channel) for notice in conn.notifies(stop_after=3)])
    conn.execute("NOTIFY news, 'own'")
    print([notice.payload for notice in conn.notifies(stop_after=1)])`);
    expect(said.split('\n')).toEqual(["[('0', 'news'), ('1', 'news'), ('2', 'news')]", "['own']"]);
  });

  it('cancels, and keeps settings, time zones and encodings', async () => {
    const said = await psycopg(`
import threading, time
with psycopg.connect(url, autocommit=True, options='-c statement_timeout=50000 -c TimeZone=Asia/Tokyo') as conn:
    timer = threading.Timer(0.5, conn.cancel)
    timer.start()
    try:
        conn.execute('SELECT pg_sleep(60)')
    except psycopg.errors.QueryCanceled:
        print('cancelled')
    print(conn.info.timezone, conn.execute('SHOW statement_timeout').fetchone()[0])
    conn.execute("SET client_encoding TO 'LATIN1'")
    print(conn.info.encoding, conn.execute("SELECT 'é'").fetchone()[0] == 'é')
    conn.execute('SET TimeZone TO DEFAULT')
    print(conn.info.timezone)`);
    expect(said.split('\n')).toEqual([
      'cancelled',
      'Asia/Tokyo 50s',
      'iso8859-1 True',
      'Asia/Tokyo',
    ]);
  });
});
