import { EpochHistory, type PrimaryRun } from './epoch-history.ts';
import { HistoryFetch } from './history-fetch.ts';
import { type Lsn, normalizeInsertLsn, type WalGeometry } from './lsn.ts';
import type { NodeProbe } from './node-probe.ts';
import type { NodeState } from './node-state.ts';
import type { LsnToken } from './token.ts';
import type { TokenVerdict } from './token-verdict.ts';

/** Which server, since which start, on which branch of history: one epoch of the clock. */
interface EpochKey {
  readonly node: number;
  readonly generation: number;
  readonly timeline: number | null;
}

/** What the newest sample of the primary says; `lsn` is null without one in this epoch. */
export interface PrimaryPosition {
  readonly sentAtMs: number;
  readonly lsn: Lsn | null;
  readonly geometry: WalGeometry;
}

/** The epochs of the freshness clock, and what of earlier ones is part of the present one. */
export class Epochs {
  readonly #history = new EpochHistory();
  readonly #fetch: HistoryFetch;
  #key: EpochKey | null = null;
  #count = 0;
  #promotionSeen = false;

  constructor(probes: readonly NodeProbe[]) {
    this.#fetch = new HistoryFetch(probes, (history) => this.#history.learn(history));
  }

  /** Counts primaries and their restarts; 0 before the first. */
  get count(): number {
    return this.#count;
  }

  /** Node of the present epoch's primary, up or down; -1 before the first. */
  get primary(): number {
    return this.#key?.node ?? -1;
  }

  /** True if this is the primary of the present epoch, still the same. */
  isPresent({ node, generation, timeline }: NodeState): boolean {
    const key = this.#key;
    return key?.node === node && key.generation === generation && key.timeline === timeline;
  }

  /** Another primary, or the same one started or connected anew: begins an epoch. */
  enter(state: NodeState, run: PrimaryRun, nowMs: number): void {
    const { node, generation, timeline } = state;
    if (this.#key !== null && this.#key.timeline !== timeline) this.#promotionSeen = true;
    this.#key = { node, generation, timeline };
    this.#count++;
    this.#history.enter(run, nowMs);
    if (timeline !== null) this.#fetch.want(node, timeline, nowMs);
  }

  /** The present primary's sample, normalised. */
  primarySample(sentAtMs: number, nowMs: number, insertLsn: Lsn, flushLsn: Lsn): void {
    this.#history.add(sentAtMs, nowMs, insertLsn, flushLsn);
    const key = this.#key;
    if (key !== null && key.timeline !== null) this.#fetch.want(key.node, key.timeline, nowMs);
  }

  /**
   * Positions compare only on one timeline. A standby that cannot name its own (the monitor's role
   * may not see it) is taken to be on the primary's as long as no promotion was ever seen.
   */
  sharesHistory(replica: NodeState): boolean {
    const key = this.#key;
    if (key === null) return false;
    return replica.timeline === null ? !this.#promotionSeen : replica.timeline === key.timeline;
  }

  /** See Monitor.survived. */
  survived(momentMs: number): boolean {
    return this.#history.survived(momentMs);
  }

  /** See Monitor.judgeToken; of a token of this system. */
  judge(token: LsnToken, { sentAtMs, lsn: newestLsn, geometry }: PrimaryPosition): TokenVerdict {
    const unproven = { kind: 'unproven', newestPrimarySampleMs: sentAtMs } as const;
    const present = this.#key?.timeline ?? null;
    if (newestLsn === null) return { ...unproven, why: 'no-primary' };
    // What a client read as its insert position may stand behind a page header.
    const minLsn = normalizeInsertLsn(token.lsn, geometry);
    const { timeline } = token;
    if (timeline !== null && timeline !== present) {
      if (present === null) return { kind: 'unknown-history' };
      if (timeline > present) return { ...unproven, why: 'newer-timeline' };
      const timelines = this.#history.timelines;
      const survives = timelines?.survives(timeline, minLsn) ?? 'unknown';
      if (survives === 'lost') {
        return { kind: 'lost', timeline, switchLsn: timelines!.lastLsnOf(timeline)! };
      }
      if (survives === 'unknown') {
        return this.#fetch.isPending(present)
          ? { ...unproven, why: 'history-pending' }
          : { kind: 'unknown-history' };
      }
    }
    if (minLsn > newestLsn) return { ...unproven, why: 'beyond-newest-sample' };
    return { kind: 'usable', minLsn };
  }

  stop(): void {
    this.#fetch.stop();
  }
}
