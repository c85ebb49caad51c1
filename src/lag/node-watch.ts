import assert from 'node:assert';
import type { NodeFacts, NodeProbe, NodeSample, ProbeSession } from './node-probe.ts';

/** Connecting takes several round trips and a fork of the server: it gets at least this long. */
const CONNECT_TIMEOUT_MIN_MS = 2000;
/** Wait before the second attempt to connect; the first one is made at once. Doubles each time. */
const RETRY_FIRST_MS = 50;
const RETRY_MAX_MS = 1000;
/** A connection that lasted this long clears the record of failures. */
const STABLE_MS = 1000;
/** So many samples follow each other at once for a waiting read; then there is a pause. */
const URGENT_WITHOUT_PAUSE = 3;
const URGENT_PAUSE_MS = 1;

export interface NodeWatchOptions {
  readonly node: number;
  readonly probe: NodeProbe;
  readonly now: () => number;
  readonly sampleIntervalMs: number;
  readonly probeTimeoutMs: number;
  readonly listener: NodeWatchListener;
}

export interface NodeWatchListener {
  connected(node: number, facts: NodeFacts): void;
  sampled(node: number, sentAtMs: number, receivedAtMs: number, sample: NodeSample): void;
  failed(node: number, error: Error): void;
  /** True while somebody waits for another sample of this node. */
  isUrgent(node: number): boolean;
  /** True if the node itself will say when a sample is worth taking: `wake` is called then. */
  saysWhen(node: number): boolean;
}

type Phase = 'stopped' | 'connecting' | 'idle' | 'pacing' | 'sampling' | 'retrying';

/**
 * Keeps one connection to one server and samples it: every interval, and in quick succession while
 * somebody waits. At most one query is under way. Whatever fails or takes too long costs the
 * connection; an answer that comes after that is never looked at.
 */
export class NodeWatch {
  readonly #options: NodeWatchOptions;
  #phase: Phase = 'stopped';
  #session: ProbeSession | null = null;
  /** Numbers what is under way, so that late answers are known as such. */
  #attempt = 0;
  #timer: NodeJS.Timeout | null = null;
  #immediate: NodeJS.Immediate | null = null;
  #failures = 0;
  #openedAtMs = Number.NEGATIVE_INFINITY;
  #urgentInARow = 0;
  #sampleAgain = false;

  constructor(options: NodeWatchOptions) {
    this.#options = options;
  }

  start(): void {
    assert(this.#phase === 'stopped');
    this.#open();
  }

  stop(): void {
    this.#disconnect();
    this.#phase = 'stopped';
  }

  /** Samples now if somebody waits and the next sample is not due soon anyway. */
  urge(): void {
    if (this.#phase === 'idle' && this.#options.listener.isUrgent(this.#options.node)) {
      this.#sample();
    }
  }

  /** What was waited for may have come: ends the pause between two samples. */
  wake(): void {
    if (this.#phase === 'pacing') this.#sample();
  }

  /** Something seems wrong with the node: samples it now, or connects now. */
  nudge(): void {
    if (this.#phase === 'idle' || this.#phase === 'pacing') {
      this.#sample();
    } else if (this.#phase === 'sampling') {
      this.#sampleAgain = true;
    } else if (this.#phase === 'retrying') {
      const sinceOpenedMs = this.#options.now() - this.#openedAtMs;
      if (sinceOpenedMs >= RETRY_FIRST_MS) this.#open();
    }
  }

  #open(): void {
    const { probe, now, probeTimeoutMs, listener, node } = this.#options;
    const attempt = this.#begin('connecting');
    this.#openedAtMs = now();
    const session = probe.open((error) => {
      if (session === this.#session) this.#fail(error);
    });
    this.#session = session;
    this.#expire(Math.max(CONNECT_TIMEOUT_MIN_MS, probeTimeoutMs), attempt, 'connecting');
    session.facts.then(
      (facts) => {
        if (attempt !== this.#attempt) return;
        listener.connected(node, facts);
        this.#sample();
      },
      (error) => {
        if (attempt === this.#attempt) this.#fail(error);
      },
    );
  }

  #sample(): void {
    const { now, probeTimeoutMs } = this.#options;
    const attempt = this.#begin('sampling');
    this.#sampleAgain = false;
    this.#expire(probeTimeoutMs, attempt, 'sampling');
    // Taken before the query is sent: a commit acknowledged after this is not vouched for.
    const sentAtMs = now();
    this.#session!.sample().then(
      (sample) => {
        if (attempt === this.#attempt) this.#answered(sentAtMs, sample);
      },
      (error) => {
        if (attempt === this.#attempt) this.#fail(error);
      },
    );
  }

  #answered(sentAtMs: number, sample: NodeSample): void {
    const { now, listener, node, sampleIntervalMs } = this.#options;
    const attempt = this.#begin('idle');
    const receivedAtMs = now();
    if (receivedAtMs - this.#openedAtMs >= STABLE_MS) this.#failures = 0;
    listener.sampled(node, sentAtMs, receivedAtMs, sample);
    // The listener may have stopped or nudged this watch.
    if (attempt !== this.#attempt) return;
    if (this.#sampleAgain) {
      this.#sample();
    } else if (listener.isUrgent(node)) {
      this.#pace();
    } else {
      this.#urgentInARow = 0;
      const dueInMs = Math.max(0, sampleIntervalMs - (now() - sentAtMs));
      this.#timer = setTimeout(() => this.#sample(), dueInMs);
    }
  }

  /** The pause lets what arrived meanwhile join the next sample, and bounds what waiting costs. */
  #pace(): void {
    this.#phase = 'pacing';
    this.#urgentInARow++;
    if (this.#urgentInARow <= URGENT_WITHOUT_PAUSE) {
      this.#immediate = setImmediate(() => this.#sample());
    } else {
      const { listener, node, sampleIntervalMs } = this.#options;
      const pauseMs = listener.saysWhen(node) ? sampleIntervalMs : URGENT_PAUSE_MS;
      this.#timer = setTimeout(() => this.#sample(), pauseMs);
    }
  }

  /** Gives up on what is under way, unless its answer is only waiting to be read. */
  #expire(timeoutMs: number, attempt: number, doing: string): void {
    this.#timer = setTimeout(() => {
      // Timers run before sockets are read: after a stall of this process the answer may be there.
      this.#immediate = setImmediate(() => {
        if (attempt === this.#attempt) {
          this.#fail(new Error(`no answer within ${timeoutMs} ms of ${doing}`));
        }
      });
    }, timeoutMs);
  }

  #fail(error: Error): void {
    const { listener, node } = this.#options;
    this.#disconnect();
    this.#begin('retrying');
    this.#failures++;
    const delayMs =
      this.#failures === 1 ? 0 : Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** (this.#failures - 2));
    this.#timer = setTimeout(() => this.#open(), delayMs);
    listener.failed(node, error);
  }

  #disconnect(): void {
    this.#begin('stopped');
    const session = this.#session;
    this.#session = null;
    session?.destroy();
  }

  /** Enters a phase: what was under way or planned before is void. */
  #begin(phase: Phase): number {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    this.#timer = null;
    this.#immediate = null;
    this.#phase = phase;
    return ++this.#attempt;
  }
}
