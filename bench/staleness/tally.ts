import { Latencies } from '../support/latencies.ts';

/** One read, as its session saw it. */
export interface ReadSeen {
  readonly onReplica: boolean;
  /** The session's own row. */
  readonly own: boolean;
  /** Older than what this session had written to the row. */
  readonly behindOwnWrite: boolean;
  /** Older than what this session had read of the row before. */
  readonly wentBack: boolean;
  /** For how long what it returned had been out of date when it was sent; null: it was current. */
  readonly ageMs: number | null;
  readonly latencyMs: number;
}

/** What the sessions of one target saw with one delay; the sum over all its turns. */
export class Tally {
  readonly reads = new Latencies();
  readonly writes = new Latencies();
  ownReads = 0;
  onReplicas = 0;
  staleReads = 0;
  wentBack = 0;
  /** Reads of any row that missed a write that was acknowledged to somebody before they were sent. */
  outdated = 0;
  oldestMs = 0;
  measuredMs = 0;
  readonly errors = new Map<string, number>();
  /** Tidemark's own account of its requests, by `role reason`. */
  readonly reasons = new Map<string, number>();

  sawRead(read: ReadSeen): void {
    this.reads.record(read.latencyMs);
    if (read.own) this.ownReads += 1;
    if (read.onReplica) this.onReplicas += 1;
    if (read.behindOwnWrite) this.staleReads += 1;
    if (read.wentBack) this.wentBack += 1;
    if (read.ageMs === null) return;
    this.outdated += 1;
    this.oldestMs = Math.max(this.oldestMs, read.ageMs);
  }

  sawWrite(latencyMs: number): void {
    this.writes.record(latencyMs);
  }

  sawError(error: unknown): void {
    const { code, message } = error as { code?: string; message?: string };
    const name = code ?? message ?? 'unknown';
    this.errors.set(name, (this.errors.get(name) ?? 0) + 1);
  }

  sawRequests(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): void {
    for (const [reason, count] of after) {
      const more = count - (before.get(reason) ?? 0);
      if (more > 0) this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + more);
    }
  }
}
