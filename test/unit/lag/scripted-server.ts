import type { Lsn } from '../../../src/lag/lsn.ts';
import type {
  NodeFacts,
  NodeProbe,
  NodeSample,
  ProbeSession,
  ReplayWaitOutcome,
  ReplayWaitSession,
} from '../../../src/lag/node-probe.ts';

/** How long an answer takes, in ms of the test's clock. */
export const LATENCY_MS = 2;

/** A server as a probe sees it, with everything in the test's hand. */
export class ScriptedServer implements NodeProbe {
  inRecovery: boolean;
  position: number;
  /** How much of the log is not on disk yet. */
  unflushedBytes = 0;
  timeline: number | null = 1;
  systemId = 'system-1';
  startTime = 'first';
  /** Where its recovery ended, once it is out of it; null after a clean start. */
  recoveryEnd: number | null = null;
  /** History files by timeline; null: the role may not read them. */
  histories: ReadonlyMap<number, string> | null = new Map();
  historiesRead = 0;
  /** silent: takes connections and queries, and says nothing. refusing: nobody listens. */
  manners: 'answering' | 'silent' | 'refusing' = 'answering';
  versionNum = 180004;
  /** Waits for replay that were sent to it, in order; each is answered by the test. */
  readonly replayWaits: {
    readonly lsn: Lsn;
    readonly answer: (outcome: ReplayWaitOutcome) => void;
    readonly fail: (error: Error) => void;
  }[] = [];
  /** Connections for such waits that are open. */
  openReplayWaits = 0;
  /** The position is NULL. */
  isMute = false;
  samplesSent = 0;
  sessionsOpened = 0;
  readonly #open = new Set<ScriptedSession>();

  constructor(role: 'primary' | 'replica', position: number) {
    this.inRecovery = role === 'replica';
    this.position = position;
  }

  get openSessions(): number {
    return this.#open.size;
  }

  open(onLost: (error: Error) => void): ProbeSession {
    this.sessionsOpened++;
    const session = new ScriptedSession(this, onLost, () => this.#open.delete(session));
    this.#open.add(session);
    return session;
  }

  openReplayWait(): ReplayWaitSession {
    this.openReplayWaits++;
    let isOpen = true;
    return {
      wait: (lsn) =>
        new Promise((answer, fail) => {
          this.replayWaits.push({ lsn, answer, fail });
        }),
      destroy: () => {
        if (isOpen) this.openReplayWaits--;
        isOpen = false;
      },
    };
  }

  readTimelineHistory(timeline: number, signal: AbortSignal): Promise<string | null> {
    this.historiesRead++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        if (this.manners === 'answering') resolve(this.histories?.get(timeline) ?? null);
        else reject(new Error('connection refused'));
      }, 2 * LATENCY_MS);
      signal.addEventListener('abort', () => {
        clearTimeout(timer);
        reject(new Error('aborted'));
      });
    });
  }

  /** The server ends: all its connections break. */
  breakConnections(): void {
    for (const session of [...this.#open]) session.lose();
  }

  /** Answers what it left unanswered while it was silent, with what is so now. */
  answerLate(): void {
    for (const answer of this.late.splice(0)) answer();
  }

  readonly late: (() => void)[] = [];

  facts(): NodeFacts {
    return {
      systemId: this.systemId,
      versionNum: this.versionNum,
      walBlockBytes: 8192,
      walSegmentBytes: 16 * 1024 * 1024,
    };
  }

  sample(): NodeSample {
    const position = this.isMute ? null : (BigInt(this.position) as Lsn);
    const flushed = this.isMute ? null : (BigInt(this.position - this.unflushedBytes) as Lsn);
    return {
      inRecovery: this.inRecovery,
      insertLsn: this.inRecovery ? null : position,
      flushLsn: this.inRecovery ? null : flushed,
      replayLsn: this.inRecovery ? position : null,
      recoveryEndLsn:
        this.inRecovery || this.recoveryEnd === null ? null : (BigInt(this.recoveryEnd) as Lsn),
      postmasterStartTime: this.startTime,
      timeline: this.timeline,
    };
  }
}

class ScriptedSession implements ProbeSession {
  readonly facts: Promise<NodeFacts>;
  readonly #server: ScriptedServer;
  readonly #onLost: (error: Error) => void;
  readonly #forget: () => void;

  constructor(server: ScriptedServer, onLost: (error: Error) => void, forget: () => void) {
    this.#server = server;
    this.#onLost = onLost;
    this.#forget = forget;
    this.facts = this.#answer(() => server.facts());
  }

  sample(): Promise<NodeSample> {
    this.#server.samplesSent++;
    return this.#answer(() => this.#server.sample());
  }

  destroy(): void {
    this.#forget();
  }

  lose(): void {
    this.#forget();
    this.#onLost(new Error('connection reset'));
  }

  /** The server works half of the time: what it says was so between sending and receiving. */
  #answer<T>(work: () => T): Promise<T> {
    const server = this.#server;
    return new Promise((resolve, reject) => {
      if (server.manners === 'refusing') {
        setTimeout(() => reject(new Error('connection refused')), LATENCY_MS / 2);
      } else if (server.manners === 'silent') {
        server.late.push(() => resolve(work()));
      } else {
        setTimeout(() => {
          const result = work();
          setTimeout(() => resolve(result), LATENCY_MS / 2);
        }, LATENCY_MS / 2);
      }
    });
  }
}
