import pg from 'pg';
import { expect } from 'vitest';
import type { TestCluster } from './cluster.ts';
import { eventually, type TestProxy } from './proxy.ts';

/** For the proxy's configuration. */
export const bystanderUser = {
  name: 'bystander',
  secret: 'by the way',
  serverPassword: 'by the way',
} as const;

/**
 * Somebody else's client, which reads and writes all the time. Whatever another client does, it
 * must never see an error or a wrong answer.
 */
export class Bystander {
  readonly #client: pg.Client;
  readonly #ended: Promise<void>;
  #rounds = 0;
  #isStopping = false;
  #problem: unknown = null;

  private constructor(client: pg.Client) {
    this.#client = client;
    this.#ended = this.#run();
  }

  /** The proxy must know the user `bystander`. */
  static async start(
    cluster: TestCluster,
    { host, port }: Pick<TestProxy, 'host' | 'port'>,
  ): Promise<Bystander> {
    const { name: user, secret: password } = bystanderUser;
    await cluster.primary.query(`
      create role ${user} login password '${password}';
      create table bystander (n int);
      grant all on bystander to ${user};
      insert into bystander values (0)`);
    const { database } = cluster;
    const client = new pg.Client({ host, port, user, password, database });
    client.on('error', () => {});
    await client.connect();
    return new Bystander(client);
  }

  /** It is served now, and has been all the time. */
  async isServed(): Promise<void> {
    const before = this.#rounds;
    await eventually(
      () => this.#problem !== null || this.#rounds > before + 1,
      'the bystander is served',
    );
    expect(this.#problem).toBeNull();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#ended;
    await this.#client.end();
    expect(this.#problem).toBeNull();
  }

  async #run(): Promise<void> {
    try {
      while (!this.#isStopping) await this.#round();
    } catch (error) {
      this.#problem = error;
    }
  }

  async #round(): Promise<void> {
    this.#rounds += 1;
    await this.#client.query({
      name: 'up',
      text: 'update bystander set n = $1',
      values: [this.#rounds],
    });
    const read = await this.#client.query('select n from bystander');
    if (read.rows[0].n !== this.#rounds) throw new Error(`read ${read.rows[0].n}`);
    // Leaves the others some of the machine.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Server connections that are not idle, and waiters, but for the bystander's: by the metrics. */
export async function busyPools(httpUrl: string): Promise<string[]> {
  const response = await fetch(`${httpUrl}/metrics`);
  const lines = (await response.text()).split('\n');
  return lines.filter(
    (line) =>
      !line.includes(`user="${bystanderUser.name}"`) &&
      /^tidemark_(server_connections\{.*state="(active|connecting)"|pool_waiting\{).*\} [1-9]/.test(
        line,
      ),
  );
}

/** Sessions of the clients under test on all nodes that run something or have a transaction open. */
export async function openOnServers(cluster: TestCluster): Promise<string[]> {
  const found: string[] = [];
  for (const node of cluster.nodes) {
    const rows = await node.query(`
      select state, query from pg_stat_activity
      where backend_type = 'client backend' and pid <> pg_backend_pid()
        and usename <> '${bystanderUser.name}' and application_name not like 'tidemark %'
        and (state <> 'idle' or backend_xid is not null)`);
    for (const { state, query } of rows) found.push(`${node.name}: ${state}: ${query}`);
    const locks = await node.query(`
      select count(*)::int as held from pg_locks join pg_stat_activity using (pid)
      where pid <> pg_backend_pid() and usename <> '${bystanderUser.name}'
        and backend_type = 'client backend' and mode <> 'AccessShareLock'
        and locktype = 'relation'`);
    if (locks[0].held > 0) found.push(`${node.name}: ${locks[0].held} locks`);
  }
  return found;
}

/** Nothing of the clients before is left: on the servers, in the pools, in the way of others. */
export async function expectClean(
  cluster: TestCluster,
  proxy: Pick<TestProxy, 'httpUrl' | 'url'>,
): Promise<void> {
  let left: string[] = [];
  const isClean = async () => {
    left = [...(await busyPools(proxy.httpUrl)), ...(await openOnServers(cluster))];
    return left.length === 0;
  };
  await eventually(isClean, 'servers and pools are clean', 20_000).catch((error: Error) => {
    throw new Error(`${error.message}: ${left.join('; ')}`);
  });
  const client = new pg.Client({ connectionString: proxy.url });
  await client.connect();
  try {
    const { rows } = await client.query('select $1::int as one', [1]);
    expect(rows).toEqual([{ one: 1 }]);
  } finally {
    await client.end();
  }
}
