import { strict as assert } from 'node:assert';
import type { Socket } from 'node:net';
import type { Registry } from 'prom-client';
import type { ProcessMetrics } from '../admin/merged-metrics.ts';
import { createMetrics, processMetrics } from '../admin/metrics.ts';
import { type Readiness, readiness } from '../admin/readiness.ts';
import type { NodeStatus } from '../banner.ts';
import { createLogger } from '../log.ts';
import { RunningProxy } from '../running-proxy.ts';
import type { WorkerPlace } from '../session/cancel-keys.ts';
import { signalSession } from '../session/key-holder.ts';
import type { OtherWorkers } from '../session/other-workers.ts';
import type { SharedChange } from '../session/shared-changes.ts';
import { explainStartError } from '../start-error.ts';
import type { Answerer } from './conversation.ts';
import type { CancelRequest, SignalRequest, WorkerQuestions, WorkerTask } from './questions.ts';

interface Running {
  readonly proxy: RunningProxy;
  readonly metrics: Registry;
}

/** The part of a worker that does what its supervisor asks for. */
export class WorkerService implements Answerer<WorkerQuestions> {
  readonly #othersOf: (place: WorkerPlace) => OtherWorkers;
  #running: Running | null = null;

  constructor(othersOf: (place: WorkerPlace) => OtherWorkers) {
    this.#othersOf = othersOf;
  }

  async start({ config, credentials, place }: WorkerTask): Promise<void> {
    assert(this.#running === null, 'a worker is started once');
    const proxy = new RunningProxy(config, {
      log: createLogger(config.log).child({ worker: place.index }),
      credentials,
      place,
      others: this.#othersOf(place),
    });
    this.#running = { proxy, metrics: createMetrics(proxy.sources) };
    try {
      // Who starts all workers says what there is to say.
      await proxy.start(() => {});
    } catch (error) {
      throw new Error(explainStartError(error));
    }
  }

  accept(socket: Socket): void {
    this.#present().proxy.accept(socket);
  }

  async stop(graceful: boolean): Promise<void> {
    await this.#running?.proxy.stop(graceful);
  }

  async metrics(): Promise<ProcessMetrics> {
    const { metrics } = this.#present();
    return [...(await metrics.getMetricsAsJSON()), ...(await processMetrics().getMetricsAsJSON())];
  }

  readiness(isDraining: boolean): Readiness {
    return readiness(this.#present().proxy.sources, isDraining);
  }

  nodes(): Promise<readonly NodeStatus[]> {
    return this.#present().proxy.nodes();
  }

  cancel({ pid, secret }: CancelRequest): void {
    this.#running?.proxy.cancelKeys.find(pid, secret)?.cancel();
  }

  signal({ pid, user, action }: SignalRequest): boolean {
    const keys = this.#running?.proxy.cancelKeys;
    return keys !== undefined && signalSession(keys, pid, user, action);
  }

  hear(change: SharedChange): void {
    this.#running?.proxy.changes.heard(change);
  }

  #present(): Running {
    assert(this.#running !== null, 'a worker is started before it is asked');
    return this.#running;
  }
}
