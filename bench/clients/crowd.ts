import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { CrowdAnswers, CrowdCommand } from './crowd-command.ts';

const program = fileURLToPath(new URL('./crowd-program.ts', import.meta.url));

/** The process that plays the clients: what it uses is not the proxy's. */
export class Crowd {
  readonly #child: ChildProcess;

  constructor() {
    this.#child = fork(program, { execArgv: ['--import', import.meta.resolve('tsx')] });
  }

  /** One at a time. Rejects when the process has ended. */
  async run<Command extends CrowdCommand>(
    command: Command,
  ): Promise<CrowdAnswers[Command['kind']]> {
    const ended = new AbortController();
    const { signal } = ended;
    try {
      this.#child.send(command);
      const [message] = await Promise.race([
        once(this.#child, 'message', { signal }),
        once(this.#child, 'exit', { signal }).then(() => {
          throw new Error('the process of the clients has ended');
        }),
      ]);
      const { answer, error } = message as { answer?: unknown; error?: string };
      if (error !== undefined) throw new Error(error);
      return answer as CrowdAnswers[Command['kind']];
    } finally {
      ended.abort();
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.disconnect();
    await exit;
  }
}
