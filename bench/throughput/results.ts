import type { Machine } from '../support/machine.ts';
import type { Outcome } from './summary.ts';
import type { Measurement } from './turn.ts';
import type { Protocol, WorkloadKey } from './workloads.ts';

export interface PointResults {
  readonly workload: WorkloadKey;
  readonly protocol: Protocol;
  readonly clients: number;
  readonly outcomes: readonly Outcome[];
  /** By target, in the order of the repetitions. */
  readonly measurements: Readonly<Record<string, readonly Measurement[]>>;
}

/** Everything that a run has found, as it is kept in JSON. */
export interface ThroughputResults {
  /** ISO 8601, when it ended. */
  readonly at: string;
  /** What was typed, without passwords. */
  readonly command: string;
  readonly machine: Machine;
  /** Runnable processes in the mean of the last minute, at each repetition's end. */
  readonly loads: readonly number[];
  readonly settings: Readonly<Record<string, string | number>>;
  /** Of the servers; empty where they are the user's. */
  readonly postgres: Readonly<Record<string, string>>;
  readonly versions: Readonly<Record<string, string>>;
  readonly note: string | null;
  /** What was not compared, and why. */
  readonly leftOut: readonly string[];
  readonly targets: readonly {
    readonly key: string;
    readonly name: string;
    readonly settings: Readonly<Record<string, string>>;
  }[];
  /** Keys of the targets that others are held against. */
  readonly baselines: readonly string[];
  readonly points: readonly PointResults[];
}
