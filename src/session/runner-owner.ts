import type { LastWord } from '../pool/exchange.ts';
import type { RouteReason } from '../router/route.ts';
import type { Subscriber } from './notification-hub.ts';
import type { PlacementFailure } from './placement.ts';
import type { SessionState } from './session-state.ts';
import type { ClientStatements } from './statements.ts';
import type { ToldParameters } from './told-parameters.ts';

/** What the runner tells its session. */
export interface RunnerOwner {
  /** Bytes of a message that has begun to go to the server are still to come. */
  readonly isMidMessage: boolean;
  /** Bytes for the client; false: stop until `resumeServer`. */
  write(bytes: Buffer): boolean;
  /**
   * The request is on its way to a server, which takes what follows it (`sendMore`); `flows` false:
   * but not before `drained`.
   */
  sent(flows: boolean): void;
  /** Notifications that have come while the session was busy; null: none. */
  takeNotifications(): Buffer | null;
  /** Writes ReadyForQuery (idle), with what else is in `messages`. */
  ready(messages: Buffer): void;
  /** ReadyForQuery was written. */
  answered(): void;
  /** The server waits for CopyData. */
  copyIn(): void;
  /** The server refused something of an extended batch: it skips to Sync. */
  refused(): void;
  /**
   * The request failed here: the session words the end of it. Fatal: the session ends. `lacksSync`:
   * the request was part of a batch that the client has not ended.
   */
  failed(failure: PlacementFailure, lacksSync: boolean): void;
  /**
   * The request of a batch that is not ended is to run again: false if the client has begun the
   * next one. If true, nothing more is taken until `sent`.
   */
  takesBack(): boolean;
  /** A frame was cut in the middle: nothing more can be said to the client. */
  cut(): void;
  /** The server connection was lost between requests: with a transaction, or pinned objects. */
  gone(): void;
  /** The session has no more to go on with: it ends with what its server has said. */
  endedBy(word: LastWord): void;
  /** The server's socket takes bytes again. */
  drained(): void;
}

/** What a client has, and believes to have. */
export interface ClientKnowledge {
  readonly state: SessionState;
  readonly statements: ClientStatements;
  readonly told: ToldParameters;
  /** It is told its token with each commit. */
  readonly reportsLsn: boolean;
  readonly subscriber: Subscriber;
}

/** Where the previous request of a session went: SHOW tidemark.route. */
export interface LastRoute {
  readonly node: number;
  readonly reason: RouteReason;
  readonly waitedMs: number;
  /** Proven bound when it was sent; 0 on the primary. */
  readonly stalenessMs: number;
}
