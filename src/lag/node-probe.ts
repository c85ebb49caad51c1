import type { Lsn } from './lsn.ts';

/** How to reach one server; src/pool/node-probe.ts has the one that speaks to PostgreSQL. */
export interface NodeProbe {
  /**
   * Begins to connect and returns at once. `onLost` is called at most once, when the connection is
   * found broken; never before this returns, never after destroy().
   */
  open(onLost: (error: Error) => void): ProbeSession;
  /**
   * The text of a timeline's history file, over a connection of its own; null where this role may
   * not have it. Rejects when the server cannot be asked, and when `signal` is aborted.
   */
  readTimelineHistory(timeline: number, signal: AbortSignal): Promise<string | null>;
  /** Connects with the first wait. Only for servers that have WAIT FOR LSN. */
  openReplayWait(): ReplayWaitSession;
}

/** What a replica says that was asked to tell when it has replayed a position. */
export type ReplayWaitOutcome = 'reached' | 'timed-out' | 'not-in-recovery' | 'unclear';

export interface ReplayWaitSession {
  /** One at a time. Rejects when the server refuses, or the connection is lost. */
  wait(lsn: Lsn, timeoutMs: number): Promise<ReplayWaitOutcome>;
  /** Cuts the connection at once. May be called again. */
  destroy(): void;
}

/** One connection to one server. After any failure it is destroyed, never used again. */
export interface ProbeSession {
  /** Settles when the connection is ready, or cannot be made. */
  readonly facts: Promise<NodeFacts>;
  /** One round trip, sent before this returns. Not called while one is under way. */
  sample(): Promise<NodeSample>;
  /** Cuts the connection at once, without waiting for the server. May be called again. */
  destroy(): void;
}

/** What cannot change while a server runs. */
export interface NodeFacts {
  readonly systemId: string;
  /** `server_version_num`, for example 180004. */
  readonly versionNum: number;
  readonly walBlockBytes: number;
  readonly walSegmentBytes: number;
}

export interface NodeSample {
  readonly inRecovery: boolean;
  /** Primary only, as the server said it. */
  readonly insertLsn: Lsn | null;
  /** Primary only. */
  readonly flushLsn: Lsn | null;
  /** Replica only; null before the first record is replayed. */
  readonly replayLsn: Lsn | null;
  /**
   * Out of recovery only: where the recovery ended that this server was started with. After a
   * promotion that is the switch point, after a crash the end of the log that survived; null after
   * a clean start.
   */
  readonly recoveryEndLsn: Lsn | null;
  /** Differs after every start of the server; compared only for equality. */
  readonly postmasterStartTime: string;
  /** Null if this role may not see it. */
  readonly timeline: number | null;
}
