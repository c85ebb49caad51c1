import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { answersFrom } from './admin/admin-answers.ts';
import type { AdminSources } from './admin/admin-sources.ts';
import { type HttpServer, startHttpServer } from './admin/http-server.ts';
import { authenticationBy, type Credentials } from './authentication.ts';
import { type NodeStatus, nodeStatuses } from './banner.ts';
import type { Address, Config } from './config.ts';
import { Gate } from './lag/gate.ts';
import { Monitor } from './lag/monitor.ts';
import type { MonitorEvent } from './lag/monitor-event.ts';
import type { Logger } from './log.ts';
import { logMonitorEvent } from './monitor-log.ts';
import { packageVersion } from './package-version.ts';
import { Cluster } from './pool/cluster.ts';
import { createNodeProbe } from './pool/node-probe.ts';
import { loadParser } from './router/parser.ts';
import { BasePolicies } from './session/base-policies.ts';
import { CancelKeys, type WorkerPlace } from './session/cancel-keys.ts';
import { Databases } from './session/databases.ts';
import { DurationHistogram } from './session/duration-histogram.ts';
import { type Entrance, openEntrance } from './session/entrance.ts';
import { FallbackLimit } from './session/fallback-limit.ts';
import type { KeyHolder } from './session/key-holder.ts';
import { Listener } from './session/listener.ts';
import { LoginTemplates } from './session/login-templates.ts';
import { LoopTurns } from './session/loop-turns.ts';
import type { OtherWorkers } from './session/other-workers.ts';
import { Paces } from './session/pace.ts';
import { RouteCounts } from './session/route-counts.ts';
import type { SessionContext } from './session/session-context.ts';
import { SharedChanges } from './session/shared-changes.ts';
import { WriteFloor, WriteFloorOfMany } from './session/write-floor.ts';

/** A sample that takes longer costs the monitor's connection: the node counts as down. */
const probeTimeoutMs = 2_000;
/** Between two looks at whether all sessions have ended. */
const drainPollMs = 20;

/** What a process that serves clients is told of its surroundings. */
export interface Surroundings {
  readonly log: Logger;
  readonly credentials: Credentials;
  readonly place: WorkerPlace;
  readonly others: OtherWorkers;
}

/**
 * All that serves clients in one process. It holds the parts together; what they say to each other
 * goes through here.
 */
export class RunningProxy {
  readonly sources: AdminSources;
  readonly changes: SharedChanges;
  readonly cancelKeys: CancelKeys<KeyHolder>;
  listenAddress: Address;
  httpAddress: Address | null = null;
  readonly #config: Config;
  readonly #surroundings: Surroundings;
  readonly #monitor: Monitor;
  readonly #gate: Gate;
  readonly #cluster: Cluster;
  readonly #databases: Databases;
  readonly #templates = new LoginTemplates();
  readonly #routes: RouteCounts;
  readonly #fallbacks: FallbackLimit;
  /** By node: what each of its samples has proven. */
  readonly #staleness: readonly DurationHistogram[];
  #listener: Listener | null = null;
  /** Null in a worker: its supervisor hands clients over. */
  #entrance: Entrance | null = null;
  #http: HttpServer | null = null;
  #stopped: Promise<void> | null = null;

  constructor(config: Config, surroundings: Surroundings) {
    const { log, place, others } = surroundings;
    this.#config = config;
    this.#surroundings = surroundings;
    this.listenAddress = config.listen;
    this.#monitor = new Monitor({
      probes: config.nodes.map((node) => createNodeProbe(node)),
      sampleIntervalMs: config.freshness.sampleIntervalMs,
      probeTimeoutMs,
      maxStalenessMs: config.freshness.maxStalenessMs,
      onEvent: (event) => this.#monitored(event),
      onStaleness: (node, ms) => this.#staleness[node]!.observe(ms),
    });
    this.#gate = new Gate(this.#monitor);
    this.#cluster = new Cluster(config.nodes, config.pool, this.#monitor.now);
    this.#databases = new Databases(
      {
        primary: () => config.nodes[this.#monitor.primary()] ?? null,
        replica: () =>
          config.nodes[this.#monitor.nodes.findIndex(({ role }) => role === 'replica')] ?? null,
        clientPidOf: (pid) => this.#cluster.clientPidOf(this.#monitor.primary(), pid),
      },
      this.#cluster.prepared,
      log,
    );
    this.#routes = new RouteCounts(config.nodes.length);
    this.#fallbacks = new FallbackLimit(config.freshness.fallbackReadsMax);
    this.#staleness = config.nodes.map(() => new DurationHistogram());
    this.cancelKeys = new CancelKeys(place);
    this.changes = new SharedChanges({
      databases: this.#databases,
      cluster: this.#cluster,
      templates: this.#templates,
      tell: others.tell,
    });
    this.sources = this.#adminSources();
  }

  /** Rejects, with nothing left running, if it cannot. */
  async start(progress: (line: string) => void): Promise<void> {
    const { credentials } = this.#surroundings;
    try {
      await loadParser();
      const listener = new Listener(this.#sessionContext(), authenticationBy(credentials));
      this.#listener = listener;
      if (this.#isAlone) await this.#open(listener);
      progress('looking at the nodes');
      await this.#monitor.start();
      await this.#startHttp();
      listener.open();
    } catch (error) {
      await this.stop(false);
      throw error;
    }
  }

  get #isAlone(): boolean {
    return this.#surroundings.place.count === 1;
  }

  async #open(listener: Listener): Promise<void> {
    this.#entrance = await openEntrance(this.#config.listen, {
      accept: (socket) => listener.accept(socket),
      log: this.#surroundings.log,
    });
    this.listenAddress = this.#entrance.address;
  }

  /** A client that the supervisor has taken. */
  accept(socket: Socket): void {
    if (this.#listener === null) socket.destroy();
    else this.#listener.accept(socket);
  }

  async nodes(): Promise<readonly NodeStatus[]> {
    return nodeStatuses(this.#monitor);
  }

  /** Graceful: sessions may end their transactions first. Resolves when nothing is left. */
  stop(graceful: boolean): Promise<void> {
    this.#entrance?.close();
    if (!graceful) this.#listener?.terminate();
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  #sessionContext(): SessionContext {
    const config = this.#config;
    const { log, others } = this.#surroundings;
    return {
      config,
      cluster: this.#cluster,
      monitor: this.#monitor,
      gate: this.#gate,
      log,
      routes: this.#routes,
      templates: this.#templates,
      databases: this.#databases,
      policies: new BasePolicies(config.freshness, config.nodes.length),
      fallbacks: this.#fallbacks,
      writes: this.#isAlone ? new WriteFloor() : new WriteFloorOfMany(() => this.#monitor.now()),
      cancelKeys: this.cancelKeys,
      paces: new Paces(),
      turns: new LoopTurns(() => this.#monitor.now()),
      changes: this.changes,
      others,
      serverPassword: (user) =>
        config.users.find(({ name }) => name === user)?.serverPassword ?? '',
    };
  }

  async #startHttp(): Promise<void> {
    if (this.#config.http === null) return;
    this.#http = await startHttpServer(this.#config.http, answersFrom(this.sources));
    this.httpAddress = this.#http.address;
  }

  #adminSources(): AdminSources {
    return {
      monitor: this.#monitor,
      gate: this.#gate,
      cluster: this.#cluster,
      routes: this.#routes,
      staleness: this.#staleness,
      fallbackLimit: this.#fallbacks,
      sessions: () => this.#listener?.sessions ?? [],
      maxStalenessMs: this.#config.freshness.maxStalenessMs,
      version: packageVersion(),
    };
  }

  async #stop(): Promise<void> {
    const listener = this.#listener;
    this.#http?.drain();
    listener?.drain();
    while (listener !== null && listener.sessions.size > 0) await sleep(drainPollMs);
    this.#gate.close();
    await this.#http?.close();
    this.#databases.close();
    await this.#monitor.stop();
    this.#cluster.destroy();
  }

  /** Nothing may be committed any more where the new primary would not have it. */
  #leaveFormerPrimaries(): void {
    for (const { node, role } of this.#monitor.nodes) {
      if (role === 'down' || role === 'fenced') this.#cluster.closeNode(node, 'node-down', true);
      if (role !== 'primary') this.#listener?.leaveNode(node);
    }
  }

  #monitored(event: MonitorEvent): void {
    logMonitorEvent(this.#surroundings.log, event, this.#config.nodes);
    if (event.type === 'primary-changed') {
      this.#databases.primaryChanged();
      if (event.node !== -1) this.#leaveFormerPrimaries();
    } else if (event.type === 'node-fenced') {
      this.#cluster.closeNode(event.node, 'node-down', true);
      this.#listener?.leaveNode(event.node);
    } else if (event.type === 'node-down') {
      // What runs on a primary may still be committed and acknowledged; a read runs elsewhere.
      const wasPrimary = event.node === this.#monitor.primary();
      this.#cluster.closeNode(event.node, 'node-down', !wasPrimary);
    }
  }
}
