import type pg from 'pg';
import type { InstalledProgram } from '../support/find-program.ts';
import { cpuOfTree, memoryOfTree } from '../support/process-usage.ts';
import { readOwnWrites, resetSessions } from './bench-tables.ts';
import { runPgbench } from './pgbench.ts';
import {
  type Latencies,
  type Progress,
  type RunSummary,
  summariseLatencies,
  transactionsBetween,
} from './pgbench-output.ts';
import { startSlowNeighbour } from './slow-neighbour.ts';
import type { ReadCounts, Target } from './target.ts';
import type { Protocol, Workload } from './workloads.ts';

/** What the targets are compared at. */
export interface Point {
  readonly workload: Workload;
  readonly protocol: Protocol;
  readonly clients: number;
}

/** One run of pgbench. Null: nothing tells. */
export interface Measurement extends Latencies {
  readonly transactionsPerSecond: number;
  /** Of the target's processes. */
  readonly cpuMicrosPerTransaction: number | null;
  readonly memoryMib: number | null;
  /** Of its reads, from 0 to 1. */
  readonly shareOnReplicas: number | null;
  readonly ownReads: number | null;
  /** Of ownReads, those that missed the session's own write. */
  readonly staleReads: number | null;
  readonly failedTransactions: number;
  readonly error: string | null;
}

export interface TurnOptions {
  readonly pgbench: InstalledProgram;
  readonly target: Target;
  readonly point: Point;
  readonly seconds: number;
  readonly scale: number;
  /** Connected to the primary, past all targets. */
  readonly control: pg.Client;
}

/** @throws Error when pgbench did not come to an end at all */
export async function playTurn(options: TurnOptions): Promise<Measurement> {
  const { target, point, pgbench, seconds, scale, control } = options;
  const { workload, protocol, clients } = point;
  if (workload.watchesOwnWrites) await resetSessions(control);
  const readsBefore = workload.countsReads ? await target.readCounts?.() : undefined;
  const samples = new Samples(target.pid);
  const destination = target.destinationFor(protocol);
  const neighbour = workload.hasSlowNeighbour ? await startSlowNeighbour(destination.login) : null;
  const run = await runPgbench({
    ...{ program: pgbench, destination, workload, protocol, clients, seconds, scale },
    onProgress: (line) => samples.add(line),
  });
  const neighbourError = (await neighbour?.stop()) ?? null;
  const readsAfter = workload.countsReads ? await target.readCounts?.() : undefined;
  const own = workload.watchesOwnWrites ? await readOwnWrites(control) : null;
  return {
    ...summariseLatencies(run.latenciesMicros),
    ...(await samples.result(run.summary)),
    shareOnReplicas: shareOnReplicas(readsBefore, readsAfter),
    ownReads: own?.ownReads ?? null,
    staleReads: own?.staleReads ?? null,
    failedTransactions: run.summary?.failed ?? 0,
    error: run.error ?? neighbourError,
  };
}

/** From the first to the last line of progress: without the logins. */
class Samples {
  readonly #pid: number | null;
  readonly #samples: { readonly line: Progress; readonly cpuMs: Promise<number | null> }[] = [];
  #memoryMib: Promise<number | null> = Promise.resolve(null);

  constructor(pid: number | null) {
    this.#pid = pid;
  }

  add(line: Progress): void {
    const pid = this.#pid;
    if (this.#samples.length === 0 && pid !== null) this.#memoryMib = memoryOfTree(pid);
    this.#samples.push({ line, cpuMs: pid === null ? Promise.resolve(null) : cpuOfTree(pid) });
  }

  async result(
    summary: RunSummary | null,
  ): Promise<Pick<Measurement, 'transactionsPerSecond' | 'cpuMicrosPerTransaction' | 'memoryMib'>> {
    const lines = this.#samples.map(({ line }) => line);
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    const transactions = transactionsBetween(lines);
    const memoryMib = await this.#memoryMib;
    if (first === undefined || last === undefined || first === last) {
      const transactionsPerSecond = summary?.perSecond ?? 0;
      return { transactionsPerSecond, cpuMicrosPerTransaction: null, memoryMib };
    }
    const [before, after] = [await first.cpuMs, await last.cpuMs];
    const isKnown = before !== null && after !== null && transactions > 0;
    return {
      transactionsPerSecond: transactions / (last.line.atSeconds - first.line.atSeconds),
      cpuMicrosPerTransaction: isKnown ? ((after - before) * 1_000) / transactions : null,
      memoryMib,
    };
  }
}

function shareOnReplicas(
  before: ReadCounts | undefined,
  after: ReadCounts | undefined,
): number | null {
  if (before === undefined || after === undefined) return null;
  const onReplicas = after.onReplicas - before.onReplicas;
  const all = onReplicas + after.onPrimary - before.onPrimary;
  return all === 0 ? null : onReplicas / all;
}
