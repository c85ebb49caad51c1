import type { Machine } from '../support/machine.ts';
import type { NodeMemory } from '../support/node-memory.ts';
import type { Joined, LoadName, Worked } from './crowd-command.ts';

/** Everything that a run has found, as it is kept in JSON. */
export interface ClientsResults {
  /** ISO 8601, when it ended. */
  readonly at: string;
  readonly command: string;
  readonly machine: Machine;
  readonly version: string;
  readonly postgres: Readonly<Record<string, string>>;
  readonly note: string | null;
  readonly clients: number;
  /** Those that log in at once. */
  readonly logins: number;
  readonly busy: number;
  /** Between `filled` and `settled`. */
  readonly settleSeconds: number;
  /** After the loads of the busy clients alone. */
  readonly base: NodeMemory;
  /** With the idle clients, when the last has come. */
  readonly filled: NodeMemory;
  /** With the idle clients, some time later. */
  readonly settled: NodeMemory;
  /** As many as log in at once. */
  readonly storm: Joined;
  /** The other idle clients. */
  readonly others: Joined;
  readonly loads: readonly LoadResults[];
}

export interface LoadResults {
  readonly load: LoadName;
  /** The busy clients alone. */
  readonly alone: Worked;
  /** The same with all the idle ones connected. */
  readonly among: Worked;
}
