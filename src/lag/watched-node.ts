import type { NodeFacts, NodeSample } from './node-probe.ts';
import type { NodeState } from './node-state.ts';
import type { NodeWatch } from './node-watch.ts';
import type { ReplayWait } from './replay-wait.ts';

export type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export interface LastSample {
  readonly sentAtMs: number;
  readonly receivedAtMs: number;
  readonly sample: NodeSample;
}

/** How often a node was asked. */
export interface SampleCounts {
  /** Samples that were answered. */
  readonly answered: number;
  /** Samples and connections that failed or took too long. */
  readonly failed: number;
}

/** What the monitor keeps of one node. */
export interface Watched {
  readonly state: Mutable<NodeState>;
  readonly watch: NodeWatch;
  readonly replayWait: ReplayWait;
  readonly counts: Mutable<SampleCounts>;
  facts: NodeFacts | null;
  last: LastSample | null;
  /** When it was last seen in recovery: since which start, and on which timeline at least. */
  recovery: { readonly postmasterStartTime: string; readonly timeline: number } | null;
  /** Samples sent earlier prove nothing: the node has been in doubt since. */
  trustFromMs: number;
  eligible: boolean;
}

export function newWatched(
  node: number,
  watch: NodeWatch,
  replayWait: ReplayWait,
  nowMs: number,
): Watched {
  return {
    state: initialState(node, nowMs),
    watch,
    replayWait,
    counts: { answered: 0, failed: 0 },
    facts: null,
    last: null,
    recovery: null,
    trustFromMs: Number.NEGATIVE_INFINITY,
    eligible: false,
  };
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
export function hasRestarted(before: NodeSample | undefined, after: NodeSample): boolean {
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

export function maxKnown(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.max(a, b);
}

/** Remembers on which timeline this run of the server was seen in recovery. */
export function noteRecovery(watched: Watched, sample: NodeSample): void {
  if (!sample.inRecovery) return;
  const { postmasterStartTime } = sample;
  const seen = recoveredOnTimeline(watched, sample) ?? 1;
  const timeline = Math.max(seen, watched.state.timeline ?? 1);
  if (watched.recovery?.timeline === timeline && seen === timeline) return;
  watched.recovery = { postmasterStartTime, timeline };
}

/** The highest timeline on which this run was seen in recovery, at least 1; null: it was not. */
export function recoveredOnTimeline(watched: Watched, sample: NodeSample): number | null {
  const { recovery } = watched;
  return recovery?.postmasterStartTime === sample.postmasterStartTime ? recovery.timeline : null;
}
