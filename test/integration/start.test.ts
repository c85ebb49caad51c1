import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { clusterNameOf } from '../../src/embedded/cluster-server.ts';
import { serverProcesses } from '../../src/embedded/processes.ts';
import { Program } from '../support/program.ts';

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  return client;
}

async function route(client: pg.Client): Promise<{ node: string; role: string; reason: string }> {
  return (await client.query('SHOW tidemark.route')).rows[0];
}

describe('the program on its embedded cluster', () => {
  let folder: string;
  let configFile: string;
  let running: Program;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidemark-start-'));
    // Servers that may not run as root must be able to enter.
    await chmod(folder, 0o755);
    configFile = join(folder, 'config.yaml');
    await writeFile(
      configFile,
      'listen: 127.0.0.1:0\nhttp: 127.0.0.1:0\nembedded:\n  replicas: 2\n  data_dir: data\n',
    );
    running = new Program(configFile);
    await running.ready();
  });

  afterAll(async () => {
    await running?.end('SIGKILL');
    // A last start takes over what the killed one left, and ends it.
    const last = new Program(configFile);
    await last.ready();
    await last.end('SIGTERM');
    await rm(folder, { recursive: true, force: true });
  });

  test('says where it is, what the nodes are and where the metrics are', async () => {
    expect(running.ports('primary')).toHaveLength(1);
    expect(running.ports('replica')).toHaveLength(2);
    const metrics = await (await fetch(running.metricsUrl)).text();
    expect(metrics).toContain('tidemark_node_role');
  });

  test('a write goes to the primary, the read behind it sees it, and each says why', async () => {
    const client = await connected(running.databaseUrl);
    await client.query('CREATE TABLE IF NOT EXISTS visits (id int, page text)');
    await client.query("INSERT INTO visits VALUES (1, '/home')");
    expect(await route(client)).toMatchObject({ role: 'primary', reason: 'write' });
    const { rows } = await client.query('SELECT page, inet_server_port() AS port FROM visits');
    expect(rows[0].page).toBe('/home');
    const where = await route(client);
    expect(where.reason).not.toBe('');
    expect([...running.ports('replica'), ...running.ports('primary')]).toContain(rows[0].port);
    await client.end();
  });

  test('reads of unrelated sessions are spread over both replicas', async () => {
    const seen = new Map<number, number>();
    for (let i = 0; i < 40; i++) {
      const client = await connected(running.databaseUrl);
      const { rows } = await client.query('SELECT inet_server_port() AS port');
      expect(await route(client)).toMatchObject({ role: 'replica' });
      seen.set(rows[0].port, (seen.get(rows[0].port) ?? 0) + 1);
      await client.end();
    }
    expect([...seen.keys()].sort()).toEqual(running.ports('replica').sort());
  });

  test('kill -9 does not make the next start fail, and the data is there', async () => {
    await running.end('SIGKILL');
    running = new Program(configFile);
    await running.ready();
    const client = await connected(running.databaseUrl);
    expect((await client.query('SELECT count(*)::int AS n FROM visits')).rows[0].n).toBe(1);
    await client.end();
  });

  test.each(['SIGINT', 'SIGTERM'] as const)('%s ends it with no process left', async (signal) => {
    const home = join(folder, 'data');
    const left = async () =>
      (
        await Promise.all(
          ['primary', 'replica1', 'replica2'].map((name) =>
            serverProcesses(join(home, name), clusterNameOf(home, name)),
          ),
        )
      ).flat();
    expect(await left()).not.toEqual([]);
    const client = await connected(running.databaseUrl);
    expect(await running.end(signal)).toBe(0);
    await client.end().catch(() => {});
    expect(await left()).toEqual([]);
    running = new Program(configFile);
    await running.ready();
  });
});
