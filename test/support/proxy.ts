import { performance } from 'node:perf_hooks';
import pg from 'pg';
import type { Config, FreshnessConfig, PoolConfig } from '../../src/config.ts';
import { createLogger } from '../../src/log.ts';
import { type Proxy as RunningProxy, startProxy } from '../../src/proxy.ts';
import type { TestCluster } from './cluster.ts';

export interface TestProxyOptions {
  readonly pool?: Partial<PoolConfig>;
  readonly freshness?: Partial<FreshnessConfig>;
  readonly clientsMax?: number;
  readonly loginTimeoutMs?: number;
  readonly auth?: Config['auth'];
  readonly users?: Config['users'];
  readonly logLevel?: Config['log']['level'];
}

/** A proxy in this process in front of a test cluster. */
export class TestProxy {
  readonly proxy: RunningProxy;
  readonly host: string;
  readonly port: number;
  readonly url: string;
  readonly #login: pg.ClientConfig;

  constructor(proxy: RunningProxy, cluster: TestCluster) {
    this.proxy = proxy;
    this.host = proxy.listenAddress.host;
    this.port = proxy.listenAddress.port;
    const { user, password, database } = cluster.nodes[0]!;
    this.url = `postgres://${user}:${password}@${this.host}:${this.port}/${database}`;
    // Not as a URL: what is named there goes before all other configuration.
    this.#login = { host: this.host, port: this.port, user, password, database };
  }

  /** A connected node-postgres client through the proxy. */
  async client(config: pg.ClientConfig = {}): Promise<pg.Client> {
    const client = new pg.Client({ ...this.#login, ...config });
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  get httpUrl(): string {
    const { host, port } = this.proxy.httpAddress!;
    return `http://${host}:${port}`;
  }

  stop(): Promise<void> {
    return this.proxy.stop(false);
  }
}

export async function startTestProxy(
  cluster: TestCluster,
  options: TestProxyOptions = {},
): Promise<TestProxy> {
  const nodes = cluster.nodes.map(({ name, host, port, user, password, database }) => ({
    name,
    host,
    port,
    user,
    password,
    database,
  }));
  const { user, password } = nodes[0]!;
  const config: Config = {
    listen: { host: '127.0.0.1', port: 0 },
    http: { host: '127.0.0.1', port: 0 },
    workers: 1,
    embedded: null,
    nodes,
    auth: options.auth ?? 'scram-sha-256',
    users: [{ name: user, secret: password, serverPassword: password }, ...(options.users ?? [])],
    clients: { max: options.clientsMax ?? 500, loginTimeoutMs: options.loginTimeoutMs ?? 60_000 },
    pool: {
      size: 10,
      waitTimeoutMs: 30_000,
      connectTimeoutMs: 5_000,
      idleTimeoutMs: 600_000,
      lifetimeMs: 3_600_000,
      checkAfterIdleMs: 30_000,
      statementsMax: 200,
      sharing: true,
      ...options.pool,
    },
    freshness: {
      consistency: 'session',
      maxStalenessMs: 5_000,
      waitTimeoutMs: 20,
      onTimeout: 'primary',
      lostToken: 'error',
      fallbackReadsMax: 200,
      databases: {},
      users: {},
      sampleIntervalMs: 100,
      primaryWaitTimeoutMs: 5_000,
      ...options.freshness,
    },
    log: { level: options.logLevel ?? 'silent', statements: false },
  };
  const proxy = await startProxy(config, {
    log: createLogger(config.log),
    progress: () => {},
  });
  return new TestProxy(proxy, cluster);
}

/** Waits for a condition; fails loudly instead of hanging when it never comes. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  what: string,
  limitMs = 60_000,
): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`never came true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
