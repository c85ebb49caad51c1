import type { Lsn } from './lsn.ts';
import type { ReplayWaitOutcome, ReplayWaitSession } from './node-probe.ts';

/** WAIT FOR LSN came with PostgreSQL 19 (`server_version_num`). */
export const replayWaitVersionMin = 190000;
/** One wait lasts at most this long on the server: none is left behind for longer. */
const WAIT_MS = 1000;
/** The server may take this much longer to say so. */
const GRACE_MS = 2000;
/** After a failure positions are polled for, for this long. */
const RETRY_AFTER_MS = 30_000;
/** A connection that nobody has waited on for this long is closed. */
const IDLE_CLOSE_MS = 30_000;

export interface ReplayWaitOptions {
  readonly now: () => number;
  readonly open: () => ReplayWaitSession;
  /** The wait has ended, however: the node is worth a sample. */
  readonly ended: () => void;
}

/**
 * Lets one replica say when it has replayed a position that somebody waits for, instead of asking it
 * every millisecond. Only a wake-up call: what is proven is for the sample after it to show.
 */
export class ReplayWait {
  readonly #options: ReplayWaitOptions;
  #session: ReplayWaitSession | null = null;
  #waitingFor: Lsn | null = null;
  /** Numbers the waits, so that late answers are known as such. */
  #attempt = 0;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: ReplayWaitOptions) {
    this.#options = options;
  }

  /** True: `ended` is called when the replica is there, or soon after in vain. False: poll. */
  wants(lsn: Lsn): boolean {
    if (this.#waitingFor !== null) return this.#waitingFor <= lsn;
    if (this.#options.now() < this.#notBeforeMs) return false;
    this.#begin(lsn);
    return true;
  }

  /** Ends what is under way, without a call. */
  stop(): void {
    this.#attempt++;
    this.#waitingFor = null;
    this.#setTimer(null, 0);
    this.#session?.destroy();
    this.#session = null;
  }

  #begin(lsn: Lsn): void {
    const attempt = ++this.#attempt;
    this.#session ??= this.#options.open();
    this.#waitingFor = lsn;
    const end = (outcome: ReplayWaitOutcome) => {
      if (attempt === this.#attempt) this.#end(outcome);
    };
    this.#setTimer(() => end('unclear'), WAIT_MS + GRACE_MS);
    this.#session.wait(lsn, WAIT_MS).then(end, () => end('unclear'));
  }

  #end(outcome: ReplayWaitOutcome): void {
    if (outcome === 'reached' || outcome === 'timed-out') {
      this.#waitingFor = null;
      this.#setTimer(() => this.stop(), IDLE_CLOSE_MS);
    } else {
      this.stop();
      this.#notBeforeMs = this.#options.now() + RETRY_AFTER_MS;
    }
    this.#options.ended();
  }

  #setTimer(call: (() => void) | null, delayMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = call === null ? null : setTimeout(call, delayMs);
  }
}
