import type { Machine } from '../support/machine.ts';
import type { Sample } from './sample.ts';

/** Everything that a run has found, as it is kept in JSON. */
export interface SoakResults {
  /** ISO 8601, when it ended. */
  readonly at: string;
  readonly command: string;
  readonly machine: Machine;
  readonly version: string;
  readonly postgres: Readonly<Record<string, string>>;
  readonly note: string | null;
  readonly minutes: number;
  readonly players: number;
  /** Before the first client. */
  readonly before: Sample;
  /** When the last client is gone. */
  readonly after: Sample;
  readonly samples: readonly Sample[];
  /** Server connections that the pools may keep. */
  readonly connectionsMax: number;
  readonly connects: number;
  readonly acts: Readonly<Record<string, number>>;
  /** What went otherwise than it was meant to. */
  readonly surprises: Readonly<Record<string, number>>;
  /** Errors in Tidemark's log. */
  readonly logged: readonly string[];
  /** Why the soak was not passed. Empty: it was. */
  readonly problems: readonly string[];
}
