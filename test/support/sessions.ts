import type pg from 'pg';
import type { TestCluster } from './cluster.ts';
import type { TestProxy } from './proxy.ts';

/** Runs with connected clients, one per entry, and ends them. */
export async function withClients<T>(
  run: (...clients: pg.Client[]) => Promise<T>,
  ...configs: readonly (readonly [TestProxy, pg.ClientConfig?])[]
): Promise<T> {
  const clients: pg.Client[] = [];
  try {
    for (const [at, config] of configs) clients.push(await at.client(config));
    return await run(...clients);
  } finally {
    await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
  }
}

/** The connection option that sets one of the proxy's own settings. */
export const option = (name: string, value: string): pg.ClientConfig => ({
  options: `-c tidemark.${name}=${value}`,
});

/** SHOW of one of the proxy's own settings. */
export async function show(client: pg.Client, name: string): Promise<string> {
  const { rows } = await client.query({ text: `show tidemark.${name}`, rowMode: 'array' });
  return rows[0]?.[0];
}

/** Where the previous statement went. */
export async function route(client: pg.Client): Promise<{
  node: string;
  role: string;
  reason: string;
}> {
  return (await client.query('show tidemark.route')).rows[0];
}

/** The SQLSTATE with which this fails. */
export async function code(running: Promise<unknown>): Promise<string> {
  try {
    await running;
    return 'no error';
  } catch (error) {
    return (error as pg.DatabaseError).code ?? String(error);
  }
}

/** A metric's value now, summed over its series that carry `labels`. */
export async function metric(
  at: Pick<TestProxy, 'httpUrl'>,
  name: string,
  labels = '',
): Promise<number> {
  const text = await (await fetch(`${at.httpUrl}/metrics`)).text();
  const lines = text
    .split('\n')
    .filter((line) => /^[{ ]/.test(line.slice(name.length)) && line.startsWith(name))
    .filter((line) => line.includes(labels));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** Replay stands still on all replicas while this runs, or until it calls `resume`. */
export async function whilePaused<T>(
  cluster: TestCluster,
  run: (resume: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const resume = async () => {
    for (const replica of cluster.replicas) await replica.resumeReplay();
  };
  for (const replica of cluster.replicas) await replica.pauseReplay();
  try {
    return await run(resume);
  } finally {
    await resume();
    await cluster.waitForCatchup();
  }
}
