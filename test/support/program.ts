import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { eventually } from './proxy.ts';

const program = new URL('../../src/cli.ts', import.meta.url).pathname;

/** The whole program, as `npm start` runs it, on ports of its own. */
export class Program {
  readonly #child: ChildProcess;
  readonly #exit: Promise<[number | null, NodeJS.Signals | null]>;
  output = '';

  constructor(configFile: string) {
    this.#child = spawn(process.execPath, ['--import', 'tsx', program, '--config', configFile], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#exit = once(this.#child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.on('data', (chunk: Buffer) => {
        this.output += chunk.toString();
      });
    }
  }

  async ready(): Promise<void> {
    await eventually(() => {
      if (this.#child.exitCode !== null) throw new Error(`the program ended:\n${this.output}`);
      return this.output.includes('Tidemark is ready.');
    }, 'the banner');
  }

  get databaseUrl(): string {
    return /DATABASE_URL=(\S+)/.exec(this.output)![1]!;
  }

  get metricsUrl(): string {
    return /Metrics: (\S+)/.exec(this.output)![1]!;
  }

  /** Node addresses by role, as the banner lists them. */
  ports(role: string): number[] {
    const lines = this.output.matchAll(new RegExp(`127\\.0\\.0\\.1:(\\d+) +${role}`, 'g'));
    return [...lines].map((match) => Number(match[1]));
  }

  get httpUrl(): string {
    return this.metricsUrl.replace('/metrics', '');
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Resolves with the exit code, when it has ended by itself or by a signal. */
  async ended(): Promise<number | null> {
    const [code] = await this.#exit;
    return code;
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    this.#child.kill(signal);
    return await this.ended();
  }
}
