import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { findPort } from '../../src/embedded/ports.ts';
import type { TestCluster } from '../../test/support/cluster.ts';
import { canLogIn } from './can-log-in.ts';
import type { Login } from './login.ts';
import { TiedProcess } from './tied-process.ts';

const startLimitMs = 60_000;

/** `built`: dist, as users run it; `source`: by tsx, which needs no build and is slower. */
export type Program = 'built' | 'source';

const programArgs: Record<Program, () => string[]> = {
  built: () => [fileURLToPath(new URL('../../dist/cli.js', import.meta.url))],
  source: () => [
    '--import',
    import.meta.resolve('tsx'),
    fileURLToPath(new URL('../../src/cli.ts', import.meta.url)),
  ],
};

export interface RunningTidemark {
  readonly login: Login;
  /** As Prometheus scrapes them. */
  metrics(): Promise<string>;
  /** Requests since the start, by `role reason`. */
  requestsByReason(): Promise<Map<string, number>>;
  readonly pid: number;
  stop(): Promise<void>;
}

/**
 * Starts Tidemark in front of the cluster, everything at its default but the ports.
 *
 * @param settings keys of the configuration file that differ from their defaults
 */
export async function startTidemark(
  cluster: TestCluster,
  folder: string,
  program: Program,
  settings: Readonly<Record<string, unknown>> = {},
): Promise<RunningTidemark> {
  const port = await findPort(new Set());
  const httpPort = await findPort(new Set([port]));
  const config = {
    listen: `127.0.0.1:${port}`,
    http: `127.0.0.1:${httpPort}`,
    nodes: cluster.nodes.map((node) => ({ name: node.name, url: node.url() })),
    log: { level: 'warn' },
    ...settings,
  };
  const configFile = join(folder, 'tidemark.yaml');
  await writeFile(configFile, stringify(config), { mode: 0o600 });
  const child = new TiedProcess({
    name: 'Tidemark',
    file: process.execPath,
    args: [...programArgs[program](), '--config', configFile],
    logFile: join(folder, 'tidemark.log'),
    cwd: folder,
  });
  const { user, password, database } = cluster;
  const login = { host: '127.0.0.1', port, user, password, database };
  const http = `http://127.0.0.1:${httpPort}`;
  try {
    await child.until('ready', startLimitMs, () => canLogIn(login));
    await child.until('sure of all nodes', startLimitMs, () => knowsAllNodes(`${http}/readyz`));
  } catch (error) {
    await child.stop();
    throw error;
  }
  const metrics = async () => await (await fetch(`${http}/metrics`)).text();
  return {
    login,
    pid: await child.pid,
    metrics,
    requestsByReason: async () => parseRequests(await metrics()),
    stop: () => child.stop(),
  };
}

async function knowsAllNodes(url: string): Promise<boolean> {
  const answer = (await (await fetch(url)).json()) as { nodes: { problem: string | null }[] };
  return answer.nodes.every(({ problem }) => problem === null);
}

/** Sums tidemark_requests_total over the nodes. */
export function parseRequests(metrics: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const [, labels = '', value] of metrics.matchAll(
    /^tidemark_requests_total\{(.*)\} (\S+)$/gm,
  )) {
    const role = /role="([^"]*)"/.exec(labels)?.[1];
    const reason = /reason="([^"]*)"/.exec(labels)?.[1];
    const key = `${role} ${reason}`;
    found.set(key, (found.get(key) ?? 0) + Number(value));
  }
  return found;
}

/** The sum of all series of this name whose labels hold this text; 0 where there is none. */
export function sumOfMetric(metrics: string, name: string, labels = ''): number {
  let sum = 0;
  for (const [, found = '', value] of metrics.matchAll(
    new RegExp(`^${name}(?:\\{(.*)\\})? (\\S+)$`, 'gm'),
  )) {
    if (found.includes(labels)) sum += Number(value);
  }
  return sum;
}
