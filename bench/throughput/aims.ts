import type { ThroughputResults } from './results.ts';
import type { Outcome } from './summary.ts';
import type { WorkloadKey } from './workloads.ts';

type Measure = 'throughput' | 'CPU per transaction' | 'p50' | 'p99';

interface Aim {
  readonly workload: WorkloadKey;
  readonly clientsMin: number;
  readonly clientsMax: number;
  readonly measure: Measure;
  readonly against: 'direct' | 'pgbouncer' | 'pgpool' | 'tidemark-unshared';
  /** Throughput is to be at least, the others at most this multiple. */
  readonly factor: number;
}

const many = { clientsMin: 32, clientsMax: Number.POSITIVE_INFINITY };
const one = { clientsMin: 1, clientsMax: 1 };
const any = { clientsMin: 1, clientsMax: Number.POSITIVE_INFINITY };

/** What the default of Tidemark, with everything on, is held to. */
const aims: readonly Aim[] = [
  aim('select-only', many, 'throughput', 'pgbouncer', 1.2),
  aim('select-only', many, 'throughput', 'direct', 1),
  aim('select-only', many, 'CPU per transaction', 'pgbouncer', 1),
  aim('select-only', one, 'p50', 'pgbouncer', 1.3),
  aim('tpcb', any, 'throughput', 'pgbouncer', 0.95),
  aim('select-only', many, 'throughput', 'pgpool', 3),
  aim('slow-neighbour', any, 'p99', 'tidemark-unshared', 1.5),
];

function aim(
  workload: WorkloadKey,
  clients: Pick<Aim, 'clientsMin' | 'clientsMax'>,
  measure: Measure,
  against: Aim['against'],
  factor: number,
): Aim {
  return { workload, ...clients, measure, against, factor };
}

const ratioOf: Record<Measure, (outcome: Outcome, against: string) => number | undefined> = {
  throughput: ({ throughputTo }, against) => throughputTo[against],
  'CPU per transaction': ({ cpuTo }, against) => cpuTo[against],
  p50: ({ p50To }, against) => p50To[against],
  p99: ({ p99To }, against) => p99To[against],
};

const ourKey = 'tidemark';

/** One line for each aim that the run can tell about, with the worst point it was missed at. */
export function aimLines(results: ThroughputResults): string[] {
  return aims.flatMap((one) => {
    const found = results.points.flatMap(({ workload, protocol, clients, outcomes }) => {
      if (workload !== one.workload || clients < one.clientsMin || clients > one.clientsMax) {
        return [];
      }
      const outcome = outcomes.find(({ key }) => key === ourKey);
      const ratio = outcome === undefined ? undefined : ratioOf[one.measure](outcome, one.against);
      return ratio === undefined ? [] : [{ ratio, where: `${protocol}, ${clients} clients` }];
    });
    return found.length === 0 ? [] : [aimLine(results, one, found)];
  });
}

function aimLine(
  { targets }: ThroughputResults,
  { workload, clientsMin, clientsMax, measure, against, factor }: Aim,
  found: readonly { readonly ratio: number; readonly where: string }[],
): string {
  const isFloor = measure === 'throughput';
  const isMet = (ratio: number) => (isFloor ? ratio >= factor : ratio <= factor);
  const worst = found.reduce((a, b) => (isFloor === a.ratio <= b.ratio ? a : b));
  const met = found.filter(({ ratio }) => isMet(ratio)).length;
  const scope =
    clientsMax === 1 ? '1 client' : clientsMin > 1 ? `${clientsMin} clients and more` : 'all';
  const name = targets.find(({ key }) => key === against)?.name ?? against;
  return `${workload}, ${scope}: ${measure} at ${isFloor ? 'least' : 'most'} ${factor} × ${name}: met at ${met} of ${found.length} points (worst: ${worst.ratio.toFixed(2)}, ${worst.where})`;
}
