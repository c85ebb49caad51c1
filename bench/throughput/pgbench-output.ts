/** What pgbench says of a run when it ends. */
export interface RunSummary {
  readonly transactions: number;
  readonly failed: number;
  /** Without the time for connecting. */
  readonly perSecond: number;
}

/** A line of its --progress, which it prints on standard error. */
export interface Progress {
  /** Seconds since the benchmark began. */
  readonly atSeconds: number;
  /** Since the line before. */
  readonly perSecond: number;
}

/** @returns null when the run did not come to its summary */
export function parseSummary(stdout: string): RunSummary | null {
  const transactions = /transactions actually processed: (\d+)/.exec(stdout)?.[1];
  const perSecond = /^tps = ([\d.]+) \(without initial connection/m.exec(stdout)?.[1];
  const failed = /number of failed transactions: (\d+)/.exec(stdout)?.[1] ?? '0';
  if (transactions === undefined || perSecond === undefined) return null;
  return {
    transactions: Number(transactions),
    failed: Number(failed),
    perSecond: Number(perSecond),
  };
}

export function parseProgress(line: string): Progress | null {
  const match = /^progress: ([\d.]+) s, ([\d.]+) tps/.exec(line);
  if (match === null) return null;
  return { atSeconds: Number(match[1]), perSecond: Number(match[2]) };
}

/** client_id transaction_no time script_no time_epoch time_us */
const logLine = /^\d+ \d+ (\d+) \d+ (\d+) (\d+)/gm;

/**
 * Latencies of the transactions in a log of --log, in microseconds; failed ones have none.
 *
 * @param sinceMs of Date.now(): those that ended before it are left out
 */
export function parseLogLatencies(log: string, sinceMs: number): number[] {
  const found: number[] = [];
  for (const [, latencyMicros, seconds, micros] of log.matchAll(logLine)) {
    const endedMs = Number(seconds) * 1_000 + Number(micros) / 1_000;
    if (endedMs >= sinceMs) found.push(Number(latencyMicros));
  }
  return found;
}

/**
 * The smallest value that at least that percentage of all are not above.
 *
 * @param sorted ascending
 * @returns null when there are none
 */
export function percentile(sorted: Float64Array, percent: number): number | null {
  if (sorted.length === 0) return null;
  const rank = Math.ceil((percent / 100) * sorted.length);
  return sorted[Math.max(rank, 1) - 1]!;
}

export interface Latencies {
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
}

export function summariseLatencies(latenciesMicros: readonly number[]): Latencies {
  const sorted = Float64Array.from(latenciesMicros).sort();
  const at = (percent: number) => {
    const micros = percentile(sorted, percent);
    return micros === null ? null : micros / 1_000;
  };
  return { p50Ms: at(50), p95Ms: at(95), p99Ms: at(99) };
}

/** How many transactions ended between the first and the last of the lines. */
export function transactionsBetween(lines: readonly Progress[]): number {
  let sum = 0;
  for (let index = 1; index < lines.length; index++) {
    const { atSeconds, perSecond } = lines[index]!;
    sum += perSecond * (atSeconds - lines[index - 1]!.atSeconds);
  }
  return sum;
}
