import type { AdminAnswers } from '../admin/admin-answers.ts';
import { type HttpServer, startHttpServer } from '../admin/http-server.ts';
import { mergedMetrics, type ProcessMetrics } from '../admin/merged-metrics.ts';
import { MetricSet } from '../admin/metric-set.ts';
import { processMetrics } from '../admin/metrics.ts';
import { leastReady, type Readiness, unready } from '../admin/readiness.ts';
import { addWorkerCrashes } from '../admin/worker-metrics.ts';
import type { Credentials } from '../authentication.ts';
import type { NodeStatus } from '../banner.ts';
import type { Address, Config } from '../config.ts';
import type { Logger } from '../log.ts';
import { packageVersion } from '../package-version.ts';
import { workerOf } from '../session/cancel-keys.ts';
import { type Entrance, openEntrance } from '../session/entrance.ts';
import { Reception } from './reception.ts';
import { withShareOfLimits } from './share-of-limits.ts';
import type { OthersAnswers } from './worker-process.ts';
import { WorkerSlot } from './worker-slot.ts';

/**
 * Keeps the workers running, gives them clients, passes on what they say to each other, and speaks
 * for them all.
 */
export class Supervisor implements AdminAnswers {
  readonly version = packageVersion();
  listenAddress: Address;
  httpAddress: Address | null = null;
  readonly #config: Config;
  readonly #log: Logger;
  readonly #slots: readonly WorkerSlot[];
  readonly #reception: Reception;
  readonly #own = new MetricSet();
  #entrance: Entrance | null = null;
  #http: HttpServer | null = null;

  constructor(config: Config, credentials: Credentials, log: Logger) {
    const count = config.workers;
    this.#config = config;
    this.#log = log;
    this.listenAddress = config.listen;
    this.#slots = Array.from({ length: count }, (_, index) => {
      const place = { index, count };
      return new WorkerSlot({
        task: { config: withShareOfLimits(config, place), credentials, place },
        answers: this.#answersTo(index),
        log,
        serves: () => this.#reception.hostCame(),
      });
    });
    this.#reception = new Reception(this.#slots);
    addWorkerCrashes(this.#own, () => this.#slots.reduce((sum, { crashes }) => sum + crashes, 0));
  }

  /** Rejects, with nothing left running, if one of them cannot start. */
  async start(progress: (line: string) => void): Promise<void> {
    try {
      this.#entrance = await openEntrance(this.#config.listen, {
        accept: (socket) => this.#reception.receive(socket),
        log: this.#log,
      });
      this.listenAddress = this.#entrance.address;
      progress('looking at the nodes');
      await Promise.all(this.#slots.map((slot) => slot.start()));
      if (this.#config.http === null) return;
      this.#http = await startHttpServer(this.#config.http, this);
      this.httpAddress = this.#http.address;
    } catch (error) {
      await this.stop(false);
      throw error;
    }
  }

  /** As one of the workers sees them. */
  nodes(): Promise<readonly NodeStatus[]> {
    return Promise.any(this.#slots.map((slot) => slot.ask('nodes')));
  }

  async metrics(): Promise<string> {
    const ofWorkers = await Promise.all(this.#slots.map((slot) => slot.metrics()));
    const own: ProcessMetrics = [
      ...(await this.#own.registry.getMetricsAsJSON()),
      ...(await processMetrics().getMetricsAsJSON()),
    ];
    return await mergedMetrics([own, ...ofWorkers.flat()]).metrics();
  }

  async readiness(isDraining: boolean): Promise<Readiness> {
    const serving = this.#slots.filter(({ isServing }) => isServing);
    const states = await Promise.all(serving.map((slot) => slot.readiness(isDraining)));
    const { maxStalenessMs } = this.#config.freshness;
    return leastReady(states) ?? unready(isDraining ? 'draining' : 'no-worker', maxStalenessMs);
  }

  /** Graceful: sessions may end their transactions first. Resolves when no worker is left. */
  async stop(graceful: boolean): Promise<void> {
    this.#http?.drain();
    this.#entrance?.close();
    this.#reception.close();
    await Promise.all(this.#slots.map((slot) => slot.stop(graceful)));
    await this.#http?.close();
  }

  #answersTo(index: number): OthersAnswers {
    const ownerOf = (pid: number) => this.#slots[workerOf(pid, this.#slots.length) ?? -1];
    return {
      // A session whose worker has crashed is gone, and so is what it ran.
      cancel: async (request) =>
        await ownerOf(request.pid)
          ?.ask('cancel', request)
          .catch(() => {}),
      signal: async (request) =>
        (await ownerOf(request.pid)
          ?.ask('signal', request)
          .catch(() => false)) ?? false,
      tell: (change) => {
        for (const [other, slot] of this.#slots.entries()) {
          if (other !== index) slot.ask('hear', change).catch(() => {});
        }
      },
    };
  }
}
