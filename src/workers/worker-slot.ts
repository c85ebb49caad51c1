import { strict as assert } from 'node:assert';
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { countsOf, type ProcessMetrics } from '../admin/merged-metrics.ts';
import { type Readiness, unready } from '../admin/readiness.ts';
import type { Logger } from '../log.ts';
import { within } from '../within.ts';
import type { WorkerTask } from './questions.ts';
import { type Exit, type OthersAnswers, WorkerProcess } from './worker-process.ts';

/** A worker that takes longer to say how it is does not serve anybody well. */
const answerMsMax = 2_000;
/** An immediate stop waits so long for a worker's farewells. */
const farewellMsMax = 2_000;
const pauseMsMin = 100;
const pauseMsMax = 10_000;
/** A worker that has lived for so long has not ended because of its start. */
const steadyMs = 10_000;

/** Before the worker after `failures` that ended soon after their start, one after the other. */
export function pauseMsAfter(failures: number): number {
  return Math.min(pauseMsMin * 2 ** failures, pauseMsMax);
}

export interface WorkerSlotOptions {
  readonly task: WorkerTask;
  readonly answers: OthersAnswers;
  readonly log: Logger;
  /** Clients can be given to it, for the first time or again. */
  readonly serves: () => void;
}

/**
 * One of the workers, which is another process after each crash.
 *
 *     starting -> serving -> pausing -> starting ...       any -> stopping
 */
export class WorkerSlot {
  /** Processes that have ended unasked after they had served. */
  crashes = 0;
  readonly #options: WorkerSlotOptions;
  #state: 'starting' | 'serving' | 'pausing' | 'stopping' = 'starting';
  #process: WorkerProcess | null = null;
  /** Counted by processes that have ended. */
  #formerCounts: ProcessMetrics = [];
  /** The present process's, as it said last. */
  #lastMetrics: ProcessMetrics = [];
  #failures = 0;
  #servingSinceMs = 0;
  #pause: NodeJS.Timeout | null = null;

  constructor(options: WorkerSlotOptions) {
    this.#options = options;
  }

  get isServing(): boolean {
    return this.#state === 'serving';
  }

  /** Clients that its process has. */
  get clients(): number {
    return this.#process?.clients ?? 0;
  }

  /** A client for a worker that serves. */
  give(socket: Socket): void {
    assert(this.isServing && this.#process !== null, 'a client is given to a worker that serves');
    this.#process.give(socket);
  }

  /** Resolves when it serves. Rejects with words for people if it cannot; it is not tried again. */
  async start(): Promise<void> {
    const process = new WorkerProcess(this.#options.answers);
    this.#process = process;
    await process.ask('start', this.#options.task);
    if (this.#isStopping) return;
    this.#state = 'serving';
    this.#servingSinceMs = performance.now();
    void process.exited.then((exit) => this.#crashed(exit));
    this.#options.serves();
  }

  /** Whatever its state: rejects where there is nobody to answer. */
  ask: WorkerProcess['ask'] = (name, ...asked) => {
    if (this.#process === null) return Promise.reject(new Error('the worker is being replaced'));
    return this.#process.ask(name, ...asked);
  };

  /** Of its present process and of those before; only what they have counted where it is silent. */
  async metrics(): Promise<readonly ProcessMetrics[]> {
    const now = await within(answerMsMax, this.ask('metrics')).catch(() => null);
    if (now === null) return [this.#formerCounts, countsOf([this.#lastMetrics])];
    this.#lastMetrics = now;
    return [this.#formerCounts, now];
  }

  async readiness(isDraining: boolean): Promise<Readiness> {
    const now = await within(answerMsMax, this.ask('readiness', isDraining)).catch(() => null);
    return now ?? unready('no-worker', this.#options.task.config.freshness.maxStalenessMs);
  }

  /** Resolves when its process has ended. */
  async stop(graceful: boolean): Promise<void> {
    const hasClients = this.#state === 'serving' || this.#state === 'stopping';
    this.#state = 'stopping';
    if (this.#pause !== null) clearTimeout(this.#pause);
    const process = this.#process;
    if (process === null) return;
    const isOver = hasClients ? isFulfilled(process.ask('stop', graceful)) : Promise.resolve(false);
    if (await (graceful ? isOver : within(farewellMsMax, isOver))) process.dismiss();
    else process.kill();
    await process.exited;
  }

  get #isStopping(): boolean {
    return this.#state === 'stopping';
  }

  #crashed(exit: Exit): void {
    if (this.#isStopping) return;
    this.crashes += 1;
    this.#formerCounts = countsOf([this.#formerCounts, this.#lastMetrics]);
    this.#lastMetrics = [];
    const isSteady = performance.now() - this.#servingSinceMs >= steadyMs;
    this.#failures = isSteady ? 0 : this.#failures + 1;
    this.#replaceLater(exit);
  }

  #replaceLater(why: Exit | { readonly problem: string }): void {
    const pauseMs = pauseMsAfter(this.#failures);
    const { log, task } = this.#options;
    log.error({ worker: task.place.index, ...why, pauseMs }, 'worker ended, another is started');
    this.#process = null;
    this.#state = 'pausing';
    this.#pause = setTimeout(() => void this.#replace(), pauseMs);
  }

  async #replace(): Promise<void> {
    this.#state = 'starting';
    try {
      await this.start();
      this.#options.log.info({ worker: this.#options.task.place.index }, 'worker started');
    } catch (error) {
      this.#process?.kill();
      if (this.#isStopping) return;
      this.#failures += 1;
      this.#replaceLater({ problem: error instanceof Error ? error.message : String(error) });
    }
  }
}

function isFulfilled(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false,
  );
}
