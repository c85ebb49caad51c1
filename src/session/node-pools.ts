import type { Cluster, ServerLogin } from '../pool/cluster.ts';
import type { Pool } from '../pool/pool.ts';

/** The pools of one login, held for as long as its session may come back to them. */
export class NodePools {
  readonly #cluster: Cluster;
  readonly #login: ServerLogin;
  readonly #pools: Pool[] = [];

  constructor(cluster: Cluster, login: ServerLogin) {
    this.#cluster = cluster;
    this.#login = login;
  }

  of(node: number): Pool {
    const known = this.#pools[node];
    if (known !== undefined) return known;
    const pool = this.#cluster.pool(node, this.#login);
    pool.holders += 1;
    this.#pools[node] = pool;
    return pool;
  }

  /** They may be forgotten when nobody else holds them. */
  close(): void {
    for (const pool of this.#pools) if (pool !== undefined) pool.holders -= 1;
    this.#pools.length = 0;
  }
}
