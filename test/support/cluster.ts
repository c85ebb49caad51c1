import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { ClusterServer } from '../../src/embedded/cluster-server.ts';
import { tryInstallation } from '../../src/embedded/installation.ts';
import { OpenCluster } from '../../src/embedded/open-cluster.ts';
import { killServer, serverProcesses, signal, waitUntil } from '../../src/embedded/processes.ts';
import type { Settings } from '../../src/embedded/settings.ts';
import { Relay } from './cluster-relay.ts';
import { type WatchedFolder, watchedFolder } from './cluster-sweeper.ts';

const debian15 = '/usr/lib/postgresql/15/bin';
const catchupLimitMs = 60_000;

/** For `describe.runIf`: Debian's PostgreSQL 15 is there. */
export const hasDebian15 = existsSync(join(debian15, 'postgres'));

export interface TestClusterOptions {
  /** 0 to 8. Default 2. */
  readonly replicas?: number;
  /** For all servers, in force at their next start. */
  readonly settings?: Settings;
  /** By node name (`replica1`), over `settings`. */
  readonly perReplicaSettings?: Readonly<Record<string, Settings>>;
  /** Lines of pg_hba.conf for all servers, instead of scram-sha-256 for everybody. */
  readonly hba?: readonly string[];
  /** Puts a relay between every replica and its primary, for cutLink(). Default: no relay. */
  readonly links?: 'direct' | 'relayed';
  readonly binaries?: 'embedded' | 'debian15';
  readonly progress?: (line: string) => void;
}

/** Fast, and nothing outside the data folder that a kill would leave behind. */
const testSettings: Settings = {
  fsync: 'off',
  dynamic_shared_memory_type: 'mmap',
  autovacuum_naptime: '1h',
};

/** Replay removes row versions that the query might have needed (ProcessRecoveryConflictInterrupt). */
function isRecoveryConflict(error: unknown): boolean {
  return (
    error instanceof pg.DatabaseError &&
    error.code === '40001' &&
    error.message.endsWith('conflict with recovery')
  );
}

export class TestNode {
  readonly host = '127.0.0.1';
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly #server: ClusterServer;
  readonly #relay: Relay | undefined;
  #pool: pg.Pool | null = null;

  constructor(cluster: OpenCluster, server: ClusterServer, relay: Relay | undefined) {
    this.user = cluster.user;
    this.password = cluster.password;
    this.database = cluster.database;
    this.#server = server;
    this.#relay = relay;
  }

  get name(): string {
    return this.#server.name;
  }

  get port(): number {
    return this.#server.port;
  }

  get dataDir(): string {
    return this.#server.spec.dataDir;
  }

  get logFile(): string {
    return this.#server.spec.logFile;
  }

  /** The postmaster. */
  get pid(): number {
    return this.#server.pid;
  }

  get running(): boolean {
    return this.#server.running;
  }

  /** As it was on disk at the last start; promote() does not change it until the next one. */
  get roleAtStart(): 'primary' | 'replica' {
    return this.#server.role;
  }

  url(over: { user?: string; password?: string; database?: string } = {}): string {
    const user = encodeURIComponent(over.user ?? this.user);
    const password = encodeURIComponent(over.password ?? this.password);
    const database = encodeURIComponent(over.database ?? this.database);
    return `postgres://${user}:${password}@${this.host}:${this.port}/${database}`;
  }

  /** Runs the statement as the superuser and returns its rows. */
  // biome-ignore lint/suspicious/noExplicitAny: rows are whatever the test asked for
  async query<Row extends pg.QueryResultRow = any>(
    sql: string,
    values: readonly unknown[] = [],
  ): Promise<Row[]> {
    this.#pool ??= this.#makePool();
    // Without values the simple protocol is used, which takes several statements.
    const result = await this.#pool.query<Row>(sql, values.length > 0 ? [...values] : undefined);
    return result.rows;
  }

  /** The same, as often as a replica cancels it for its replay: for what may run twice. */
  // biome-ignore lint/suspicious/noExplicitAny: rows are whatever the test asked for
  async queryAgain<Row extends pg.QueryResultRow = any>(
    sql: string,
    values: readonly unknown[] = [],
  ): Promise<Row[]> {
    for (;;) {
      try {
        return await this.query<Row>(sql, values);
      } catch (error) {
        if (!isRecoveryConflict(error)) throw error;
      }
    }
  }

  async pauseReplay(): Promise<void> {
    await this.queryAgain('select pg_wal_replay_pause()');
    // The request takes effect when the startup process looks, at the next record or wait.
    const paused = async () =>
      (await this.queryAgain("select pg_get_wal_replay_pause_state() = 'paused' as yes"))[0].yes;
    await requireSoon(`${this.name} pauses its replay`, paused);
  }

  async resumeReplay(): Promise<void> {
    await this.queryAgain('select pg_wal_replay_resume()');
  }

  /** recovery_min_apply_delay: commits are replayed this long after they were made. 0 ends it. */
  async setApplyDelay(delayMs: number): Promise<void> {
    await this.setting('recovery_min_apply_delay', `${delayMs}ms`);
  }

  /** ALTER SYSTEM and reload; resolves when the server has read its files again. */
  async setting(name: string, value: string): Promise<void> {
    await this.queryAgain(`alter system set ${name} = '${value.replaceAll("'", "''")}'`);
    const [{ at }] = await this.queryAgain('select clock_timestamp()::text as at');
    await this.queryAgain('select pg_reload_conf()');
    const loaded = async () =>
      (await this.queryAgain('select pg_conf_load_time() > $1::timestamptz as yes', [at]))[0].yes;
    await requireSoon(`${this.name} reloads`, loaded);
  }

  /** Makes the replica stream from another node than it did, for good. */
  async follow(upstream: TestNode): Promise<void> {
    const login = `user=${this.user} password=${this.password} application_name=${this.name}`;
    await this.setting('primary_slot_name', '');
    await this.setting(
      'primary_conninfo',
      `host=${upstream.host} port=${upstream.port} ${login} sslmode=disable`,
    );
  }

  /** Stops the postmaster and all its children: the server is there and says nothing. */
  async sigstop(): Promise<void> {
    const stopped = new Set<number>();
    for (;;) {
      // The postmaster comes first and makes no more children once it is stopped.
      const running = (await this.#processes()).filter((pid) => !stopped.has(pid));
      if (running.length === 0) return;
      for (const pid of running) {
        signal(pid, 'SIGSTOP');
        stopped.add(pid);
      }
    }
  }

  async sigcont(): Promise<void> {
    for (const pid of await this.#processes()) signal(pid, 'SIGCONT');
  }

  /** SIGKILL to the postmaster and all its children. */
  async kill9(): Promise<void> {
    await killServer(this.dataDir, this.#server.spec.clusterName);
    await requireSoon(`${this.name} ends`, () => !this.running);
    await this.#closePool();
  }

  async stop(mode: 'fast' | 'immediate' = 'fast'): Promise<void> {
    await this.#closePool();
    await this.sigcont();
    await this.#server.stop(mode);
  }

  /** Starts it again after stop() or kill9(), on the same port. */
  async start(): Promise<void> {
    await this.#server.start();
  }

  /** Resolves when it takes writes. */
  async promote(): Promise<void> {
    await this.query('select pg_promote(true, 60)');
  }

  /** Nothing passes between the replica and its primary any more, and nobody is told. */
  cutLink(): void {
    this.#requireRelay().cut();
  }

  /** As cutLink(), and what was on its way is lost. */
  dropLink(): void {
    this.#requireRelay().drop();
  }

  restoreLink(): void {
    this.#requireRelay().restore();
  }

  /** Ends the helper connections of query(). */
  async close(): Promise<void> {
    await this.sigcont();
    await this.#closePool();
  }

  #requireRelay(): Relay {
    if (this.#relay === undefined) {
      throw new Error(`${this.name} has no relay: use startTestCluster({ links: 'relayed' })`);
    }
    return this.#relay;
  }

  #processes(): Promise<number[]> {
    return serverProcesses(this.dataDir, this.#server.spec.clusterName);
  }

  #makePool(): pg.Pool {
    const pool = new pg.Pool({
      connectionString: this.url(),
      max: 4,
      application_name: 'test',
      allowExitOnIdle: true,
    });
    // A server that is killed under an idle connection: the next query opens another.
    pool.on('error', () => undefined);
    return pool;
  }

  async #closePool(): Promise<void> {
    const pool = this.#pool;
    this.#pool = null;
    await pool?.end();
  }
}

/** A real primary with real streaming replicas, in a temp folder of their own. */
export class TestCluster {
  readonly primary: TestNode;
  readonly replicas: readonly TestNode[];
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly #cluster: OpenCluster;
  readonly #relays: readonly Relay[];
  readonly #folder: WatchedFolder;

  constructor(cluster: OpenCluster, relays: ReadonlyMap<string, Relay>, folder: WatchedFolder) {
    const [primary, ...replicas] = cluster.servers.map(
      (server) => new TestNode(cluster, server, relays.get(server.name)),
    );
    if (primary === undefined) throw new Error('a cluster has a primary');
    this.primary = primary;
    this.replicas = replicas;
    this.user = cluster.user;
    this.password = cluster.password;
    this.database = cluster.database;
    this.#cluster = cluster;
    this.#relays = [...relays.values()];
    this.#folder = folder;
  }

  get nodes(): readonly TestNode[] {
    return [this.primary, ...this.replicas];
  }

  /** The node of that name. */
  node(name: string): TestNode {
    const found = this.nodes.find((node) => node.name === name);
    if (found === undefined) throw new Error(`no node ${name}`);
    return found;
  }

  /** Waits until the replicas, all if none is named, have replayed what the primary has written. */
  async waitForCatchup(...replicas: readonly TestNode[]): Promise<void> {
    // The last write may be an asynchronous commit that only the WAL writer flushes.
    const [{ lsn }] = await this.primary.query('select pg_current_wal_insert_lsn()::text as lsn');
    const flushed = async () =>
      (await this.primary.query('select pg_current_wal_flush_lsn()::text as lsn'))[0].lsn;
    const target = pageStart(lsn);
    await requireSoon('the primary flushes', async () => pageStart(await flushed()) >= target);
    for (const replica of replicas.length > 0 ? replicas : this.replicas) {
      await requireSoon(`${replica.name} catches up`, async () => {
        const [row] = await replica.query('select pg_last_wal_replay_lsn()::text as lsn');
        return row.lsn !== null && parseLsn(row.lsn) >= target;
      });
    }
  }

  /** Ends everything, whatever state it is in, and removes the folder. */
  async stop(): Promise<void> {
    for (const relay of this.#relays) await relay.close();
    for (const node of this.nodes) await node.close();
    await this.#cluster.stop();
    await this.#folder.remove();
  }
}

/** Starts a cluster that ends with the test process at the latest, however that ends. */
export async function startTestCluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  const folder = await watchedFolder();
  const names = Array.from({ length: options.replicas ?? 2 }, (_, index) => `replica${index + 1}`);
  const relays = new Map<string, Relay>();
  let primaryPort = 0;
  if (options.links === 'relayed') {
    for (const name of names) relays.set(name, await Relay.listen(() => primaryPort));
  }
  const hbaFile = join(folder.path, 'pg_hba.conf');
  if (options.hba !== undefined) {
    await writeFile(hbaFile, `${options.hba.join('\n')}\n`, { mode: 0o644 });
  }
  try {
    const cluster = await OpenCluster.open({
      dataDir: join(folder.path, 'data'),
      replicas: names.length,
      progress: options.progress ?? (() => undefined),
      settingsOf: (name) => ({
        ...testSettings,
        ...(options.hba !== undefined && { hba_file: hbaFile }),
        ...options.settings,
        ...options.perReplicaSettings?.[name],
      }),
      upstreamPortOf: (replica, upstreamPort) => {
        primaryPort = upstreamPort;
        return relays.get(replica)?.port ?? upstreamPort;
      },
      ...(options.binaries === 'debian15' && { findInstallation: findDebian15 }),
    });
    return new TestCluster(cluster, relays, folder);
  } catch (error) {
    for (const relay of relays.values()) await relay.close();
    await folder.remove();
    throw error;
  }
}

async function findDebian15(...[account]: Parameters<typeof tryInstallation>) {
  const found = await tryInstallation(account, debian15);
  if (typeof found === 'string') throw new Error(`Debian's PostgreSQL 15 does not run: ${found}`);
  return found;
}

/** What a replica can reach: an insert position just after a page header has no record before it. */
function pageStart(lsn: string): bigint {
  const position = parseLsn(lsn);
  const headerLength = position % 0x1000000n <= 40n ? 40n : 24n;
  const intoPage = position % 8192n;
  return intoPage <= headerLength ? position - intoPage : position;
}

function parseLsn(lsn: string): bigint {
  const [high, low] = lsn.split('/');
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`);
}

async function requireSoon(what: string, condition: () => boolean | Promise<boolean>) {
  if (!(await waitUntil(condition, catchupLimitMs))) throw new Error(`did not happen: ${what}`);
}
