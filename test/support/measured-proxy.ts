import { type ChildProcess, execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { canLogIn } from '../../bench/support/can-log-in.ts';
import { findPort } from '../../src/embedded/ports.ts';
import type { TestNode } from './cluster.ts';
import { eventually } from './proxy.ts';
import type { RawTarget } from './raw-client.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const probe = new URL('./cost-probe.mjs', import.meta.url).href;

/** What is allocated in a round fits into it, so that nothing is collected before it is counted. */
const youngGenerationMib = 256;

const startLimitMs = 20_000;

/** As the probe counts them; all but the memory only grow. */
export interface Counts {
  readonly clientWrites: number;
  readonly serverWrites: number;
  readonly collections: number;
  readonly heapUsed: number;
  readonly arrayBuffers: number;
}

/** The proxy as users run it, built and in a process of its own, with a probe in it that counts. */
export class MeasuredProxy {
  readonly target: RawTarget;
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(child: ChildProcess, folder: string, target: RawTarget) {
    this.#child = child;
    this.#folder = folder;
    this.target = target;
    this.pid = child.pid!;
  }

  /** @param settings keys of the configuration file that differ from their defaults */
  static async start(
    nodes: readonly Pick<TestNode, 'name' | 'user' | 'password' | 'database'>[],
    ports: readonly number[],
    settings: Readonly<Record<string, unknown>> = {},
  ): Promise<MeasuredProxy> {
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-measured-'));
    await build(folder);
    const port = await findPort(new Set());
    const { user, password, database } = nodes[0]!;
    const config = {
      listen: `127.0.0.1:${port}`,
      http: 'off',
      nodes: nodes.map((node, index) => ({
        name: node.name,
        url: `postgres://${node.user}:${encodeURIComponent(node.password)}@127.0.0.1:${ports[index]}/${node.database}`,
      })),
      log: { level: 'warn' },
      ...settings,
    };
    await writeFile(join(folder, 'tidemark.yaml'), stringify(config), { mode: 0o600 });
    const child = fork(join(folder, 'dist/cli.js'), ['--config', join(folder, 'tidemark.yaml')], {
      execArgv: [
        ...['--expose-gc', `--max-semi-space-size=${youngGenerationMib}`],
        ...[`--min-semi-space-size=${youngGenerationMib}`, '--import', probe],
      ],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const target = { host: '127.0.0.1', port, user, password, database };
    const proxy = new MeasuredProxy(child, folder, target);
    try {
      const isUp = () => child.exitCode !== null || canLogIn(target);
      await eventually(isUp, 'the proxy takes clients', startLimitMs);
      if (child.exitCode !== null) throw new Error(`the proxy ended with ${child.exitCode}`);
    } catch (error) {
      await proxy.stop();
      throw error;
    }
    return proxy;
  }

  /** After a full collection. */
  collect(): Promise<Counts> {
    return this.#ask('collect');
  }

  count(): Promise<Counts> {
    return this.#ask('count');
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null) {
      const exit = once(this.#child, 'exit');
      this.#child.kill('SIGKILL');
      await exit;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #ask(command: 'collect' | 'count'): Promise<Counts> {
    this.#child.send(command);
    const [counts] = await once(this.#child, 'message');
    return counts as Counts;
  }
}

/** As `npm run build` does it, from the sources as they are now. */
async function build(folder: string): Promise<void> {
  const compiler = fileURLToPath(import.meta.resolve('typescript/package.json'));
  const args = [join(compiler, '../bin/tsc'), '-p', join(root, 'tsconfig.build.json')];
  await promisify(execFile)(process.execPath, [...args, '--outDir', join(folder, 'dist')]);
  await cp(join(root, 'package.json'), join(folder, 'package.json'));
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
}
