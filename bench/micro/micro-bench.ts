/** One thing that is done over and over while queries pass. */
export interface MicroBench {
  readonly name: string;
  /** Does it `count` times; synchronous. */
  readonly run: () => void;
  readonly count: number;
  /** What one of them may cost in the median, in ns; null: no aim. */
  readonly aimNs: number | null;
}

export interface MicroGroup {
  readonly title: string;
  readonly benches: readonly MicroBench[];
  /** Ends what it has started. */
  readonly end?: () => Promise<void>;
}
