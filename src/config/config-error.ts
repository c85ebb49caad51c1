export interface ConfigProblem {
  /** From 1. */
  readonly line: number;
  /** From 1; missing where the problem is the whole file. */
  readonly column?: number;
  /** What is wrong and what to write instead. Never contains a secret. */
  readonly message: string;
}

/** Everything that is wrong with a configuration file, in the order of its lines. */
export class ConfigError extends Error {
  readonly fileName: string;
  readonly problems: readonly ConfigProblem[];

  constructor(fileName: string, problems: readonly ConfigProblem[]) {
    const sorted = [...problems].sort(
      (a, b) => a.line - b.line || (a.column ?? 0) - (b.column ?? 0),
    );
    super(sorted.map((problem) => `${fileName}:${problem.line}: ${problem.message}`).join('\n'));
    this.name = 'ConfigError';
    this.fileName = fileName;
    this.problems = sorted;
  }
}
