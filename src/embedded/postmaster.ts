import { type ChildProcess, spawn } from 'node:child_process';
import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Account } from './account.ts';
import { EmbeddedError } from './embedded-error.ts';
import type { Installation } from './installation.ts';
import { killServer, signal, waitUntil } from './processes.ts';
import { serverEnvironment } from './run-command.ts';

/** Crash recovery of a busy server takes a while; a server that says nothing for longer is stuck. */
const readyLimitMs = 120_000;
const logTailLength = 1_500;

export interface ServerSpec {
  readonly installation: Installation;
  readonly account: Account;
  readonly dataDir: string;
  /** Setting cluster_name; unique to the data directory. */
  readonly clusterName: string;
  readonly logFile: string;
}

/** Why a server did not come up. */
export class ServerStartError extends EmbeddedError {
  readonly reason: 'portTaken' | 'cannotContinue' | 'failed';

  constructor(reason: 'portTaken' | 'cannotContinue' | 'failed', message: string) {
    super(message);
    this.reason = reason;
  }
}

/** fast rolls back what runs; immediate leaves recovery to the next start. */
export type StopMode = 'fast' | 'immediate';
const stopSignals = { fast: 'SIGINT', immediate: 'SIGQUIT' } as const;

/** One running server, a child of this program in a session of its own. */
export class Postmaster {
  readonly pid: number;
  readonly #spec: ServerSpec;
  readonly #child: ChildProcess;

  private constructor(spec: ServerSpec, child: ChildProcess, pid: number) {
    this.#spec = spec;
    this.#child = child;
    this.pid = pid;
  }

  /**
   * Starts the server and waits until it takes connections.
   *
   * @param cannotContinue lines in its log after which waiting for it is useless
   * @throws ServerStartError; nothing runs then
   */
  static async start(spec: ServerSpec, cannotContinue?: RegExp): Promise<Postmaster> {
    // The log of the start before is kept: it tells how that one ended.
    await rename(spec.logFile, `${spec.logFile}.old`).catch(() => undefined);
    const log = await open(spec.logFile, 'a', 0o600);
    const child = spawn(join(spec.installation.binDir, 'postgres'), ['-D', spec.dataDir], {
      cwd: '/',
      env: serverEnvironment(),
      stdio: ['ignore', log.fd, log.fd],
      // A session of its own: Ctrl-C on the terminal reaches this program only, which then stops
      // the servers in order.
      detached: true,
      ...spec.account.ids,
    });
    const spawnError = await new Promise<Error | undefined>((resolve) => {
      child.once('spawn', () => resolve(undefined));
      child.once('error', resolve);
    });
    await log.close();
    if (spawnError !== undefined || child.pid === undefined) {
      throw new ServerStartError('failed', `cannot start postgres: ${spawnError?.message}`);
    }
    child.unref();
    const postmaster = new Postmaster(spec, child, child.pid);
    try {
      await postmaster.#waitUntilReady(cannotContinue);
    } catch (error) {
      await postmaster.stop('immediate', 1_000);
      throw error;
    }
    return postmaster;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Stops the server; SIGKILL to all its processes when it takes longer than the limit. */
  async stop(mode: StopMode, limitMs: number): Promise<void> {
    if (this.running) {
      signal(this.pid, stopSignals[mode]);
      if (await waitUntil(() => !this.running, limitMs)) return;
    }
    // Children outlive a killed postmaster until they notice.
    await killServer(this.#spec.dataDir, this.#spec.clusterName);
    await waitUntil(() => !this.running, limitMs);
  }

  /** Tells the server to shut down without waiting: for the last moment of this program. */
  signalStop(): void {
    if (this.running) signal(this.pid, stopSignals.fast);
  }

  async #waitUntilReady(cannotContinue: RegExp | undefined): Promise<void> {
    const ready = await waitUntil(async () => {
      if (!this.running) throw await this.#startError('the server ended');
      if (cannotContinue?.test(await readLog(this.#spec))) {
        throw new ServerStartError('cannotContinue', await logTail(this.#spec));
      }
      return this.#isReady();
    }, readyLimitMs);
    if (!ready) throw await this.#startError(`the server was not ready after ${readyLimitMs} ms`);
  }

  /** As pg_ctl: line 1 of postmaster.pid is the pid, line 8 the state (pidfile.h). */
  async #isReady(): Promise<boolean> {
    const text = await readFile(join(this.#spec.dataDir, 'postmaster.pid'), 'utf8').catch(() => '');
    const lines = text.split('\n');
    return Number(lines[0]) === this.pid && lines[7]?.trim() === 'ready';
  }

  async #startError(what: string): Promise<ServerStartError> {
    const tail = await logTail(this.#spec);
    const taken = /could not bind .* address|could not create any TCP\/IP sockets/.test(tail);
    return new ServerStartError(taken ? 'portTaken' : 'failed', `${what}:\n${tail}`);
  }
}

/** What the server has logged since its start. */
export async function readLog(spec: ServerSpec): Promise<string> {
  return readFile(spec.logFile, 'utf8').catch(() => '');
}

async function logTail(spec: ServerSpec): Promise<string> {
  return (await readLog(spec)).slice(-logTailLength);
}
