import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Runs the program that follows, and tells it to stop when its own input ends. That happens when
 * this process ends, also by SIGKILL: nothing is left running. `cat` needs the input named, as
 * sh gives /dev/null to what runs in the background. The program's process id comes back on 4.
 */
const tie = `
exec 3<&0
"$@" </dev/null 3<&- 4>&- &
pid=$!
echo $pid >&4
exec 4>&-
(cat <&3 >/dev/null; kill -TERM $pid) 2>/dev/null &
wait $pid
`;

const pollMs = 50;
const stopLimitMs = 10_000;
const shownLogLength = 2_000;

export interface ProgramOptions {
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  /** Where what it prints goes. */
  readonly logFile: string;
  readonly cwd?: string;
  /** Who it runs as; this program's own user by default. */
  readonly ids?: { readonly uid?: number; readonly gid?: number };
}

/** A server program that lives as long as it is wanted, and never longer than this process. */
export class TiedProcess {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #logFile: string;
  readonly #ended: Promise<unknown>;
  readonly #pid: Promise<number>;
  #running = true;

  constructor(options: ProgramOptions) {
    this.name = options.name;
    this.#logFile = options.logFile;
    this.#child = spawn('/bin/sh', ['-c', tie, 'sh', options.file, ...options.args], {
      cwd: options.cwd ?? '/',
      stdio: ['pipe', 'pipe', 'pipe', 'ignore', 'pipe'],
      // A session of its own: Ctrl-C is for the bench, which then ends its programs in order.
      detached: true,
      ...options.ids,
    });
    const log = createWriteStream(options.logFile);
    this.#child.stdout?.pipe(log, { end: false });
    this.#child.stderr?.pipe(log, { end: false });
    this.#pid = text(this.#child.stdio[4] as Readable).then(Number);
    this.#ended = once(this.#child, 'exit').then(() => {
      this.#running = false;
    });
  }

  /** Process id of the program itself, whose descendants are its own. */
  get pid(): Promise<number> {
    return this.#pid;
  }

  /**
   * Resolves when the condition holds.
   * @throws Error with the end of the program's log when it ends before that, or takes too long
   */
  async until(what: string, limitMs: number, condition: () => Promise<boolean>): Promise<void> {
    const deadlineMs = performance.now() + limitMs;
    while (!(await condition())) {
      if (!this.#running) throw new Error(`${this.name} has ended: ${await this.#logEnd()}`);
      if (performance.now() > deadlineMs) {
        throw new Error(`${this.name} is not ${what} in time: ${await this.#logEnd()}`);
      }
      await sleep(pollMs);
    }
  }

  /** Resolves when it has ended; one that takes too long is killed. */
  async stop(): Promise<void> {
    this.#child.stdin?.end();
    await Promise.race([this.#ended, sleep(stopLimitMs, undefined, { ref: false })]);
    if (!this.#running || this.#child.pid === undefined) return;
    // Its whole session: sh and what it runs.
    process.kill(-this.#child.pid, 'SIGKILL');
    await this.#ended;
  }

  async #logEnd(): Promise<string> {
    const log = await readFile(this.#logFile, 'utf8').catch(() => '');
    return log.slice(-shownLogLength);
  }
}
