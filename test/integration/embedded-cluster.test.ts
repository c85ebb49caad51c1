import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { chmod, cp, mkdir, readFile, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Account } from '../../src/embedded/account.ts';
import { clusterNameOf } from '../../src/embedded/cluster-server.ts';
import {
  platformPackage,
  removeOldCopies,
  tryInstallation,
  usablePrograms,
} from '../../src/embedded/installation.ts';
import { OpenCluster } from '../../src/embedded/open-cluster.ts';
import { killServer, serverProcesses, waitUntil } from '../../src/embedded/processes.ts';
import {
  type EmbeddedCluster,
  type EmbeddedNode,
  startEmbeddedCluster,
} from '../../src/embedded/start-embedded-cluster.ts';
import { hasDebian15, startTestCluster, type TestCluster } from '../support/cluster.ts';
import { type WatchedFolder, watchedFolder } from '../support/cluster-sweeper.ts';

const conditionLimitMs = 60_000;
const program = new URL('../support/cluster-program.ts', import.meta.url).pathname;

type Report = EmbeddedCluster & { progress: string[]; error?: string };

let folder: WatchedFolder;
let dataDir: string;
const programs: ChildProcess[] = [];

beforeEach(async () => {
  folder = await watchedFolder();
  dataDir = join(folder.path, 'data');
});

afterEach(async () => {
  for (const child of programs.splice(0)) child.kill('SIGKILL');
  await folder.remove();
});

async function runProgram(
  replicas: number,
): Promise<{ child: ChildProcess; ended: Promise<unknown>; report: Report }> {
  const args = ['--import', 'tsx', program, dataDir, String(replicas)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  programs.push(child);
  const ended = once(child, 'exit');
  if (child.stdout === null) throw new Error('no output');
  const [line] = await once(createInterface(child.stdout), 'line');
  return { child, ended, report: JSON.parse(line) };
}

async function start(replicas: number): Promise<{ cluster: EmbeddedCluster; progress: string[] }> {
  const progress: string[] = [];
  const cluster = await startEmbeddedCluster({
    dataDir,
    replicas,
    progress: (line) => progress.push(line),
  });
  return { cluster, progress };
}

async function query(
  cluster: EmbeddedCluster,
  node: EmbeddedNode | undefined,
  sql: string,
  // biome-ignore lint/suspicious/noExplicitAny: rows are whatever the test asked for
): Promise<any[]> {
  if (node === undefined) throw new Error('no such node');
  const { user, password, database } = cluster;
  const client = new pg.Client({ host: node.host, port: node.port, user, password, database });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Writes on the primary and waits until every replica shows it. */
async function expectReplication(cluster: EmbeddedCluster, value: number): Promise<void> {
  const [primary, ...replicas] = cluster.nodes;
  await query(
    cluster,
    primary,
    `create table if not exists seen (value int); insert into seen values (${value})`,
  );
  for (const replica of replicas) {
    const shown = await waitUntil(async () => {
      const rows = await query(
        cluster,
        replica,
        `select count(*)::int as found from pg_class where relname = 'seen'`,
      );
      if (rows[0].found === 0) return false;
      const found = await query(cluster, replica, `select from seen where value = ${value}`);
      return found.length === 1;
    }, conditionLimitMs);
    expect(shown, `${replica.name} shows ${value}`).toBe(true);
  }
}

async function runningServers(): Promise<number> {
  const names = ['primary', 'replica1', 'replica2'];
  const found = await Promise.all(
    names.map((name) => serverProcesses(join(dataDir, name), clusterNameOf(dataDir, name))),
  );
  return found.flat().length;
}

const ports = (cluster: EmbeddedCluster) => cluster.nodes.map((node) => node.port);

test('starts, replicates, and keeps data, ports and password over a restart', async () => {
  const first = await start(2);
  expect(first.cluster.nodes.map(({ name, role }) => ({ name, role }))).toEqual([
    { name: 'primary', role: 'primary' },
    { name: 'replica1', role: 'replica' },
    { name: 'replica2', role: 'replica' },
  ]);
  await expectReplication(first.cluster, 1);
  await first.cluster.stop();
  expect(await runningServers()).toBe(0);

  const second = await start(2);
  expect(ports(second.cluster)).toEqual(ports(first.cluster));
  expect(second.cluster.password).toBe(first.cluster.password);
  expect(second.progress.filter((line) => /initialising|copying|rebuilding/.test(line))).toEqual(
    [],
  );
  const [, replica] = second.cluster.nodes;
  expect(await query(second.cluster, replica, 'select value from seen')).toEqual([{ value: 1 }]);
  await expectReplication(second.cluster, 2);
  await second.cluster.stop();
});

test('listens on loopback only, asks for the password, and keeps it from other users', async () => {
  const { cluster } = await start(0);
  const [primary] = cluster.nodes;
  const settings = await query(
    cluster,
    primary,
    `select name, setting from pg_settings
     where name in ('listen_addresses', 'unix_socket_directories', 'fsync', 'full_page_writes')
     order by name`,
  );
  expect(settings.map((row) => row.setting)).toEqual(['on', 'on', '127.0.0.1', '']);
  await expect(query({ ...cluster, password: 'wrong' }, primary, 'select 1')).rejects.toMatchObject(
    {
      code: '28P01',
    },
  );
  expect((await stat(join(dataDir, 'cluster.json'))).mode & 0o777).toBe(0o600);
  expect((await stat(join(dataDir, 'primary', 'tidemark.conf'))).mode & 0o777).toBe(0o600);
  await cluster.stop();
});

test('keeps committed data when the program and all servers are killed', async () => {
  const { child, ended, report } = await runProgram(2);
  await expectReplication(report, 1);
  child.kill('SIGKILL');
  await ended;
  for (const node of report.nodes) {
    await killServer(node.dataDir, clusterNameOf(dataDir, node.name));
  }
  const { cluster } = await start(2);
  await expectReplication(cluster, 2);
  expect(await query(cluster, cluster.nodes[0], 'select value from seen order by 1')).toEqual([
    { value: 1 },
    { value: 2 },
  ]);
  await cluster.stop();
});

test('stops the servers that a killed program left behind', async () => {
  const { child, ended, report } = await runProgram(2);
  child.kill('SIGKILL');
  await ended;
  expect(await runningServers()).toBeGreaterThan(0);

  const { cluster, progress } = await start(2);
  expect(progress).toContain('stopped primary, left running by a program that was killed');
  expect(ports(cluster)).toEqual(ports(report));
  await expectReplication(cluster, 1);
  await cluster.stop();
  expect(await runningServers()).toBe(0);
});

test('refuses a folder that another program uses, and names that program', async () => {
  const { child, ended, report } = await runProgram(1);
  await expect(start(1)).rejects.toThrow(`another Tidemark (pid ${child.pid})`);
  // The refused one has touched nothing.
  await expectReplication(report, 1);
  child.kill('SIGTERM');
  await ended;
  expect(await runningServers()).toBe(0);
  const { cluster } = await start(1);
  await cluster.stop();
});

test('shuts the servers down when the program ends without stopping them', async () => {
  const { child, ended } = await runProgram(1);
  child.kill('SIGUSR2');
  await ended;
  expect(await waitUntil(async () => (await runningServers()) === 0, conditionLimitMs)).toBe(true);
});

test('servers are in sessions of their own, out of reach of Ctrl-C', async () => {
  const { cluster } = await start(1);
  for (const node of cluster.nodes) {
    const fields = (await readFile(`/proc/${node.pid}/stat`, 'utf8')).split(') ')[1]?.split(' ');
    // proc(5): state, parent, process group, session.
    expect(fields?.slice(2, 4)).toEqual([String(node.pid), String(node.pid)]);
  }
  await cluster.stop();
});

test('gives up a start on request and leaves nothing running', async () => {
  const abort = new AbortController();
  const starting = startEmbeddedCluster({
    dataDir,
    replicas: 2,
    progress: (line) => {
      if (line === 'starting primary') abort.abort(new Error('no more'));
    },
    signal: abort.signal,
  });
  await expect(starting).rejects.toThrow('no more');
  expect(await runningServers()).toBe(0);
  const { cluster } = await start(2);
  await expectReplication(cluster, 1);
  await cluster.stop();
});

test('takes another port when the old one is taken, and the replicas follow', async () => {
  const first = await start(1);
  await expectReplication(first.cluster, 1);
  await first.cluster.stop();
  const squatter: Server = createServer().listen(first.cluster.nodes[0]?.port, '127.0.0.1');
  await once(squatter, 'listening');
  try {
    const { cluster } = await start(1);
    expect(ports(cluster)[0]).not.toBe(ports(first.cluster)[0]);
    expect(ports(cluster)[1]).toBe(ports(first.cluster)[1]);
    await expectReplication(cluster, 2);
    await cluster.stop();
  } finally {
    squatter.close();
  }
});

test('rebuilds a replica whose WAL is gone, and one with the data of another cluster', async () => {
  const first = await start(2);
  await expectReplication(first.cluster, 1);
  await first.cluster.stop();

  // With the replicas away their slots go too, and the WAL after them.
  const alone = await start(0);
  for (let round = 0; round < 3; round++) {
    await query(
      alone.cluster,
      alone.cluster.nodes[0],
      `insert into seen values (1${round}); select pg_switch_wal(); checkpoint`,
    );
  }
  await query(alone.cluster, alone.cluster.nodes[0], 'checkpoint');
  await alone.cluster.stop();
  const control = join(dataDir, 'replica2', 'global', 'pg_control');
  const bytes = await readFile(control);
  bytes[0] = (bytes[0] ?? 0) ^ 0xff;
  await writeFile(control, bytes);

  const { cluster, progress } = await start(2);
  expect(progress).toContain('replica1 cannot continue from where it was: rebuilding it');
  // Another system identifier is seen before the start.
  expect(progress).toContain('copying primary to replica2');
  expect(progress).not.toContain('replica2 cannot continue from where it was: rebuilding it');
  await expectReplication(cluster, 2);
  await cluster.stop();
});

test('rebuilds a replica whose slot has lost its WAL', async () => {
  const progress: string[] = [];
  const open = () =>
    OpenCluster.open({
      dataDir,
      replicas: 1,
      progress: (line) => progress.push(line),
      settingsOf: () => ({ max_slot_wal_keep_size: '1MB' }),
    });
  const first = await open();
  const [primary, replica] = first.servers;
  if (primary === undefined || replica === undefined) throw new Error('two servers were asked for');
  await replica.stop();
  const client = new pg.Client({ host: '127.0.0.1', ...first.login(primary) });
  await client.connect();
  await client.query('create table t (n int)');
  for (let round = 0; round < 4; round++) {
    await client.query('insert into t values (1)');
    await client.query('select pg_switch_wal()');
  }
  await client.query('checkpoint');
  const { rows } = await client.query('select wal_status from pg_replication_slots');
  expect(rows).toEqual([{ wal_status: 'lost' }]);
  await client.end();
  await first.stop();

  const second = await open();
  expect(progress).toContain('replica1 cannot continue from where it was: rebuilding it');
  await second.stop();
});

test('leaves a promotion as it is', async () => {
  const first = await start(1);
  await query(first.cluster, first.cluster.nodes[1], 'select pg_promote(true, 60)');
  await query(first.cluster, first.cluster.nodes[1], 'create table only_here ()');
  await first.cluster.stop();
  const { cluster } = await start(1);
  expect(cluster.nodes.map((node) => node.role)).toEqual(['primary', 'primary']);
  await query(cluster, cluster.nodes[1], 'select from only_here');
  await cluster.stop();
});

test('begins anew after an initdb or a copy that was cut off', async () => {
  await mkdir(join(dataDir, 'primary.partial', 'base'), { recursive: true });
  await mkdir(join(dataDir, 'replica1.partial', 'base'), { recursive: true });
  await writeFile(join(dataDir, 'cluster.json'), JSON.stringify({ password: 'pw', ports: {} }));
  const { cluster } = await start(1);
  await expectReplication(cluster, 1);
  expect(readdirSync(dataDir).filter((name) => name.endsWith('.partial'))).toEqual([]);
  await cluster.stop();
});

test('refuses a folder with something else in it, and a damaged state file', async () => {
  await mkdir(dataDir);
  await writeFile(join(dataDir, 'thesis.txt'), '');
  await expect(start(0)).rejects.toThrow('is not empty and holds no Tidemark cluster');
  await rm(join(dataDir, 'thesis.txt'));
  await writeFile(join(dataDir, 'cluster.json'), '{');
  await expect(start(0)).rejects.toThrow('is damaged');
});

test.runIf(process.getuid?.() === 0)(
  'finds a place that the unprivileged account can enter',
  async () => {
    const closed = join(folder.path, 'closed');
    await mkdir(closed);
    await chmod(closed, 0o700);
    dataDir = join(closed, 'data');
    const { cluster, progress } = await start(1);
    const home = (await readFile(join(dataDir, 'location'), 'utf8')).trim();
    try {
      await expectReplication(cluster, 1);
      expect(progress.join('\n')).toContain(`keeping the data in ${home}`);
      await cluster.stop();
      const again = await start(1);
      expect(await query(again.cluster, again.cluster.nodes[0], 'select value from seen')).toEqual([
        { value: 1 },
      ]);
      await again.cluster.stop();
    } finally {
      await rm(home, { recursive: true, force: true });
      // Its parent too, unless other clusters are in it.
      await rmdir(dirname(home)).catch(() => undefined);
    }
  },
);

test('runs on programs whose library links npm did not make, and on unreadable ones', async () => {
  const root = process.getuid?.() === 0;
  const account: Account = root
    ? { name: 'nobody', ids: { uid: 65_534, gid: 65_534 } }
    : { name: 'this user', ids: {} };
  const native = join(folder.path, 'closed', 'native');
  await cp((await platformPackage()).native, native, { recursive: true });
  const links = readdirSync(join(native, 'lib'), { withFileTypes: true });
  for (const link of links) if (link.isSymbolicLink()) await rm(join(native, 'lib', link.name));
  expect(await tryInstallation(account, join(native, 'bin'))).toContain('error while loading');
  // Root's account is kept out as well; an ordinary user's programs are its own.
  if (root) await chmod(join(folder.path, 'closed'), 0o700);

  const home = join(folder.path, 'home');
  await mkdir(home);
  const found = await usablePrograms({ native, version: '1.2.3' }, account, home, () => undefined);
  expect(found).toEqual({ binDir: join(home, 'postgresql-1.2.3', 'bin'), majorVersion: 18 });
  await removeOldCopies(home, found);
  expect(readdirSync(home)).toEqual(['postgresql-1.2.3']);
  await removeOldCopies(home, { ...found, binDir: '/elsewhere' });
  expect(readdirSync(home)).toEqual([]);
});

describe('the test cluster', () => {
  let cluster: TestCluster;

  beforeAll(async () => {
    cluster = await startTestCluster({ replicas: 2, links: 'relayed' });
    await cluster.primary.query('create table t (n int)');
    await cluster.waitForCatchup();
  });

  afterAll(() => cluster.stop());

  const countOn = async (index: number): Promise<number> =>
    (await cluster.replicas[index]?.query('select count(*)::int as n from t'))?.[0].n;

  test('holds replay back and lets it go', async () => {
    const [replica] = cluster.replicas;
    const before = await countOn(0);
    await replica?.pauseReplay();
    await cluster.primary.query('insert into t values (1)');
    await cluster.waitForCatchup(cluster.node('replica2'));
    expect(await countOn(0)).toBe(before);
    await replica?.resumeReplay();
    await cluster.waitForCatchup();
    expect(await countOn(0)).toBe(before + 1);
  });

  test('delays replay', async () => {
    const replica = cluster.node('replica1');
    await replica.setApplyDelay(3_600_000);
    const before = await countOn(0);
    await cluster.primary.query('insert into t values (2)');
    await cluster.waitForCatchup(cluster.node('replica2'));
    expect(await countOn(0)).toBe(before);
    await replica.setApplyDelay(0);
    await cluster.waitForCatchup();
    expect(await countOn(0)).toBe(before + 1);
  });

  test('cuts the link without telling anybody, and restores it', async () => {
    const replica = cluster.node('replica1');
    replica.cutLink();
    const before = await countOn(0);
    await cluster.primary.query('insert into t values (3)');
    await cluster.waitForCatchup(cluster.node('replica2'));
    expect(await countOn(0)).toBe(before);
    const [row] = await cluster.primary.query(
      `select count(*)::int as n from pg_stat_replication where application_name = 'replica1'`,
    );
    expect(row.n).toBe(1);
    replica.restoreLink();
    await cluster.waitForCatchup();
    expect(await countOn(0)).toBe(before + 1);
  });

  test('stops a server in its tracks', async () => {
    const replica = cluster.node('replica2');
    await replica.sigstop();
    const socket = connect(replica.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]));
    const answered = once(socket, 'data');
    const states = await Promise.all(
      (await serverProcesses(replica.dataDir, '-')).map(
        async (pid) => /\) (\w)/.exec(await readFile(`/proc/${pid}/stat`, 'utf8'))?.[1],
      ),
    );
    expect(states.length).toBeGreaterThan(3);
    expect(new Set(states)).toEqual(new Set(['T']));
    await replica.sigcont();
    // SSLRequest: N, the embedded servers have no certificate.
    expect(String(await answered)).toBe('N');
    socket.destroy();
  });

  test('kills a server and starts it again', async () => {
    const replica = cluster.node('replica2');
    await replica.kill9();
    expect(await serverProcesses(replica.dataDir, '-')).toEqual([]);
    await cluster.primary.query('insert into t values (4)');
    await replica.start();
    await cluster.waitForCatchup();
    await replica.stop('immediate');
    await replica.start();
    await cluster.waitForCatchup();
  });

  test('promotes a replica and makes the other follow it', async () => {
    const [first, second] = [cluster.node('replica1'), cluster.node('replica2')];
    await cluster.waitForCatchup();
    await cluster.primary.stop();
    await first.promote();
    await second.follow(first);
    await first.query('create table after_promotion ()');
    const shown = async () =>
      (await second.query(`select from pg_class where relname = 'after_promotion'`)).length === 1;
    expect(await waitUntil(shown, conditionLimitMs)).toBe(true);
  });
});

test('a test cluster ends after any fault', async () => {
  const cluster = await startTestCluster({ replicas: 2, links: 'relayed' });
  const dataDirs = cluster.nodes.map((node) => node.dataDir);
  await cluster.node('replica1').sigstop();
  await cluster.primary.kill9();
  cluster.node('replica2').cutLink();
  await cluster.stop();
  for (const dir of dataDirs) {
    expect(await serverProcesses(dir, '-')).toEqual([]);
    await expect(stat(dir)).rejects.toMatchObject({ code: 'ENOENT' });
  }
});

test.runIf(hasDebian15)(
  'a test cluster runs on another PostgreSQL, with settings of the test',
  async () => {
    const cluster = await startTestCluster({
      replicas: 1,
      binaries: 'debian15',
      settings: { max_connections: '30' },
      perReplicaSettings: { replica1: { max_standby_streaming_delay: '0' } },
      hba: ['host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust'],
    });
    const [row] = await cluster
      .node('replica1')
      .query(`select current_setting('server_version') as version,
      current_setting('max_connections') as connections,
      current_setting('max_standby_streaming_delay') as delay`);
    expect(row).toMatchObject({
      version: expect.stringMatching(/^15/),
      connections: '30',
      delay: '0',
    });
    const client = new pg.Client(cluster.primary.url({ password: 'anything' }));
    await client.connect();
    await client.end();
    await cluster.stop();
  },
);
