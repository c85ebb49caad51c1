import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type HttpServer, startHttpServer } from './admin/http-server.ts';
import { authenticationFor } from './authentication.ts';
import { banner } from './banner.ts';
import type { Address, Config } from './config.ts';
import { startEmbeddedNodes } from './embedded-nodes.ts';
import { Gate } from './lag/gate.ts';
import { Monitor } from './lag/monitor.ts';
import type { MonitorEvent } from './lag/monitor-event.ts';
import type { Logger } from './log.ts';
import { logMonitorEvent } from './monitor-log.ts';
import { Cluster } from './pool/cluster.ts';
import { createNodeProbe } from './pool/node-probe.ts';
import { loadParser } from './router/parser.ts';
import { BasePolicies } from './session/base-policies.ts';
import { CancelKeys } from './session/cancel-keys.ts';
import { Databases } from './session/databases.ts';
import { DurationHistogram } from './session/duration-histogram.ts';
import { FallbackLimit } from './session/fallback-limit.ts';
import type { KeyHolder } from './session/key-holder.ts';
import { Listener } from './session/listener.ts';
import { LoginTemplates } from './session/login-templates.ts';
import { Paces } from './session/pace.ts';
import { RouteCounts } from './session/route-counts.ts';
import { WriteFloor } from './session/write-floor.ts';

/** A sample that takes longer costs the monitor's connection: the node counts as down. */
const probeTimeoutMs = 2_000;
/** Between two looks at whether all sessions have ended. */
const drainPollMs = 20;

export interface ProxyOptions {
  readonly log: Logger;
  /** Told what goes on during the start, in plain words. */
  readonly progress: (line: string) => void;
}

export interface Proxy {
  readonly listenAddress: Address;
  /** Null when the configuration turns it off. */
  readonly httpAddress: Address | null;
  /** What a person needs to know to use it, several lines. */
  describe(): Promise<string>;
  /** Graceful: sessions may end their transactions first. Resolves when nothing is left. */
  stop(graceful: boolean): Promise<void>;
}

/** Starts everything that `config` asks for. Rejects, with nothing left running, if it cannot. */
export async function startProxy(config: Config, options: ProxyOptions): Promise<Proxy> {
  const embedded = config.embedded && (await startEmbeddedNodes(config.embedded, options.progress));
  const complete =
    embedded === null
      ? config
      : { ...config, nodes: embedded.nodes, users: [...config.users, embedded.user] };
  try {
    const running = new RunningProxy(complete, options.log);
    await running.start(options.progress);
    return {
      listenAddress: running.listenAddress,
      httpAddress: running.httpAddress,
      describe: async () => banner(complete, running, running.monitor),
      stop: async (graceful) => {
        await running.stop(graceful);
        await embedded?.stop();
      },
    };
  } catch (error) {
    await embedded?.stop();
    throw error;
  }
}

/** Holds the parts together; what they say to each other goes through here. */
class RunningProxy {
  readonly monitor: Monitor;
  listenAddress: Address;
  httpAddress: Address | null = null;
  readonly #config: Config;
  readonly #log: Logger;
  readonly #gate: Gate;
  readonly #cluster: Cluster;
  readonly #databases: Databases;
  readonly #routes: RouteCounts;
  readonly #fallbacks: FallbackLimit;
  /** By node: what each of its samples has proven. */
  readonly #staleness: readonly DurationHistogram[];
  #listener: Listener | null = null;
  #http: HttpServer | null = null;
  #stopped: Promise<void> | null = null;

  constructor(config: Config, log: Logger) {
    this.#config = config;
    this.#log = log;
    this.listenAddress = config.listen;
    this.monitor = new Monitor({
      probes: config.nodes.map((node) => createNodeProbe(node)),
      sampleIntervalMs: config.freshness.sampleIntervalMs,
      probeTimeoutMs,
      maxStalenessMs: config.freshness.maxStalenessMs,
      onEvent: (event) => this.#monitored(event),
      onStaleness: (node, ms) => this.#staleness[node]!.observe(ms),
    });
    this.#gate = new Gate(this.monitor);
    this.#cluster = new Cluster(config.nodes, config.pool);
    this.#databases = new Databases(
      {
        primary: () => config.nodes[this.monitor.primary()] ?? null,
        replica: () =>
          config.nodes[this.monitor.nodes.findIndex(({ role }) => role === 'replica')] ?? null,
      },
      this.#cluster.prepared,
      log,
    );
    this.#routes = new RouteCounts(config.nodes.length);
    this.#fallbacks = new FallbackLimit(config.freshness.fallbackReadsMax);
    this.#staleness = config.nodes.map(() => new DurationHistogram());
  }

  async start(progress: (line: string) => void): Promise<void> {
    const config = this.#config;
    const context = {
      config,
      cluster: this.#cluster,
      monitor: this.monitor,
      gate: this.#gate,
      log: this.#log,
      routes: this.#routes,
      templates: new LoginTemplates(),
      databases: this.#databases,
      policies: new BasePolicies(config.freshness, config.nodes.length),
      fallbacks: this.#fallbacks,
      writes: new WriteFloor(),
      cancelKeys: new CancelKeys<KeyHolder>(),
      paces: new Paces(),
      serverPassword: (user: string) =>
        config.users.find(({ name }) => name === user)?.serverPassword ?? '',
    };
    try {
      await loadParser();
      const listener = new Listener(context, await authenticationFor(config));
      this.#listener = listener;
      this.listenAddress = await listener.listen(config.listen);
      progress('looking at the nodes');
      await this.monitor.start();
      await this.#startHttp();
      listener.open();
    } catch (error) {
      await this.stop(false);
      throw error;
    }
  }

  stop(graceful: boolean): Promise<void> {
    if (!graceful) this.#listener?.terminate();
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #startHttp(): Promise<void> {
    if (this.#config.http === null) return;
    this.#http = await startHttpServer(this.#config.http, {
      monitor: this.monitor,
      gate: this.#gate,
      cluster: this.#cluster,
      routes: this.#routes,
      staleness: this.#staleness,
      fallbackLimit: this.#fallbacks,
      sessions: () => this.#listener?.sessions ?? [],
      maxStalenessMs: this.#config.freshness.maxStalenessMs,
      version: packageVersion(),
    });
    this.httpAddress = this.#http.address;
  }

  async #stop(): Promise<void> {
    const listener = this.#listener;
    this.#http?.drain();
    listener?.drain();
    while (listener !== null && listener.sessions.size > 0) await sleep(drainPollMs);
    this.#gate.close();
    await this.#http?.close();
    this.#databases.close();
    await this.monitor.stop();
    this.#cluster.destroy();
  }

  /** Nothing may be committed any more where the new primary would not have it. */
  #leaveFormerPrimaries(): void {
    for (const { node, role } of this.monitor.nodes) {
      if (role === 'down' || role === 'fenced') this.#cluster.closeNode(node, 'node-down', true);
      if (role !== 'primary') this.#listener?.leaveNode(node);
    }
  }

  #monitored(event: MonitorEvent): void {
    logMonitorEvent(this.#log, event, this.#config.nodes);
    if (event.type === 'primary-changed') {
      this.#databases.primaryChanged();
      if (event.node !== -1) this.#leaveFormerPrimaries();
    } else if (event.type === 'node-fenced') {
      this.#cluster.closeNode(event.node, 'node-down', true);
      this.#listener?.leaveNode(event.node);
    } else if (event.type === 'node-down') {
      // What runs on a primary may still be committed and acknowledged; a read runs elsewhere.
      const wasPrimary = event.node === this.monitor.primary();
      this.#cluster.closeNode(event.node, 'node-down', !wasPrimary);
    }
  }
}

function packageVersion(): string {
  const file = new URL('../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
