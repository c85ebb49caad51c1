import { loadavg } from 'node:os';
import type pg from 'pg';
import type { InstalledProgram } from '../support/find-program.ts';
import type { ThroughputOptions } from './options.ts';
import type { PointResults } from './results.ts';
import { summarise } from './summary.ts';
import type { Target } from './target.ts';
import { type Measurement, type Point, playTurn } from './turn.ts';
import { workloads } from './workloads.ts';

export interface PlayOptions {
  readonly options: ThroughputOptions;
  readonly pgbench: InstalledProgram;
  readonly targets: readonly Target[];
  /** Keys of the targets that others are held against. */
  readonly baselines: readonly string[];
  readonly scale: number;
  readonly control: pg.Client;
  readonly progress: (line: string) => void;
}

export interface Played {
  readonly points: readonly PointResults[];
  readonly loads: readonly number[];
}

/** Of a run of pgbench, beside what is measured. */
const overheadSeconds = 2;
const warmUpClientsMax = 8;
/**
 * A proxy of Node.js takes some 15,000 transactions like TPC-B's until its code is compiled: three times
 * as much CPU at first.
 */
const warmUpSecondsMax = 15;

/** At each point the targets take turns, in each repetition in another order. */
export async function playAll(play: PlayOptions): Promise<Played> {
  const { options, targets, progress } = play;
  const { repetitions, seconds } = options;
  const points = listPoints(options);
  const turns = points.length * repetitions * targets.length;
  const minutes = Math.ceil((turns * (seconds + overheadSeconds)) / 60);
  progress(`${turns} runs of pgbench, ${seconds} s each: about ${minutes} min`);
  await warmUp(play);
  const found = points.map((point) => ({
    point,
    measurements: new Map<string, Measurement[]>(targets.map(({ key }) => [key, []])),
  }));
  const loads: number[] = [];
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (const { point, measurements } of found) {
      for (const target of rotated(targets, repetition)) {
        const measurement = await playTurn({ ...play, target, point, seconds });
        measurements.get(target.key)!.push(measurement);
        progress(turnLine(repetition, point, target, measurement));
      }
    }
    loads.push(Math.round((loadavg()[0] ?? 0) * 100) / 100);
  }
  return {
    loads,
    points: found.map(({ point, measurements }) => ({
      workload: point.workload.key,
      protocol: point.protocol,
      clients: point.clients,
      outcomes: summarise(measurements, play.baselines),
      measurements: Object.fromEntries(measurements),
    })),
  };
}

function listPoints(options: ThroughputOptions): Point[] {
  return options.workloads.flatMap((workload) =>
    options.protocols.flatMap((protocol) =>
      options.clients.map((clients) => ({ workload: workloads[workload], protocol, clients })),
    ),
  );
}

/**
 * Connections are open, caches filled, and code is compiled, before anything counts. The many
 * logins of the most clients take long: they are made with one of the workloads.
 */
async function warmUp(play: PlayOptions): Promise<void> {
  const { options, targets, progress } = play;
  const clientsMax = Math.max(...options.clients);
  const [first, ...others] = options.workloads;
  const points = [
    ...listPoints({ ...options, workloads: [first!], clients: [clientsMax] }),
    ...listPoints({
      ...options,
      workloads: others,
      clients: [Math.min(clientsMax, warmUpClientsMax)],
    }),
  ];
  const seconds = Math.min(warmUpSecondsMax, 3 * options.seconds);
  for (const point of points) {
    progress(`warming up: ${point.workload.key}, ${point.protocol}`);
    for (const target of targets) await playTurn({ ...play, target, point, seconds });
  }
}

/** Nobody shall always come after the same one. */
function rotated<Item>(items: readonly Item[], by: number): Item[] {
  const from = by % items.length;
  return [...items.slice(from), ...items.slice(0, from)];
}

function turnLine(
  repetition: number,
  { workload, protocol, clients }: Point,
  target: Target,
  measurement: Measurement,
): string {
  const { transactionsPerSecond, p99Ms, cpuMicrosPerTransaction, error } = measurement;
  const parts = [
    `${repetition + 1}: ${workload.key}, ${protocol}, ${clients} clients: ${target.name}`,
    `${transactionsPerSecond.toFixed(0)} tps`,
    ...(p99Ms === null ? [] : [`p99 ${p99Ms.toFixed(2)} ms`]),
    ...(cpuMicrosPerTransaction === null ? [] : [`${cpuMicrosPerTransaction.toFixed(0)} us CPU`]),
    ...(error === null ? [] : [error]),
  ];
  return parts.join(', ');
}
