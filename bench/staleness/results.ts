import type { Machine } from '../support/machine.ts';
import type { StalenessOptions } from './options.ts';
import type { Outcome } from './summary.ts';
import type { Target } from './target.ts';

/** Everything that a run has found, as it is kept in JSON. */
export interface StalenessResults {
  /** ISO 8601, when it ended. */
  readonly at: string;
  readonly machine: Machine;
  readonly options: Omit<StalenessOptions, 'output'>;
  readonly postgres: Readonly<Record<string, string>>;
  /** What was not compared, and why. */
  readonly leftOut: readonly string[];
  readonly targets: readonly Pick<Target, 'key' | 'name' | 'promise' | 'settings'>[];
  readonly delays: readonly {
    readonly delayMs: number;
    /** How late each replica was seen to show a commit before the turns. */
    readonly measuredMs: readonly number[];
    readonly outcomes: readonly Outcome[];
  }[];
}
