import type { NodeProbe } from './node-probe.ts';
import { TimelineHistory, TimelineHistorySyntaxError } from './timeline-history.ts';

/** Pause before a server that could not be asked is asked again. Doubles each time. */
const RETRY_FIRST_MS = 1000;
const RETRY_MAX_MS = 60_000;
/** After so many failures nobody is made to wait for the answer any more. */
const FAILURES_PENDING = 3;
/** The first timeline has no ancestors, and no history file. */
const FIRST_TIMELINE = 1;

/** Gets the history of the primary's timeline: once per timeline, again if the server failed. */
export class HistoryFetch {
  readonly #probes: readonly NodeProbe[];
  readonly #onHistory: (history: TimelineHistory) => void;
  #abort: AbortController | null = null;
  #timeline = FIRST_TIMELINE;
  #state: 'settled' | 'running' | 'failed' = 'settled';
  #failures = 0;
  #retryAtMs = Number.POSITIVE_INFINITY;

  constructor(probes: readonly NodeProbe[], onHistory: (history: TimelineHistory) => void) {
    this.#probes = probes;
    this.#onHistory = onHistory;
  }

  /** True while an answer may soon come. */
  isPending(timeline: number): boolean {
    const isMissing = timeline === this.#timeline && this.#state !== 'settled';
    return isMissing && this.#failures < FAILURES_PENDING;
  }

  /** This node is the primary, on this timeline. Called with every sample of it. */
  want(node: number, timeline: number, nowMs: number): void {
    if (timeline !== this.#timeline) {
      this.stop();
      this.#timeline = timeline;
      this.#failures = 0;
      this.#start(node, nowMs);
    } else if (this.#state === 'failed' && nowMs >= this.#retryAtMs) {
      this.#start(node, nowMs);
    }
  }

  stop(): void {
    this.#abort?.abort();
    this.#abort = null;
    this.#state = 'settled';
  }

  #start(node: number, nowMs: number): void {
    const timeline = this.#timeline;
    if (timeline === FIRST_TIMELINE) {
      this.#onHistory(new TimelineHistory(FIRST_TIMELINE, []));
      return;
    }
    const abort = new AbortController();
    this.#abort = abort;
    this.#state = 'running';
    this.#probes[node]!.readTimelineHistory(timeline, abort.signal).then(
      (text) => {
        if (abort === this.#abort) this.#take(text);
      },
      () => {
        if (abort !== this.#abort) return;
        this.#state = 'failed';
        this.#retryAtMs = nowMs + Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** this.#failures);
        this.#failures++;
      },
    );
  }

  #take(text: string | null): void {
    this.#abort = null;
    this.#state = 'settled';
    const history = text === null ? null : parseOrNull(this.#timeline, text);
    if (history !== null) this.#onHistory(history);
  }
}

/** What is no history is as good as none. */
function parseOrNull(timeline: number, text: string): TimelineHistory | null {
  try {
    return TimelineHistory.parse(timeline, text);
  } catch (error) {
    if (error instanceof TimelineHistorySyntaxError) return null;
    throw error;
  }
}
