import type { Lsn } from './lsn.ts';
import { PrimarySamples } from './primary-samples.ts';
import { TimelineHistory } from './timeline-history.ts';

const NEVER = Number.NEGATIVE_INFINITY;
/** What was acknowledged before so many promotions and crashes counts as lost. */
const SPANS_MAX = 8;

/** One server as the primary, from one start or promotion on. */
export interface PrimaryRun {
  readonly node: number;
  readonly postmasterStartTime: string;
  readonly timeline: number | null;
  /** NodeSample.recoveryEndLsn. */
  readonly recoveryEndLsn: Lsn | null;
  /**
   * The highest timeline that it was seen on in recovery since that start, at least 1; null: it was
   * not seen in recovery.
   */
  readonly recoveredOnTimeline: number | null;
}

/** Samples of consecutive runs between which nothing was lost. */
interface Span {
  readonly timeline: number | null;
  /** From this moment on its primary was the known one. */
  readonly enteredMs: number;
  readonly samples: PrimarySamples;
  /** Positions that survived the crashes since; null: all. */
  boundLsn: Lsn | null;
  /** Moments up to this one are part of the present history. */
  survivedUntilMs: number;
}

/**
 * What of the past is part of the present primary's log. No I/O; all times are milliseconds of one
 * monotonic clock. docs/freshness.md has the reasons.
 *
 * The past is a list of spans, each from the moment at which a primary was found to the last sample
 * of it that has survived; the present one has no end. Whatever was acknowledged between two spans
 * may be lost.
 */
export class EpochHistory {
  #run: PrimaryRun | null = null;
  #timelines: TimelineHistory | null = null;
  #spans: Span[] = [];
  /** How far the present primary was last seen to have its log on disk: no crash takes that. */
  #flushLsn: Lsn | null = null;

  /** What is known of the present timeline's history; null without one. */
  get timelines(): TimelineHistory | null {
    return this.#timelines;
  }

  /** This run is the primary's, as of now. */
  enter(run: PrimaryRun, nowMs: number): void {
    const before = this.#run;
    this.#run = run;
    if (before === null) {
      this.#timelines = run.timeline === null ? null : new TimelineHistory(run.timeline, []);
      this.#begin(NEVER);
      return;
    }
    if (isSameRun(before, run) || isCleanRestart(before, run)) return;
    // Between the two there may have been runs that nobody saw, which crashed and wrote anew.
    lowerBound(this.#spans.at(-1), this.#flushLsn ?? (0n as Lsn));
    if (run.timeline !== before.timeline) {
      this.#timelines = this.#continueTimelines(run);
    } else if (run.node === before.node) {
      for (const span of this.#spans) lowerBound(span, run.recoveryEndLsn!);
    } else {
      // Somebody's copy: what it has of the other's log nobody knows.
      this.#spans = [];
    }
    this.#begin(nowMs);
    this.#judgeSpans();
  }

  /** The history of the present timeline has arrived; that of another one is ignored. */
  learn(timelines: TimelineHistory): void {
    if (timelines.timeline !== this.#run?.timeline) return;
    this.#timelines = timelines;
    this.#judgeSpans();
  }

  /** A sample of the present primary, normalised, sent at `sentAtMs` and come at `nowMs`. */
  add(sentAtMs: number, nowMs: number, insertLsn: Lsn, flushLsn: Lsn): void {
    const newest = this.#spans.at(-1)?.samples;
    if (newest === undefined || sentAtMs <= newest.newestSentAtMs) return;
    if (newest.newestLsn !== null && insertLsn < newest.newestLsn) {
      // Not a restart that PostgreSQL makes: another log was put in this one's place.
      this.#spans = [];
      this.#begin(nowMs);
    }
    this.#spans.at(-1)!.samples.add(sentAtMs, insertLsn);
    this.#flushLsn = flushLsn;
  }

  /**
   * True if what the primary of that time acknowledged just before this moment is known to be part
   * of the present primary's log.
   */
  survived(momentMs: number): boolean {
    for (let i = this.#spans.length - 1; i >= 0; i--) {
      const span = this.#spans[i]!;
      if (momentMs > span.enteredMs) return momentMs <= span.survivedUntilMs;
    }
    return momentMs === NEVER;
  }

  #begin(enteredMs: number): void {
    this.#flushLsn = null;
    this.#spans.push({
      timeline: this.#run!.timeline,
      enteredMs,
      samples: new PrimarySamples(),
      boundLsn: null,
      survivedUntilMs: Number.POSITIVE_INFINITY,
    });
    if (this.#spans.length > SPANS_MAX) this.#spans.shift();
  }

  /**
   * What the proxy itself saw of a promotion. The timeline that was left is certain only if no other
   * lies between it and the new one, and the switch point only if this very run was promoted.
   */
  #continueTimelines(run: PrimaryRun): TimelineHistory | null {
    const { timeline, recoveredOnTimeline, recoveryEndLsn } = run;
    if (timeline === null) return null;
    if (recoveredOnTimeline === null || recoveryEndLsn === null) {
      return new TimelineHistory(timeline, []);
    }
    if (recoveredOnTimeline !== timeline - 1) return new TimelineHistory(timeline, []);
    const known = this.#timelines?.timeline === recoveredOnTimeline ? this.#timelines : null;
    const parent = known ?? new TimelineHistory(recoveredOnTimeline, []);
    return parent.continuedBy(timeline, recoveryEndLsn);
  }

  #judgeSpans(): void {
    this.#spans.slice(0, -1).forEach((span) => {
      const last = this.#lastLsnOf(span.timeline);
      const { samples, boundLsn } = span;
      if (last === 'none') span.survivedUntilMs = NEVER;
      else if (last === 'all') span.survivedUntilMs = freshAsOf(samples, boundLsn);
      else {
        const lowest = boundLsn === null || last < boundLsn ? last : boundLsn;
        span.survivedUntilMs = freshAsOf(samples, lowest);
      }
    });
  }

  #lastLsnOf(timeline: number | null): Lsn | 'all' | 'none' {
    const present = this.#timelines;
    if (timeline === null || present === null) return 'none';
    if (timeline === present.timeline) return 'all';
    return present.lastLsnOf(timeline) ?? 'none';
  }
}

function freshAsOf(samples: PrimarySamples, lsn: Lsn | null): number {
  return lsn === null ? samples.newestSentAtMs : samples.freshAsOfMs(lsn);
}

function lowerBound(span: Span | undefined, lsn: Lsn): void {
  if (span === undefined) return;
  if (span.boundLsn === null || lsn < span.boundLsn) span.boundLsn = lsn;
}

/**
 * The monitor only connected anew. The start time alone does not tell: the postmaster survives the
 * crash of a backend and goes through recovery, which ends higher each time.
 */
function isSameRun(before: PrimaryRun, after: PrimaryRun): boolean {
  return (
    before.node === after.node &&
    before.timeline === after.timeline &&
    before.postmasterStartTime === after.postmasterStartTime &&
    before.recoveryEndLsn === after.recoveryEndLsn
  );
}

/** It was shut down with all its log on disk, and needed no recovery. */
function isCleanRestart(before: PrimaryRun, after: PrimaryRun): boolean {
  return (
    before.node === after.node &&
    before.timeline === after.timeline &&
    after.recoveryEndLsn === null
  );
}
