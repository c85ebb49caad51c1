import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { startTestProxy, type TestProxy } from '../support/proxy.ts';
import { option, withClients } from '../support/sessions.ts';

const run = promisify(execFile);
/** Where psycopg is installed, if not for the python3 on the PATH. */
const python = process.env['TIDEMARK_TEST_PYTHON'] ?? 'python3';
const page = readFileSync(new URL('../../docs/consistency.md', import.meta.url), 'utf8');
const applyDelayMs = 300;

let cluster: TestCluster;
let a: TestProxy;
let b: TestProxy;

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 2 });
  await cluster.primary.query('create table accounts (id int primary key, balance int not null)');
  await cluster.primary.query('insert into accounts values (1, 0)');
  await cluster.waitForCatchup();
  const freshness = { waitTimeoutMs: 60_000, maxStalenessMs: 60_000 };
  a = await startTestProxy(cluster, { freshness });
  b = await startTestProxy(cluster, { freshness });
  for (const replica of cluster.replicas) await replica.setApplyDelay(applyDelayMs);
});

afterAll(async () => {
  await a?.stop();
  await b?.stop();
  await cluster?.stop();
});

beforeEach(async () => {
  await cluster.waitForCatchup();
});

/** A code block of the page, by the comment in front of it. */
function snippet(name: string): string {
  const found = new RegExp(`<!-- snippet: ${name} -->\\n\`\`\`\\w+\\n([^]*?)\`\`\``).exec(page);
  if (found === null) throw new Error(`docs/consistency.md has no snippet ${name}`);
  return found[1]!;
}

/** Runs it as its reader would; the words of its last line are what it has read, and where. */
async function runSnippet(name: string, command: string, args: (code: string) => string[]) {
  const env = { ...process.env, TIDEMARK_A: a.url, TIDEMARK_B: b.url };
  const { stdout } = await run(command, args(snippet(name)), { env });
  const [balance, port] = stdout.trim().split('\n').at(-1)!.split(' ').map(Number);
  return { balance, port };
}

async function works(command: string, args: readonly string[]): Promise<boolean> {
  return run(command, [...args]).then(
    () => true,
    () => false,
  );
}
const hasPsycopg = await works(python, ['-c', 'import psycopg']);
const hasPsql = await works('psql', ['--version']);

const module = (code: string) => ['--input-type=module', '-e', code];
const cases: readonly (readonly [string, string, (code: string) => string[], boolean])[] = [
  ['node-postgres', process.execPath, module, true],
  ['node-postgres-report', process.execPath, module, true],
  ['postgres.js', process.execPath, module, true],
  ['psycopg', python, (code) => ['-c', code], hasPsycopg],
  ['psql', 'sh', (code) => ['-ec', code], hasPsql],
];

describe('the snippet of docs/consistency.md for', () => {
  for (const [name, command, args, isInstalled] of cases) {
    it.runIf(isInstalled)(`${name} reads on a replica what another proxy wrote`, async () => {
      const { balance, port } = await runSnippet(name, command, args);
      const [row] = await cluster.primary.query('select balance from accounts');
      expect(balance).toBe(row.balance);
      expect(cluster.replicas.map((replica) => replica.port)).toContain(port);
    });
  }

  it('nothing less would do: without the token such a read is stale', async () => {
    await withClients(
      async (writer, reader) => {
        await writer.query('update accounts set balance = balance + 10 where id = 1');
        const [row] = await cluster.primary.query('select balance from accounts');
        const { rows } = await reader.query('select balance from accounts');
        expect(rows[0].balance).toBe(row.balance - 10);
      },
      [a],
      [b, option('consistency', 'bounded')],
    );
  });
});
