import type { NodeConfig, PoolConfig } from '../config.ts';
import type { DisconnectReason } from './disconnect-reason.ts';
import { Pool, type PoolStat } from './pool.ts';
import { PreparedTexts } from './prepared.ts';
import { SequenceInterest } from './sequence-interest.ts';
import { ServerConnection } from './server-connection.ts';
import { connectServer } from './server-handshake.ts';

/** How a client's user logs in to the nodes. */
export interface ServerLogin {
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

export interface PoolEntry {
  readonly node: number;
  readonly database: string;
  readonly user: string;
  readonly stat: PoolStat;
}

const tidyEveryMs = 1_000;
/** A pool without connections is forgotten after this time. */
const poolUnusedMsMax = 60_000;

interface Entry {
  readonly login: ServerLogin;
  readonly pool: Pool;
}

const poolKey = (database: string, user: string) => `${database}\0${user}`;

/** The pools of all nodes, and the prepared texts that their connections share. */
export class Cluster {
  readonly nodes: readonly NodeConfig[];
  readonly prepared = new PreparedTexts();
  readonly sequences = new SequenceInterest();
  readonly config: PoolConfig;
  readonly #pools: Map<string, Entry>[];
  readonly #now: () => number;
  readonly #janitor: NodeJS.Timeout;

  /** `now`: the monitor's clock, so that a read that has asked it can tell a pool the time. */
  constructor(nodes: readonly NodeConfig[], config: PoolConfig, now: () => number) {
    this.nodes = nodes;
    this.config = config;
    this.#now = now;
    this.#pools = nodes.map(() => new Map());
    this.#janitor = setInterval(() => this.#tidy(), tidyEveryMs);
    this.#janitor.unref();
  }

  /** The pool for this login on node number `node`; made when first asked for. */
  pool(node: number, login: ServerLogin): Pool {
    const pools = this.#pools[node];
    if (pools === undefined) throw new RangeError(`no node ${node}`);
    const key = poolKey(login.database, login.user);
    const known = pools.get(key);
    if (known !== undefined) return known.pool;
    const pool = new Pool({
      connect: () => this.#connect(node, login),
      config: this.config,
      now: this.#now,
    });
    pools.set(key, { login, pool });
    return pool;
  }

  /** Some node has a connection of this login open: its database and role are there. */
  isConnected(database: string, user: string): boolean {
    return this.#pools.some((pools) => {
      const stat = pools.get(poolKey(database, user))?.pool.stat;
      return stat !== undefined && stat.active + stat.idle > 0;
    });
  }

  /** By what number the client knows itself whose session has this backend of the node now; else null. */
  clientPidOf(node: number, pid: number): number | null {
    for (const { pool } of this.#pools[node]?.values() ?? []) {
      const owner = pool.ownerOf(pid);
      if (owner !== null) return owner.clientPid;
    }
    return null;
  }

  /** Takes the node out: its connections are closed, also those in use when `all`. */
  closeNode(node: number, reason: DisconnectReason, all: boolean): void {
    for (const { pool } of this.#pools[node]?.values() ?? []) {
      if (all) pool.destroy(reason);
      else pool.retire(reason);
      pool.failWaiters(new Error(`${this.nodes[node]!.name} is out of use`));
    }
  }

  /** Closes the connections to this database that nobody uses, so that it can be dropped or copied. */
  vacate(database: string): void {
    for (const pools of this.#pools) {
      for (const { login, pool } of pools.values()) {
        if (login.database === database) pool.retire('database-wanted');
      }
    }
  }

  /** Connections that are opened from now on begin with other settings than those there are. */
  changeDefaults(): void {
    for (const pools of this.#pools) {
      for (const { pool } of pools.values()) pool.retire('defaults-changed');
    }
  }

  entries(): PoolEntry[] {
    return this.#pools.flatMap((pools, node) =>
      [...pools.values()].map(({ login, pool }) => ({
        node,
        database: login.database,
        user: login.user,
        stat: pool.stat,
      })),
    );
  }

  /** Closes every pool; connections in use end with their transaction. */
  close(): void {
    clearInterval(this.#janitor);
    for (const pools of this.#pools) for (const { pool } of pools.values()) pool.close();
  }

  /** Closes every connection at once. */
  destroy(): void {
    this.close();
    for (const pools of this.#pools)
      for (const { pool } of pools.values()) pool.destroy('shutdown');
  }

  async #connect(node: number, login: ServerLogin): Promise<ServerConnection> {
    const { host, port } = this.nodes[node]!;
    const handedOver = await connectServer({
      host,
      port,
      user: login.user,
      password: login.password,
      database: login.database,
      params: new Map(),
      connectTimeoutMs: this.config.connectTimeoutMs,
    });
    return new ServerConnection(handedOver, this.#now());
  }

  #tidy(): void {
    for (const pools of this.#pools) {
      for (const [key, { pool }] of pools) {
        pool.tidy();
        if (pool.unusedForMs > poolUnusedMsMax) {
          pool.close();
          pools.delete(key);
        }
      }
    }
  }
}
