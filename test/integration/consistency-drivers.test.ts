import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { eventually, startTestProxy, type TestProxy } from '../support/proxy.ts';
import { metric, option, route, whilePaused, withClients } from '../support/sessions.ts';

const run = promisify(execFile);
/** Where psycopg is installed, if not for the python3 on the PATH. */
const python = process.env['TIDEMARK_TEST_PYTHON'] ?? 'python3';
const page = readFileSync(new URL('../../docs/consistency.md', import.meta.url), 'utf8');

let cluster: TestCluster;
let a: TestProxy;
let b: TestProxy;

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 2 });
  await cluster.primary.query('create table accounts (id int primary key, balance int not null)');
  await cluster.primary.query('insert into accounts values (1, 0)');
  await cluster.waitForCatchup();
  // Reads wait for a replica, however long one is behind.
  const freshness = { waitTimeoutMs: 60_000, maxStalenessMs: 60_000 };
  a = await startTestProxy(cluster, { freshness });
  b = await startTestProxy(cluster, { freshness });
});

afterAll(async () => {
  await a?.stop();
  await b?.stop();
  await cluster?.stop();
});

interface Snippet {
  readonly name: string;
  readonly command: string;
  readonly args: (code: string) => readonly string[];
  /** Exits with 0 where the snippet can run. */
  readonly probe: readonly string[];
  readonly missing: string;
}

const node = {
  command: process.execPath,
  args: (code: string) => ['--input-type=module', '-e', code],
  probe: ['--version'],
  missing: 'Node.js is not installed',
};
const snippets: readonly Snippet[] = [
  { name: 'node-postgres', ...node },
  { name: 'node-postgres-report', ...node },
  { name: 'postgres.js', ...node },
  {
    name: 'psycopg',
    command: python,
    args: (code) => ['-c', code],
    probe: ['-c', 'import psycopg'],
    missing: `psycopg is not installed for ${python}; TIDEMARK_TEST_PYTHON names another`,
  },
  {
    name: 'psql',
    command: 'sh',
    args: (code) => ['-ec', code],
    probe: ['-c', 'psql --version'],
    missing: 'psql is not on the PATH',
  },
];

/** A code block of the page, by the comment in front of it. */
function codeOf(name: string): string {
  const found = new RegExp(`<!-- snippet: ${name} -->\\n\`\`\`\\w+\\n([^]*?)\`\`\``).exec(page);
  if (found === null) throw new Error(`docs/consistency.md has no snippet ${name}`);
  return found[1]!;
}

/** Runs it as its reader would; the words of its last line are what it has read, and where. */
async function execute({ name, command, args }: Snippet) {
  const env = { ...process.env, TIDEMARK_A: a.url, TIDEMARK_B: b.url };
  const { stdout } = await run(command, [...args(codeOf(name))], { env });
  const [balance, port] = stdout.trim().split('\n').at(-1)!.split(' ').map(Number);
  return { balance, port };
}

const balanceOnPrimary = async (): Promise<number> =>
  (await cluster.primary.query('select balance from accounts where id = 1'))[0].balance;

/** What a session without the token reads through the second proxy. */
const readAtEventual = () =>
  withClients(
    async (reader) => {
      const { rows } = await reader.query('select balance from accounts where id = 1');
      expect((await route(reader)).role).toBe('replica');
      return rows[0].balance;
    },
    [b, option('consistency', 'eventual')],
  );

describe('the snippets of docs/consistency.md', () => {
  it('are all run here', () => {
    const onPage = Array.from(page.matchAll(/<!-- snippet: (\S+) -->/g), ([, name]) => name);
    expect(onPage).toEqual(snippets.map(({ name }) => name));
    // Every block of code is one of them: of those indented none is code.
    expect(page.match(/^```\w/gm)).toHaveLength(snippets.length);
  });

  for (const snippet of snippets) {
    it(`${snippet.name}: reads on a replica what was written at another proxy`, async (context) => {
      const isInstalled = await run(snippet.command, [...snippet.probe]).then(
        () => true,
        () => false,
      );
      if (!isInstalled) context.skip(snippet.missing);
      const before = await balanceOnPrimary();
      await whilePaused(cluster, async (resume) => {
        let isOver = false;
        const reading = execute(snippet).finally(() => {
          isOver = true;
        });
        await eventually(
          async () => isOver || (await metric(b, 'tidemark_gate_waiters')) > 0,
          'the read waits',
        );
        if (isOver) throw new Error(`it did not wait, and read ${JSON.stringify(await reading)}`);
        expect(await balanceOnPrimary()).toBe(before + 10);
        expect(await readAtEventual()).toBe(before);
        await resume();
        const { balance, port } = await reading;
        expect(balance).toBe(before + 10);
        expect(cluster.replicas.map((replica) => replica.port)).toContain(port);
      });
    });
  }
});
