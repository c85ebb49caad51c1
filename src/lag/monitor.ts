import assert from 'node:assert';
import { performance } from 'node:perf_hooks';
import { Epochs } from './epochs.ts';
import { FreshnessClock } from './freshness-clock.ts';
import { type Lsn, normalizeInsertLsn } from './lsn.ts';
import type { MonitorEvent } from './monitor-event.ts';
import type { NodeFacts, NodeProbe, NodeSample } from './node-probe.ts';
import type { NodeState } from './node-state.ts';
import { NodeWatch } from './node-watch.ts';
import type { ReadRequirement } from './read-requirement.ts';
import { ReplayWait, replayWaitVersionMin } from './replay-wait.ts';
import { StalenessBudget } from './staleness-budget.ts';
import type { LsnToken } from './token.ts';
import type { TokenVerdict } from './token-verdict.ts';
import { decideTopology, emptyTopologyMemory } from './topology.ts';
import {
  hasRestarted,
  type LastSample,
  maxKnown,
  newWatched,
  noteRecovery,
  recoveredOnTimeline,
  type SampleCounts,
  type Watched,
} from './watched-node.ts';

export interface MonitorOptions {
  /** One per node; the index is the node's number. */
  readonly probes: readonly NodeProbe[];
  /** Monotonic milliseconds; performance.now() by default. */
  readonly now?: () => number;
  /** Pause between two samples of a node while nobody waits. */
  readonly sampleIntervalMs: number;
  /** A sample that takes longer costs the connection. */
  readonly probeTimeoutMs: number;
  /** For the events replica-eligible and replica-ineligible only. */
  readonly maxStalenessMs: number;
  readonly onEvent: (event: MonitorEvent) => void;
  /** Called with every sample of a replica of which something is proven. */
  readonly onStaleness?: (node: number, stalenessMs: number) => void;
}

/** Who waits for samples. Called synchronously while a sample is handled. */
export interface SampleDemand {
  /** True while somebody waits for another sample of this node. */
  isUrgent(node: number): boolean;
  /** The lowest position with which a replica would satisfy somebody; null: not known, or nobody. */
  wantedLsn(): Lsn | null;
  /** A sample was taken in: more may be proven than before. */
  progressed(): void;
  /** The primary is another one, or gone. */
  primaryChanged(): void;
}

/**
 * Samples every node, decides roles, and keeps the freshness clock. Fails closed: a node that does
 * not answer, answers NULL, restarts or changes its role is not fresh until new samples prove it.
 */
export class Monitor {
  readonly clock: FreshnessClock;
  readonly nodes: readonly NodeState[];
  readonly now: () => number;
  readonly #options: MonitorOptions;
  readonly #watched: readonly Watched[];
  readonly #epochs: Epochs;
  readonly #budget: StalenessBudget;
  readonly #firstRound = new Set<number>();
  #started: (() => void) | null = null;
  #topologyMemory = emptyTopologyMemory;
  #primary = -1;
  #demand: SampleDemand | null = null;
  #urging: NodeJS.Immediate | null = null;

  constructor(options: MonitorOptions) {
    this.#options = options;
    this.now = options.now ?? (() => performance.now());
    this.clock = new FreshnessClock(options.probes.length);
    this.#epochs = new Epochs(options.probes);
    this.#budget = new StalenessBudget(options.maxStalenessMs, options.probes.length);
    this.#watched = options.probes.map((probe, node) => this.#watchNode(probe, node));
    this.nodes = this.#watched.map((watched) => watched.state);
  }

  /** Resolves when every node has answered once or failed once. Never rejects. */
  start(): Promise<void> {
    assert(this.#started === null, 'a monitor starts once');
    return new Promise((resolve) => {
      this.#started = resolve;
      for (const state of this.nodes) this.#firstRound.add(state.node);
      for (const watched of this.#watched) watched.watch.start();
    });
  }

  /** Cuts every connection. Nothing is proven afterwards. */
  async stop(): Promise<void> {
    if (this.#urging !== null) clearImmediate(this.#urging);
    for (const { watch, replayWait } of this.#watched) {
      watch.stop();
      replayWait.stop();
    }
    this.#epochs.stop();
    this.clock.newEpoch();
    this.#started?.();
  }

  /** The node to write to, -1 if there is none now. */
  primary(): number {
    return this.#primary;
  }

  /** Counts primaries and their restarts; 0 before the first. */
  get epoch(): number {
    return this.#epochs.count;
  }

  /** True if the node is a live replica that is proven to meet the requirement. `nowMs`: `now()`, read before. */
  isEligible(node: number, requirement: ReadRequirement, nowMs = this.now()): boolean {
    if (this.nodes[node]!.role !== 'replica') return false;
    // Asked first, so that it takes note of every staleness seen.
    const { budget } = requirement;
    if (budget !== null && !budget.admits(node, this.stalenessMs(node, nowMs))) return false;
    return this.clock.satisfies(node, requirement);
  }

  /**
   * What a client's token means now, in the present epoch: judge it again in the next. Also while
   * the primary is down, by what was last known of it.
   */
  judgeToken(token: LsnToken): TokenVerdict {
    const { systemId } = this.#topologyMemory;
    const isOther = token.systemId !== null && token.systemId !== systemId;
    if (isOther && systemId !== null) return { kind: 'other-system' };
    const facts = this.#watched[this.#epochs.primary]?.facts ?? null;
    const { newestPrimarySampleMs, newestPrimaryLsn } = this.clock;
    if (facts === null) return { kind: 'unproven', why: 'no-primary', newestPrimarySampleMs };
    const position = { sentAtMs: newestPrimarySampleMs, lsn: newestPrimaryLsn, geometry: facts };
    return this.#epochs.judge(token, position);
  }

  /**
   * True if what the primary of that time acknowledged just before this moment is known to be part
   * of the present primary's log; false from the last sample that surely survived a failover or a
   * crash until the new primary was found. Always true of -Infinity.
   */
  survived(momentMs: number): boolean {
    return this.#epochs.survived(momentMs);
  }

  /** How often the node was asked since the start. */
  samples(node: number): SampleCounts {
    return this.#watched[node]!.counts;
  }

  /** Proven upper bound, in ms: 0 for the primary, Infinity while nothing is proven. `nowMs`: `now()`, read before. */
  stalenessMs(node: number, nowMs = this.now()): number {
    if (node === this.#primary) return 0;
    return nowMs - this.clock.freshAsOfMs(node);
  }

  /**
   * A connection to this node failed: asks the node at once. A replica is not fresh until it has
   * answered a query sent after this, for it may have restarted and gone back.
   */
  nudge(node: number): void {
    const watched = this.#watched[node]!;
    watched.trustFromMs = this.now();
    this.clock.dropNode(node);
    watched.watch.nudge();
  }

  /** Who waits for samples; at most one. */
  attachDemand(demand: SampleDemand): void {
    assert(this.#demand === null);
    this.#demand = demand;
  }

  /** Looks at the demand again when the events at hand are handled, so one sample covers them all. */
  urge(): void {
    this.#urging ??= setImmediate(() => {
      this.#urging = null;
      this.#urgeAll();
    });
  }

  #urgeAll(): void {
    for (const watched of this.#watched) watched.watch.urge();
  }

  #watchNode(probe: NodeProbe, node: number): Watched {
    const { sampleIntervalMs, probeTimeoutMs } = this.#options;
    const listener = {
      connected: (_: number, facts: NodeFacts) => this.#connected(node, facts),
      sampled: (_: number, sentAtMs: number, receivedAtMs: number, sample: NodeSample) =>
        this.#sampled(node, { sentAtMs, receivedAtMs, sample }),
      failed: (_: number, error: Error) => this.#failed(node, error),
      isUrgent: () => this.#demand?.isUrgent(node) ?? false,
      saysWhen: () => this.#saysWhen(node),
    };
    const now = this.now;
    const watch = new NodeWatch({ node, probe, now, sampleIntervalMs, probeTimeoutMs, listener });
    const ended = () => watch.wake();
    const replayWait = new ReplayWait({ now, open: () => probe.openReplayWait(), ended });
    return newWatched(node, watch, replayWait, now());
  }

  #saysWhen(node: number): boolean {
    const { state, replayWait } = this.#watched[node]!;
    if (state.role !== 'replica' || state.versionNum < replayWaitVersionMin) return false;
    const lsn = this.#demand?.wantedLsn() ?? null;
    return lsn !== null && replayWait.wants(lsn);
  }

  #connected(node: number, facts: NodeFacts): void {
    const watched = this.#watched[node]!;
    this.#nextGeneration(watched);
    watched.facts = facts;
    watched.state.systemId = facts.systemId;
    watched.state.versionNum = facts.versionNum;
  }

  /** What was known of the server may have been undone by a restart. */
  #nextGeneration(watched: Watched): void {
    watched.state.generation++;
    watched.replayWait.stop();
    watched.state.timeline = null;
    watched.state.replayLsn = null;
    watched.last = null;
    this.clock.dropNode(watched.state.node);
  }

  #sampled(node: number, last: LastSample): void {
    const watched = this.#watched[node]!;
    const { state } = watched;
    const { sample } = last;
    if (hasRestarted(watched.last?.sample, sample)) this.#nextGeneration(watched);
    watched.last = last;
    watched.counts.answered++;
    const cameUp = state.downSinceMs !== null;
    state.downSinceMs = null;
    state.lastError = null;
    // A running standby never leaves a timeline for a lower one, but may fail to name it.
    state.timeline = sample.inRecovery
      ? maxKnown(state.timeline, sample.timeline)
      : sample.timeline;
    noteRecovery(watched, sample);
    state.replayLsn = sample.inRecovery ? sample.replayLsn : null;
    state.insertLsn =
      sample.inRecovery || sample.insertLsn === null
        ? null
        : normalizeInsertLsn(sample.insertLsn, watched.facts!);
    state.flushLsn = sample.inRecovery ? null : sample.flushLsn;
    if (cameUp) this.#emit({ type: 'node-up', node, generation: state.generation });
    if (!this.#roundDone(node)) return;
    this.#decideRoles();
    this.#takeIn(watched);
    this.#noteEligibility(watched);
    this.#demand?.progressed();
    if (node === this.#primary) this.#urgeAll();
  }

  #failed(node: number, error: Error): void {
    const watched = this.#watched[node]!;
    const { state } = watched;
    const wentDown = state.downSinceMs === null || state.lastError === null;
    state.downSinceMs ??= this.now();
    state.lastError = error.message;
    watched.last = null;
    watched.counts.failed++;
    watched.replayWait.stop();
    this.#makeIneligible(watched);
    this.clock.dropNode(node);
    if (node === this.#primary) this.clock.primaryLost();
    if (wentDown) this.#emit({ type: 'node-down', node, error: error.message });
    if (this.#roundDone(node)) this.#decideRoles();
  }

  /** True once roles can be decided: the first decision looks at all nodes together. */
  #roundDone(node: number): boolean {
    if (this.#started === null) return true;
    this.#firstRound.delete(node);
    if (this.#firstRound.size > 0) return false;
    const started = this.#started;
    this.#started = null;
    this.#decideRoles();
    for (const watched of this.#watched) {
      this.#takeIn(watched);
      this.#noteEligibility(watched);
    }
    started();
    return true;
  }

  #decideRoles(): void {
    const claims = this.#watched.map(({ state, last }) => ({
      up: last !== null,
      inRecovery: last?.sample.inRecovery ?? true,
      timeline: state.timeline,
      systemId: state.systemId,
    }));
    const topology = decideTopology(claims, this.#topologyMemory);
    this.#topologyMemory = topology.memory;
    this.#watched.forEach(({ state }, node) => {
      const { role, fencedBecause } = topology.verdicts[node]!;
      const from = state.role;
      const newlyFenced = fencedBecause !== null && state.fencedBecause !== fencedBecause;
      state.role = role;
      state.fencedBecause = fencedBecause;
      if (role !== 'replica') this.clock.dropNode(node);
      if (role !== from) this.#emit({ type: 'role-changed', node, from, to: role });
      if (newlyFenced) this.#emit({ type: 'node-fenced', node, reason: fencedBecause });
    });
    this.#setPrimary(topology.primary);
  }

  #setPrimary(node: number): void {
    const previous = this.#primary;
    this.#primary = node;
    const timeline = node === -1 ? null : this.nodes[node]!.timeline;
    if (node !== -1) this.#enterEpoch(this.#watched[node]!);
    if (node === previous) return;
    this.#emit({ type: 'primary-changed', node, previous, timeline });
    this.#demand?.primaryChanged();
    // Another node may have been promoted: do not wait for the next interval to find out.
    if (node === -1) for (const watched of this.#watched) watched.watch.nudge();
  }

  #enterEpoch(watched: Watched): void {
    const { state } = watched;
    if (this.#epochs.isPresent(state)) return;
    const { node, timeline } = state;
    const { sample } = watched.last!;
    const { postmasterStartTime, recoveryEndLsn } = sample;
    const recoveredOn = recoveredOnTimeline(watched, sample);
    const run = { node, timeline, postmasterStartTime, recoveryEndLsn };
    this.#epochs.enter(state, { ...run, recoveredOnTimeline: recoveredOn }, this.now());
    this.clock.newEpoch();
    this.#emit({ type: 'new-epoch', node, epoch: this.epoch, timeline });
    for (const other of this.#watched) {
      if (other.state.role === 'replica') other.watch.nudge();
    }
  }

  /** Gives a node's newest sample to the clock, if it may prove anything. */
  #takeIn({ state, last, trustFromMs }: Watched): void {
    if (last === null) return;
    if (state.role === 'primary' && state.insertLsn !== null) {
      const flushLsn = state.flushLsn ?? state.insertLsn;
      const { sentAtMs, receivedAtMs } = last;
      this.clock.primarySample(sentAtMs, state.insertLsn, flushLsn);
      this.#epochs.primarySample(sentAtMs, receivedAtMs, state.insertLsn, flushLsn);
    } else if (state.role === 'replica') {
      if (state.replayLsn === null || !this.#epochs.sharesHistory(state)) {
        this.clock.dropNode(state.node);
      } else if (last.sentAtMs >= trustFromMs) {
        const { sentAtMs, receivedAtMs } = last;
        const { node, replayLsn, generation } = state;
        this.clock.replicaSample(node, sentAtMs, receivedAtMs, replayLsn, generation);
      }
    }
  }

  #noteEligibility(watched: Watched): void {
    const { node, role } = watched.state;
    if (role !== 'replica') {
      this.#makeIneligible(watched);
      return;
    }
    const stalenessMs = this.stalenessMs(node);
    if (Number.isFinite(stalenessMs)) this.#options.onStaleness?.(node, stalenessMs);
    const eligible = this.#budget.admits(node, stalenessMs);
    if (eligible === watched.eligible) return;
    watched.eligible = eligible;
    const type = eligible ? 'replica-eligible' : 'replica-ineligible';
    this.#emit({ type, node, stalenessMs });
  }

  /** Without an event: that of its role says it. */
  #makeIneligible(watched: Watched): void {
    watched.eligible = false;
    this.#budget.admits(watched.state.node, Number.POSITIVE_INFINITY);
  }

  #emit(event: MonitorEvent): void {
    this.#options.onEvent(event);
  }
}
