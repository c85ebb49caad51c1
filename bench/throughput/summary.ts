import type { Measurement } from './turn.ts';

/** Over the repetitions. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

type Quantity =
  | 'transactionsPerSecond'
  | 'p50Ms'
  | 'p95Ms'
  | 'p99Ms'
  | 'cpuMicrosPerTransaction'
  | 'memoryMib'
  | 'shareOnReplicas';

/** One target at one point. Null: not measured in any repetition. */
export interface Outcome extends Readonly<Record<Quantity, Spread | null>> {
  readonly key: string;
  /** Throughput as a multiple of another target's, by its key: the median over the repetitions. */
  readonly throughputTo: Readonly<Record<string, number>>;
  readonly cpuTo: Readonly<Record<string, number>>;
  readonly p50To: Readonly<Record<string, number>>;
  readonly p99To: Readonly<Record<string, number>>;
  readonly ownReads: number | null;
  readonly staleReads: number | null;
  readonly failedTransactions: number;
  readonly errors: readonly string[];
}

export const isOurs = (key: string) => key.startsWith('tidemark');

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1
    ? sorted[Math.floor(middle)]!
    : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function spreadOf(values: readonly (number | null)[]): Spread | null {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return null;
  return { median: median(known), min: Math.min(...known), max: Math.max(...known) };
}

/**
 * @param measurements of each target at one point, in the order of the repetitions: those of the
 *   same repetition were made one after the other, so their ratio bears what else the machine did
 * @param baselines keys of the targets that others are held against
 */
export function summarise(
  measurements: ReadonlyMap<string, readonly Measurement[]>,
  baselines: readonly string[],
): Outcome[] {
  return [...measurements].map(([key, own]) => {
    const spread = (quantity: Quantity) => spreadOf(own.map((one) => one[quantity]));
    const ratios = (quantity: Quantity) => ratiosTo(measurements, baselines, key, quantity);
    return {
      key,
      transactionsPerSecond: spread('transactionsPerSecond'),
      p50Ms: spread('p50Ms'),
      p95Ms: spread('p95Ms'),
      p99Ms: spread('p99Ms'),
      cpuMicrosPerTransaction: spread('cpuMicrosPerTransaction'),
      memoryMib: spread('memoryMib'),
      shareOnReplicas: spread('shareOnReplicas'),
      throughputTo: ratios('transactionsPerSecond'),
      cpuTo: ratios('cpuMicrosPerTransaction'),
      p50To: ratios('p50Ms'),
      p99To: ratios('p99Ms'),
      ownReads: total(own.map(({ ownReads }) => ownReads)),
      staleReads: total(own.map(({ staleReads }) => staleReads)),
      failedTransactions: total(own.map((one) => one.failedTransactions)) ?? 0,
      errors: [...new Set(own.flatMap(({ error }) => (error === null ? [] : [error])))],
    };
  });
}

function ratiosTo(
  measurements: ReadonlyMap<string, readonly Measurement[]>,
  baselines: readonly string[],
  key: string,
  quantity: Quantity,
): Record<string, number> {
  const found: Record<string, number> = {};
  for (const baseline of baselines) {
    const others = measurements.get(baseline);
    if (others === undefined || baseline === key) continue;
    const ratios = measurements.get(key)!.flatMap((own, index) => {
      const value = own[quantity];
      const other = others[index]?.[quantity];
      return value === null || !other ? [] : [value / other];
    });
    if (ratios.length > 0) found[baseline] = median(ratios);
  }
  return found;
}

function total(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0);
}
