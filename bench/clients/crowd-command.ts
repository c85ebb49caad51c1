import type { RawTarget } from '../../test/support/raw-client.ts';
import type { LatencySummary } from '../support/latencies.ts';

/** What the process that plays the clients is told to do, one thing at a time. */
export type CrowdCommand =
  /** Clients log in, run one query, and stay. */
  | {
      readonly kind: 'join';
      readonly target: RawTarget;
      readonly count: number;
      /** So many logins are under way at any time. */
      readonly atOnce: number;
    }
  /** Others log in, run statements without a pause, and leave. */
  | {
      readonly kind: 'work';
      readonly target: RawTarget;
      readonly clients: number;
      readonly seconds: number;
      readonly load: LoadName;
    }
  /** Those that have stayed leave. */
  | { readonly kind: 'leave' };

export type LoadName = 'reads' | 'writes';

export interface Joined {
  readonly seconds: number;
  /** Of a login, from the connection to the answer to the first query. */
  readonly logins: LatencySummary;
  /** What clients were told that did not get in, or where they stood when their connection ended. */
  readonly failures: readonly string[];
}

export interface Worked {
  readonly seconds: number;
  /** Of each client, in no order. */
  readonly statementsByClient: readonly number[];
  /** From sending a statement to its ReadyForQuery. */
  readonly waits: LatencySummary;
  readonly failures: readonly string[];
}

export interface CrowdAnswers {
  join: Joined;
  work: Worked;
  leave: null;
}
