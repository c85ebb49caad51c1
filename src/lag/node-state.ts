import type { Lsn } from './lsn.ts';

/** fenced: it answers, but sending it anything could read or write another history. */
export type NodeRole = 'primary' | 'replica' | 'down' | 'fenced';

/** What is known of one server. The monitor changes it in place; others only read. */
export interface NodeState {
  readonly node: number;
  readonly role: NodeRole;
  /** Counts connections of the monitor and restarts of the server; 0 before the first. */
  readonly generation: number;
  /** Null while unknown. */
  readonly timeline: number | null;
  readonly systemId: string | null;
  /** As `server_version_num`, for example 180004; 0 while unknown. */
  readonly versionNum: number;
  /** Replica: how far it has replayed. */
  readonly replayLsn: Lsn | null;
  /** Primary: insert position, normalised. */
  readonly insertLsn: Lsn | null;
  /** Primary: how far the log is on disk; replicas cannot have more. */
  readonly flushLsn: Lsn | null;
  readonly lastError: string | null;
  /** When it went down; null while it answers. */
  readonly downSinceMs: number | null;
  /** Why it is fenced; null while it is not. */
  readonly fencedBecause: FenceReason | null;
}

export type FenceReason =
  | 'other-system-identifier'
  | 'older-timeline'
  | 'second-primary-on-same-timeline';
