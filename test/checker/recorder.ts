import type { Consistency } from '../../src/config.ts';
import type { Operation, Read, Write } from './history.ts';

export interface LevelCounts {
  reads: number;
  onReplicas: number;
  /** Of the reads that were asked for their route. */
  asked: number;
  waited: number;
  withToken: number;
  /** The token came from a session on another proxy. */
  withForeignToken: number;
  readonly errors: Map<string, number>;
}

export const noCounts = (): LevelCounts => ({
  reads: 0,
  onReplicas: 0,
  asked: 0,
  waited: 0,
  withToken: 0,
  withForeignToken: 0,
  errors: new Map(),
});

/** What the sessions did, and how often. */
export class Recorder {
  readonly operations: Operation[] = [];
  readonly levels = new Map<Consistency, LevelCounts>();
  readonly writes = { acknowledged: 0, failed: 0, unknown: 0 };
  readonly writeErrors = new Map<string, number>();
  readonly otherErrors = new Map<string, number>();
  tokensTaken = 0;
  tokensGiven = 0;
  sessions = 0;
  #lastWriter = 0;

  nextWriter(): number {
    this.#lastWriter += 1;
    return this.#lastWriter;
  }

  level(level: Consistency): LevelCounts {
    const known = this.levels.get(level) ?? noCounts();
    this.levels.set(level, known);
    return known;
  }

  read(read: Read, hasForeignToken: boolean): void {
    this.operations.push(read);
    const counts = this.level(read.level);
    counts.reads += 1;
    if (!read.servedByPrimary) counts.onReplicas += 1;
    if (read.token !== null) counts.withToken += 1;
    if (hasForeignToken) counts.withForeignToken += 1;
  }

  write(write: Write): void {
    this.operations.push(write);
    this.writes[write.outcome] += 1;
  }
}

export function countError(errors: Map<string, number>, sqlstate: string): void {
  errors.set(sqlstate, (errors.get(sqlstate) ?? 0) + 1);
}
