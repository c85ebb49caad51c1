import type { Login } from '../support/login.ts';
import type { Protocol } from './workloads.ts';

/** Where pgbench connects. */
export interface Destination {
  /** A connection string without a password. */
  readonly connection: string;
  readonly login: Login;
}

/** Counters of a proxy that only grow. */
export interface ReadCounts {
  readonly onReplicas: number;
  readonly onPrimary: number;
}

export interface Target {
  readonly key: string;
  readonly name: string;
  /** What it was run with, for the results. */
  readonly settings: Readonly<Record<string, string>>;
  readonly destinationFor: (protocol: Protocol) => Destination;
  /** The process whose CPU time and memory, with its descendants', are the target's. */
  readonly pid: number | null;
  /** Null where nothing tells. */
  readonly readCounts: (() => Promise<ReadCounts>) | null;
}

export function destinationOf(login: Login): Destination {
  const { host, port, user, database } = login;
  const at = `${host}:${port}/${encodeURIComponent(database)}`;
  return { connection: `postgres://${encodeURIComponent(user)}@${at}`, login };
}
