import { changed, initialOf, type PolicyChange, type ReadPolicy } from './read-policy.ts';

/** What ROLLBACK TO goes back to. */
export interface ReadSettingsMark {
  readonly current: ReadPolicy;
  readonly afterCommit: ReadPolicy;
}

/**
 * A session's `tidemark.` settings, with the transactions of PostgreSQL's own (AtEOXact_GUC in
 * guc.c): a rolled-back SET is undone, SET LOCAL ends with its transaction.
 */
export class ReadSettings {
  /** What RESET goes back to: the configuration, and over it the startup packet. */
  readonly base: ReadPolicy;
  /** What is in force. */
  current: ReadPolicy;
  #afterCommit: ReadPolicy;
  #committed: ReadPolicy;

  constructor(base: ReadPolicy) {
    this.base = base;
    this.current = base;
    this.#afterCommit = base;
    this.#committed = base;
  }

  set(change: PolicyChange, local: boolean): void {
    this.current = changed(this.current, change);
    if (!local) this.#afterCommit = changed(this.#afterCommit, change);
  }

  /** `name` is in lower case, with its prefix. */
  reset(name: string, local: boolean): void {
    const change = initialOf(name, this.base);
    if (change !== null) this.set(change, local);
  }

  resetAll(): void {
    this.current = this.base;
    this.#afterCommit = this.base;
  }

  mark(): ReadSettingsMark {
    return { current: this.current, afterCommit: this.#afterCommit };
  }

  goBackTo({ current, afterCommit }: ReadSettingsMark): void {
    this.current = current;
    this.#afterCommit = afterCommit;
  }

  committed(): void {
    this.current = this.#afterCommit;
    this.#committed = this.#afterCommit;
  }

  rolledBack(): void {
    this.current = this.#committed;
    this.#afterCommit = this.#committed;
  }
}
