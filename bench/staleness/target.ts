import type { Link } from './links.ts';

/** What a target vows, and what the bench therefore holds it to. */
export interface Vows {
  /** Sessions read their own writes and never go back. */
  readonly session: boolean;
  /** No read misses a write that was acknowledged to anybody, through this target, before it was sent. */
  readonly current: boolean;
  /** No read is older than this, in milliseconds; null: it may be of any age. */
  readonly maxAgeMs: number | null;
}

/** One way for an application to reach the cluster. */
export interface Target {
  /** For the command line and the results. */
  readonly key: string;
  readonly name: string;
  /** What its reads are entitled to, in words. */
  readonly promise: string;
  readonly vows: Vows;
  /** Versions and settings that are not its defaults. */
  readonly settings: Readonly<Record<string, string>>;
  /** @param session 0 or more */
  connect(session: number): Promise<Link>;
  /** Its own count of requests since its start, by `role reason`, where it has one. */
  readonly requestsByReason?: () => Promise<Map<string, number>>;
}
