import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasDebian15, startTestCluster, type TestCluster } from '../support/cluster.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-cli-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Runs the program from its source in an empty folder. */
function tidemark(args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
  const program = ['--import', import.meta.resolve('tsx'), join(root, 'src/cli.ts')];
  const child = spawn(process.execPath, [...program, ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

describe('the command line', () => {
  it('prints help and version', async () => {
    const help = await tidemark(['--help']);
    expect(help).toMatchObject({ code: 0, stderr: '' });
    expect(help.stdout).toContain('tidemark check');
    const version = await tidemark(['--version']);
    expect(version.stdout).toMatch(/^tidemark \d+\.\d+\.\d+\n$/);
  });

  it('refuses bad arguments, all at once, with exit code 2', async () => {
    const { code, stdout, stderr } = await tidemark([
      '--primary',
      'postgres://app:geheim@h:99999/db',
      '--listen',
      'nowhere',
    ]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^tidemark: --primary: /m);
    expect(stderr).toMatch(/^tidemark: --listen: /m);
    expect(stderr).not.toContain('geheim');
  });

  it('names what is missing when there is nothing to go by', async () => {
    const { code, stderr } = await tidemark([]);
    expect(code).toBe(2);
    expect(stderr).toContain('there is no config.yaml in this folder');
  });

  it.each([[[]], [['check']]])('refuses a bad configuration with every line: %s', async (words) => {
    const path = file(
      'bad.yaml',
      'listen: nowhere\npool:\n  size: many\nauth: trust\ncolour: red\n',
    );
    const { code, stdout, stderr } = await tidemark([...words, '--config', path]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr.split('\n').map((line) => line.replace(path, '').split(' ')[0])).toEqual([
      ':1:',
      ':1:',
      ':3:',
      ':5:',
      '',
    ]);
  });

  it('refuses a file that is not there', async () => {
    const { code, stderr } = await tidemark(['--config', 'none.yaml']);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: 'none.yaml:1: no such file: check the path\n',
    });
  });

  it('checks an embedded cluster without starting it', async () => {
    const path = file('embedded.yaml', 'embedded: { replicas: 1, data_dir: none }\n');
    const { code, stdout } = await tidemark(['check', '--config', path]);
    expect(code).toBe(0);
    expect(stdout).toContain(
      `a start would run one primary and 1 replica with new data folders in ${join(folder, 'none')}`,
    );
  });
});

describe('check', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startTestCluster({ replicas: 1 });
    await cluster.primary.query(`CREATE ROLE plain LOGIN PASSWORD 'plain'`);
    await cluster.primary.query(`CREATE ROLE app LOGIN PASSWORD 'right'`);
    await cluster.waitForCatchup();
  });
  afterAll(() => cluster?.stop());

  const replica = () => cluster.replicas[0]!;
  /** 5 connections per user, so that pool.size is none of the problems. */
  const config = (text: string) => file('check.yaml', `pool: { size: 5 }\n${text}`);

  it('finds a healthy cluster in order', async () => {
    const { code, stdout } = await tidemark([
      'check',
      '--primary',
      cluster.primary.url(),
      '--replica',
      replica().url(),
    ]);
    expect(stdout).toMatch(/^127\.0\.0\.1:\d+: primary, PostgreSQL \d+\.\d+, timeline 1$/m);
    expect(stdout).toMatch(
      /^127\.0\.0\.1:\d+: replica, PostgreSQL .*, timeline 1, streaming from 127\.0\.0\.1:\d+, (caught up|\d+ bytes)/m,
    );
    expect(stdout).toContain('Everything is in order.');
    expect(code).toBe(0);
  });

  it('says when the node given as --primary is a replica, and which one is the primary', async () => {
    const { code, stdout } = await tidemark([
      'check',
      '--primary',
      replica().url(),
      '--replica',
      cluster.primary.url(),
    ]);
    expect(code).toBe(1);
    expect(stdout).toContain(
      `127.0.0.1:${replica().port} was given as --primary but is a replica; the primary is 127.0.0.1:${cluster.primary.port}`,
    );
  });

  it('reports a wrong password and a node that is down', async () => {
    const path = config(`nodes:
  - { name: one, url: "${cluster.primary.url({ password: 'geheim' })}" }
  - { name: two, url: "postgres://${cluster.user}:geheim@127.0.0.1:1/postgres" }
`);
    const { code, stdout } = await tidemark(['check', '--config', path]);
    expect(code).toBe(1);
    expect(stdout).toContain(
      `one: not reachable\n  PROBLEM: the password for user ${cluster.user} is wrong`,
    );
    expect(stdout).toContain(
      'two: not reachable\n  PROBLEM: nothing listens on 127.0.0.1:1: is the server running, and on that port?',
    );
    expect(stdout).toContain('2 problems found.');
    expect(stdout).not.toContain('geheim');
  });

  it('tries the login of every user on every node', async () => {
    const path = config(`nodes:
  - { name: one, url: "${cluster.primary.url()}" }
  - { name: two, url: "${replica().url()}" }
users:
  - { name: app, password: wrong }
  - { name: plain, password_env: PLAIN }
`);
    const { code, stdout } = await tidemark(['check', '--config', path], { PLAIN: 'plain' });
    expect(code).toBe(1);
    expect(
      stdout.match(/user app cannot log in: the password for user app is wrong/g),
    ).toHaveLength(2);
    expect(stdout).not.toContain('user plain');
  });

  it('takes no password from the surroundings', async () => {
    const path = config(
      `auth: trust\nnodes: [{ url: "postgres://app@127.0.0.1:${cluster.primary.port}/postgres" }]\n`,
    );
    const { stdout } = await tidemark(['check', '--config', path], { PGPASSWORD: 'right' });
    expect(stdout).toContain(
      'the server asks for the password of user app, and none is configured',
    );
  });

  it('notes a login without pg_monitor and reports one without a function', async () => {
    const path = config(
      `nodes: [{ name: two, url: "${replica().url({ user: 'plain', password: 'plain' })}" }, { name: one, url: "${cluster.primary.url({ user: 'plain', password: 'plain' })}" }]\n`,
    );
    const before = await tidemark(['check', '--config', path]);
    expect(before.stdout).toContain('GRANT pg_monitor TO "plain"');
    expect(before.code).toBe(0);
    await cluster.primary.query('REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC');
    await cluster.waitForCatchup();
    const { code, stdout } = await tidemark(['check', '--config', path]);
    await cluster.primary.query('GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC');
    expect(code).toBe(1);
    expect(stdout).toContain(
      'user plain may not call pg_control_system(): GRANT EXECUTE ON FUNCTION pg_control_system() TO "plain"',
    );
  });

  it('reports pools that are larger than the server, paused replay and a long delay', async () => {
    await replica().pauseReplay();
    await replica().setApplyDelay(10_000);
    const path = file(
      'large.yaml',
      `pool: { size: 5000 }\nnodes: [{ name: two, url: "${replica().url()}" }]\n`,
    );
    const { code, stdout } = await tidemark(['check', '--config', path]);
    await replica().setApplyDelay(0);
    await replica().resumeReplay();
    expect(code).toBe(1);
    expect(stdout).toMatch(/max_connections is \d+ .* takes 5000: lower pool.size to \d+/);
    expect(stdout).toContain('replay is paused');
    expect(stdout).toContain('recovery_min_apply_delay is 10000 ms');
    expect(stdout).toContain('no primary among the nodes that can be reached');
  });
});

describe.runIf(hasDebian15)('check of PostgreSQL 15', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startTestCluster({ replicas: 1, binaries: 'debian15' });
  });
  afterAll(() => cluster?.stop());

  it('finds it in order, and two primaries after a promotion that nobody announced', async () => {
    const [first, second] = cluster.nodes.map((node) => node.url());
    const args = ['check', '--primary', first!, '--replica', second!];
    const before = await tidemark(args);
    expect(before.stdout).toMatch(/: replica, PostgreSQL 15\.\d+, timeline 1, streaming from/);
    expect(before.code).toBe(0);
    await cluster.replicas[0]!.promote();
    const after = await tidemark(args);
    expect(after.stdout).toMatch(/: primary, PostgreSQL 15\.\d+, timeline 2$/m);
    expect(after.stdout).toContain('PROBLEM: two primaries (127.0.0.1:');
    expect(after.code).toBe(1);
  });
});
