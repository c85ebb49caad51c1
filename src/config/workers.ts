import { availableParallelism } from 'node:os';
import type { ClientsConfig, FreshnessConfig, PoolConfig } from '../config.ts';
import { workersField } from './fields.ts';
import type { Entry, Source } from './source.ts';
import { quoted, readField } from './values.ts';

/** What is divided among the workers. */
export interface DividedLimits {
  readonly clients: Pick<ClientsConfig, 'max'>;
  readonly pool: Pick<PoolConfig, 'size'>;
  readonly freshness: Pick<FreshnessConfig, 'fallbackReadsMax'>;
}

/** With their keys in the file, as far as there are such limits. */
function entriesOf({ clients, pool, freshness }: DividedLimits): [string, number][] {
  const all: [string, number][] = [
    ['clients.max', clients.max],
    ['pool.size', pool.size],
    ['freshness.fallback_reads_max', freshness.fallbackReadsMax],
  ];
  return all.filter(([, limit]) => limit > 0);
}

/** As many as there are cores, in the file and on the command line. */
const automatic = 'auto';

function automaticWorkers(limits: DividedLimits): number {
  const all = entriesOf(limits).map(([, limit]) => limit);
  return Math.min(availableParallelism(), workersField.max, ...all);
}

/** Each worker needs something of each limit. */
function limitProblem(workers: number, limits: DividedLimits): string | null {
  const small = entriesOf(limits).find(([, limit]) => limit < workers);
  if (small === undefined) return null;
  const [key, limit] = small;
  return `${workers} workers cannot share ${key}: ${limit}: write ${limit} or less, or raise ${key}`;
}

/** Reads `workers:` of a file. */
export function readWorkers(
  source: Source,
  entry: Entry | undefined,
  limits: DividedLimits,
): number {
  if (entry === undefined) return workersField.default;
  if (source.scalar(entry.value) === automatic) return automaticWorkers(limits);
  const workers = readField(source, entry, 'workers', workersField) as number;
  const problem = limitProblem(workers, limits);
  if (problem !== null) source.report(entry.value ?? entry.key, `workers: ${problem}`);
  return workers;
}

/** Reads what --workers says; what is wrong is added to `problems`. */
export function parseWorkers(
  text: string | undefined,
  limits: DividedLimits,
  problems: string[],
): number {
  if (text === undefined) return workersField.default;
  if (text === automatic) return automaticWorkers(limits);
  const { min, max } = workersField;
  const workers = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(workers >= min && workers <= max)) {
    problems.push(`--workers: ${quoted(text)}: write ${min} to ${max}, or ${automatic}`);
    return workersField.default;
  }
  const problem = limitProblem(workers, limits);
  if (problem !== null) problems.push(`--workers: ${problem}`);
  return workers;
}
