import assert from 'node:assert';
import { performance } from 'node:perf_hooks';
import { FreshnessClock } from './freshness-clock.ts';
import { normalizeInsertLsn } from './lsn.ts';
import type { MonitorEvent } from './monitor-event.ts';
import type { NodeFacts, NodeProbe, NodeSample } from './node-probe.ts';
import type { NodeState } from './node-state.ts';
import { NodeWatch } from './node-watch.ts';
import type { ReadRequirement } from './read-requirement.ts';
import { decideTopology, emptyTopologyMemory } from './topology.ts';

const NEVER = Number.NEGATIVE_INFINITY;

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
}

/** Who waits for samples. Called synchronously while a sample is handled. */
export interface SampleDemand {
  /** True while somebody waits for another sample of this node. */
  isUrgent(node: number): boolean;
  /** A sample was taken in: more may be proven than before. */
  progressed(): void;
  /** The primary is another one, or gone. */
  primaryChanged(): void;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

interface LastSample {
  readonly sentAtMs: number;
  readonly receivedAtMs: number;
  readonly sample: NodeSample;
}

interface Watched {
  readonly state: Mutable<NodeState>;
  readonly watch: NodeWatch;
  facts: NodeFacts | null;
  last: LastSample | null;
  /** Samples sent earlier prove nothing: the node has been in doubt since. */
  trustFromMs: number;
  eligible: boolean;
}

/** Which server, since which start, on which branch of history: one epoch of the clock. */
interface EpochKey {
  readonly node: number;
  readonly generation: number;
  readonly timeline: number | null;
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
  readonly #firstRound = new Set<number>();
  #started: (() => void) | null = null;
  #topologyMemory = emptyTopologyMemory;
  #primary = -1;
  #epoch = 0;
  #epochKey: EpochKey | null = null;
  #promotionSeen = false;
  #demand: SampleDemand | null = null;
  #urging: NodeJS.Immediate | null = null;

  constructor(options: MonitorOptions) {
    this.#options = options;
    this.now = options.now ?? (() => performance.now());
    this.clock = new FreshnessClock(options.probes.length);
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
    for (const watched of this.#watched) watched.watch.stop();
    this.clock.newEpoch();
    this.#started?.();
  }

  /** The node to write to, -1 if there is none now. */
  primary(): number {
    return this.#primary;
  }

  /** Counts primaries and their restarts; 0 before the first. */
  get epoch(): number {
    return this.#epoch;
  }

  /** True if the node is a live replica that is proven to meet the requirement. */
  isEligible(node: number, requirement: ReadRequirement): boolean {
    return this.nodes[node]!.role === 'replica' && this.clock.satisfies(node, requirement);
  }

  /** Proven upper bound, in ms: 0 for the primary, Infinity while nothing is proven. */
  stalenessMs(node: number): number {
    if (node === this.#primary) return 0;
    return this.now() - this.clock.freshAsOfMs(node);
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
    };
    const now = this.now;
    return {
      state: initialState(node, now()),
      watch: new NodeWatch({ node, probe, now, sampleIntervalMs, probeTimeoutMs, listener }),
      facts: null,
      last: null,
      trustFromMs: NEVER,
      eligible: false,
    };
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
    const cameUp = state.downSinceMs !== null;
    state.downSinceMs = null;
    state.lastError = null;
    // A running standby never leaves a timeline for a lower one, but may fail to name it.
    state.timeline = sample.inRecovery
      ? maxKnown(state.timeline, sample.timeline)
      : sample.timeline;
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
    watched.eligible = false;
    this.clock.dropNode(node);
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
    if (node !== -1) this.#enterEpoch(node, timeline);
    if (node === previous) return;
    this.#emit({ type: 'primary-changed', node, previous, timeline });
    this.#demand?.primaryChanged();
    // Another node may have been promoted: do not wait for the next interval to find out.
    if (node === -1) for (const watched of this.#watched) watched.watch.nudge();
  }

  #enterEpoch(node: number, timeline: number | null): void {
    const { generation } = this.nodes[node]!;
    const key = this.#epochKey;
    if (key?.node === node && key.generation === generation && key.timeline === timeline) return;
    if (key !== null && key.timeline !== timeline) this.#promotionSeen = true;
    this.#epochKey = { node, generation, timeline };
    this.#epoch++;
    this.clock.newEpoch();
    this.#emit({ type: 'new-epoch', node, epoch: this.#epoch, timeline });
    for (const state of this.nodes) {
      if (state.role === 'replica') this.#watched[state.node]!.watch.nudge();
    }
  }

  /** Gives a node's newest sample to the clock, if it may prove anything. */
  #takeIn({ state, last, trustFromMs }: Watched): void {
    if (last === null) return;
    if (state.role === 'primary' && state.insertLsn !== null) {
      const flushLsn = state.flushLsn ?? state.insertLsn;
      this.clock.primarySample(last.sentAtMs, state.insertLsn, flushLsn);
    } else if (state.role === 'replica') {
      if (state.replayLsn === null || !this.#sharesHistory(state)) {
        this.clock.dropNode(state.node);
      } else if (last.sentAtMs >= trustFromMs) {
        const { sentAtMs, receivedAtMs } = last;
        const { node, replayLsn, generation } = state;
        this.clock.replicaSample(node, sentAtMs, receivedAtMs, replayLsn, generation);
      }
    }
  }

  /**
   * Positions compare only on one timeline. A standby that cannot name its own (the monitor's role
   * may not see it) is taken to be on the primary's as long as no promotion was ever seen.
   */
  #sharesHistory(replica: NodeState): boolean {
    const key = this.#epochKey;
    if (key === null) return false;
    return replica.timeline === null ? !this.#promotionSeen : replica.timeline === key.timeline;
  }

  #noteEligibility(watched: Watched): void {
    const { node, role } = watched.state;
    if (role !== 'replica') {
      watched.eligible = false;
      return;
    }
    const { maxStalenessMs } = this.#options;
    const stalenessMs = this.stalenessMs(node);
    const limitMs = watched.eligible ? maxStalenessMs : maxStalenessMs / 2;
    if (stalenessMs <= limitMs === watched.eligible) return;
    watched.eligible = !watched.eligible;
    const type = watched.eligible ? 'replica-eligible' : 'replica-ineligible';
    this.#emit({ type, node, stalenessMs });
  }

  #emit(event: MonitorEvent): void {
    this.#options.onEvent(event);
  }
}

function initialState(node: number, nowMs: number): Mutable<NodeState> {
  return {
    node,
    role: 'down',
    generation: 0,
    timeline: null,
    systemId: null,
    versionNum: 0,
    replayLsn: null,
    insertLsn: null,
    flushLsn: null,
    lastError: null,
    downSinceMs: nowMs,
    fencedBecause: null,
  };
}

/** Replay only goes forward while a server runs; the start time tells restarts apart. */
function hasRestarted(before: NodeSample | undefined, after: NodeSample): boolean {
  if (before === undefined) return false;
  if (before.postmasterStartTime !== after.postmasterStartTime) return true;
  if (!before.inRecovery && after.inRecovery) return true;
  return (
    before.inRecovery &&
    after.inRecovery &&
    before.replayLsn !== null &&
    (after.replayLsn === null || after.replayLsn < before.replayLsn)
  );
}

function maxKnown(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.max(a, b);
}
