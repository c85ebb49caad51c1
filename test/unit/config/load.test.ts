import { expect, it } from 'vitest';
import { parseConfig } from '../../../src/config/load.ts';

const verifier = `SCRAM-SHA-256$4096:c2FsdA==$${'A'.repeat(43)}=:${'B'.repeat(43)}=`;

it('reads every key', () => {
  const text = `
listen: "[::1]:7000"
http: off
nodes:
  - url: postgresql://mon%40x:p%2Fw@DB1.example:5433/app?sslmode=disable
  - url: postgres://peer@[::1]
    name: second
    password_env: PEER
auth: scram-sha-256
users:
  - { name: app, password: a }
  - { name: web, password: "${verifier}", server_password: w }
clients: { max: 1, login_timeout_ms: 2000 }
pool: { size: 3, wait_timeout_ms: 4, connect_timeout_ms: 5, idle_timeout_ms: 6, lifetime_ms: 7, check_after_idle_ms: 8, statements_max: 9 }
freshness: { consistency: strong, max_staleness_ms: 10, wait_timeout_ms: 11, sample_interval_ms: 12, primary_wait_timeout_ms: 13 }
log: { level: debug, statements: true }
`;
  expect(parseConfig(text, 'config.yaml', { PEER: 'pw' })).toEqual({
    listen: { host: '::1', port: 7000 },
    http: null,
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
    clients: { max: 1, loginTimeoutMs: 2000 },
    pool: {
      size: 3,
      waitTimeoutMs: 4,
      connectTimeoutMs: 5,
      idleTimeoutMs: 6,
      lifetimeMs: 7,
      checkAfterIdleMs: 8,
      statementsMax: 9,
    },
    freshness: {
      consistency: 'strong',
      maxStalenessMs: 10,
      waitTimeoutMs: 11,
      sampleIntervalMs: 12,
      primaryWaitTimeoutMs: 13,
    },
    log: { level: 'debug', statements: true },
  });
});

it('freezes what it returns, at every depth', () => {
  const config = parseConfig('nodes: [{ url: "postgres://a:b@h" }]', 'config.yaml');
  for (const part of [config, config.nodes, config.nodes[0], config.users[0], config.pool]) {
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
