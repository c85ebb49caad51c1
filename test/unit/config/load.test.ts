import { expect, it } from 'vitest';
import { parseConfig } from '../../../src/config/load.ts';
import { readDefaultsFor } from '../../../src/config.ts';

const verifier = `SCRAM-SHA-256$4096:c2FsdA==$${'A'.repeat(43)}=:${'B'.repeat(43)}=`;

it('reads every key', () => {
  const text = `
listen: "[::1]:7000"
http: off
workers: 3
nodes:
  - url: postgresql://mon%40x:p%2Fw@DB1.example:5433/app?sslmode=disable
  - url: postgres://peer@[::1]
    name: second
    password_env: PEER
auth: scram-sha-256
users:
  - { name: app, password: a }
  - { name: web, password: "${verifier}", server_password: w }
clients: { max: 3, login_timeout_ms: 2000 }
pool: { size: 3, wait_timeout_ms: 4, connect_timeout_ms: 5, idle_timeout_ms: 6, lifetime_ms: 7, check_after_idle_ms: 8, statements_max: 9, sharing: false }
freshness: { consistency: strong, max_staleness_ms: 10, wait_timeout_ms: 11, sample_interval_ms: 12, primary_wait_timeout_ms: 13, on_timeout: error, lost_token: warn, fallback_reads_max: 14, databases: { reporting: { consistency: bounded, max_staleness_ms: 15 }, "2024": { on_timeout: primary } }, users: { web: { wait_timeout_ms: 16 } } }
log: { level: debug, statements: true }
`;
  expect(parseConfig(text, 'config.yaml', { PEER: 'pw' })).toEqual({
    listen: { host: '::1', port: 7000 },
    http: null,
    workers: 3,
    embedded: null,
    nodes: [
      {
        name: 'db1.example:5433',
        host: 'db1.example',
        port: 5433,
        user: 'mon@x',
        password: 'p/w',
        database: 'app',
      },
      { name: 'second', host: '::1', port: 5432, user: 'peer', password: 'pw', database: 'peer' },
    ],
    auth: 'scram-sha-256',
    users: [
      { name: 'app', secret: 'a', serverPassword: 'a' },
      { name: 'web', secret: verifier, serverPassword: 'w' },
      { name: 'mon@x', secret: 'p/w', serverPassword: 'p/w' },
      { name: 'peer', secret: 'pw', serverPassword: 'pw' },
    ],
    clients: { max: 3, loginTimeoutMs: 2000 },
    pool: {
      size: 3,
      waitTimeoutMs: 4,
      connectTimeoutMs: 5,
      idleTimeoutMs: 6,
      lifetimeMs: 7,
      checkAfterIdleMs: 8,
      statementsMax: 9,
      sharing: false,
    },
    freshness: {
      consistency: 'strong',
      maxStalenessMs: 10,
      waitTimeoutMs: 11,
      sampleIntervalMs: 12,
      primaryWaitTimeoutMs: 13,
      onTimeout: 'error',
      lostToken: 'warn',
      fallbackReadsMax: 14,
      databases: {
        reporting: { consistency: 'bounded', maxStalenessMs: 15 },
        2024: { onTimeout: 'primary' },
      },
      users: { web: { waitTimeoutMs: 16 } },
    },
    log: { level: 'debug', statements: true },
  });
});

it('freezes what it returns, at every depth', () => {
  const config = parseConfig(
    'nodes: [{ url: "postgres://a:b@h" }]\nfreshness: { databases: { app: { on_timeout: error } } }',
    'config.yaml',
  );
  const { databases } = config.freshness;
  const parts = [config, config.nodes, config.nodes[0], config.users[0], databases, databases.app];
  for (const part of parts) {
    expect(Object.isFrozen(part)).toBe(true);
  }
});

it('logs a user with a verifier in to the nodes with the password of the URL', () => {
  const text = `nodes: [{ url: "postgres://a:b@h" }]\nusers: [{ name: a, password: "${verifier}" }]`;
  expect(parseConfig(text, 'config.yaml').users).toEqual([
    { name: 'a', secret: verifier, serverPassword: 'b' },
  ]);
});

it('lets a URL user without a password in only under trust', () => {
  const nodes = 'nodes: [{ url: "postgres://a@h" }, { url: "postgres://b:pw@h2" }]';
  expect(parseConfig(nodes, 'config.yaml').users.map(({ name }) => name)).toEqual(['b']);
  expect(parseConfig(`auth: trust\n${nodes}`, 'config.yaml').users.map(({ name }) => name)).toEqual(
    ['a', 'b'],
  );
});

it('starts data_dir from the folder of the file', () => {
  const text = 'auth: trust\nembedded: { data_dir: data, replicas: 0 }';
  expect(parseConfig(text, '/etc/tidemark/config.yaml').embedded).toEqual({
    replicas: 0,
    dataDir: '/etc/tidemark/data',
  });
});

it('takes YAML anchors for repeated values', () => {
  const text = 'auth: trust\nembedded:\npool: { size: &n 7 }\nclients: { max: *n }';
  expect(parseConfig(text, 'config.yaml').clients.max).toBe(7);
});

it('takes the same settings for two databases by an anchor', () => {
  const text =
    'embedded:\nfreshness:\n  databases:\n    a: &slow { on_timeout: error }\n    b: *slow\n';
  expect(parseConfig(text, 'config.yaml').freshness.databases).toEqual({
    a: { onTimeout: 'error' },
    b: { onTimeout: 'error' },
  });
});

it("counts a user's word more than the database's, and that more than the cluster's, key by key", () => {
  const { freshness } = parseConfig(
    `
embedded:
freshness:
  consistency: global
  databases: { app: { consistency: bounded, max_staleness_ms: 7 } }
  users: { web: { consistency: strong, wait_timeout_ms: 8 } }
`,
    'config.yaml',
  );
  const { maxStalenessMs, waitTimeoutMs, onTimeout } = freshness;
  const cluster = { consistency: 'global', maxStalenessMs, waitTimeoutMs, onTimeout };
  const defaultsOf = (database: string, user: string) =>
    readDefaultsFor(freshness, { database, user });
  expect(defaultsOf('other', 'other')).toEqual(cluster);
  // A database is not a user.
  expect(defaultsOf('web', 'app')).toEqual(cluster);
  expect(defaultsOf('constructor', '__proto__')).toEqual(cluster);
  expect(defaultsOf('app', 'other')).toEqual({
    ...cluster,
    consistency: 'bounded',
    maxStalenessMs: 7,
  });
  expect(defaultsOf('other', 'web')).toEqual({
    ...cluster,
    consistency: 'strong',
    waitTimeoutMs: 8,
  });
  expect(defaultsOf('app', 'web')).toEqual({
    consistency: 'strong',
    maxStalenessMs: 7,
    waitTimeoutMs: 8,
    onTimeout,
  });
});
