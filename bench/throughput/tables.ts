import { type Column, markdownTable, textTable } from '../support/text-table.ts';
import { aimLines } from './aims.ts';
import type { PointResults, ThroughputResults } from './results.ts';
import type { Outcome, Spread } from './summary.ts';
import {
  type Protocol,
  protocols,
  type WorkloadKey,
  workloadKeys,
  workloads,
} from './workloads.ts';

type Format = 'text' | 'markdown';

/** The results in words and tables: one table for each workload and protocol. */
export function throughputReport(results: ThroughputResults, format: Format): string {
  const heading = (title: string) => (format === 'markdown' ? `## ${title}` : `== ${title} ==`);
  const table = format === 'markdown' ? markdownTable : textTable;
  const parts = [
    ...preamble(results, format),
    heading('Targets'),
    table(targetColumns, results.targets),
  ];
  for (const { workload, protocol, points } of groupsOf(results)) {
    parts.push(
      heading(`${workloads[workload].title}, ${protocol} protocol`),
      table(outcomeColumns(results, workload), rowsOf(results, points)),
    );
  }
  const aims = aimLines(results);
  if (aims.length > 0) parts.push(heading('Aims'), bullets(aims));
  const troubles = troubleLines(results);
  if (troubles.length > 0) parts.push(heading('Errors'), bullets(troubles));
  return `${parts.join('\n\n')}\n`;
}

export interface PointGroup {
  readonly workload: WorkloadKey;
  readonly protocol: Protocol;
  /** By number of clients, ascending. */
  readonly points: readonly PointResults[];
}

/** The points of each workload and protocol that was played. */
export function groupsOf({ points }: ThroughputResults): PointGroup[] {
  return workloadKeys
    .flatMap((workload) =>
      protocols.map((protocol) => ({
        workload,
        protocol,
        points: points
          .filter((point) => point.workload === workload && point.protocol === protocol)
          .sort((a, b) => a.clients - b.clients),
      })),
    )
    .filter((group) => group.points.length > 0);
}

/** One line for each run of pgbench that complained. */
function troubleLines({ points, targets }: ThroughputResults): string[] {
  return points.flatMap(({ workload, protocol, clients, outcomes }) =>
    outcomes.flatMap(({ key, errors }) =>
      errors.map((error) => {
        const name = targets.find((target) => target.key === key)?.name ?? key;
        return `${name}, ${workload}, ${protocol}, ${clients} clients: ${error}`;
      }),
    ),
  );
}

interface Row {
  readonly name: string;
  readonly clients: number;
  readonly outcome: Outcome;
}

function rowsOf({ targets }: ThroughputResults, points: readonly PointResults[]): Row[] {
  return points.flatMap(({ clients, outcomes }) =>
    outcomes.map((outcome) => ({
      clients,
      outcome,
      name: targets.find(({ key }) => key === outcome.key)?.name ?? outcome.key,
    })),
  );
}

const targetColumns: Column<ThroughputResults['targets'][number]>[] = [
  { title: 'target', align: 'left', text: ({ name }) => name },
  { title: 'settings', align: 'left', text: ({ settings }) => listed(settings) },
];

function outcomeColumns(
  { targets, baselines }: ThroughputResults,
  workload: WorkloadKey,
): Column<Row>[] {
  const right = (title: string, text: (outcome: Outcome) => string): Column<Row> => ({
    title,
    align: 'right',
    text: ({ outcome }) => text(outcome),
  });
  const versus = targets
    .filter(({ key }) => baselines.includes(key))
    .map(({ key, name }) => right(`× ${name}`, ({ throughputTo }) => ratio(throughputTo[key])));
  return [
    { title: 'clients', align: 'right', text: ({ clients }) => String(clients) },
    { title: 'target', align: 'left', text: ({ name }) => name },
    right('tps', ({ transactionsPerSecond }) => rate(transactionsPerSecond)),
    right('spread', ({ transactionsPerSecond }) => range(transactionsPerSecond)),
    ...versus,
    right('p50 ms', ({ p50Ms }) => ms(p50Ms)),
    right('p95 ms', ({ p95Ms }) => ms(p95Ms)),
    right('p99 ms', ({ p99Ms }) => ms(p99Ms)),
    right('CPU µs/tx', (one) => rate(one.cpuMicrosPerTransaction)),
    right('MiB', ({ memoryMib }) => rate(memoryMib)),
    ...(workloads[workload].countsReads
      ? [right('on replicas', ({ shareOnReplicas }) => percent(shareOnReplicas))]
      : []),
    ...(workloads[workload].watchesOwnWrites
      ? [right('stale own reads', ({ staleReads, ownReads }) => `${staleReads} of ${ownReads}`)]
      : []),
    right('failed', ({ failedTransactions, errors }) =>
      errors.length > 0 ? `${failedTransactions}, see below` : String(failedTransactions),
    ),
  ];
}

function preamble(results: ThroughputResults, format: Format): string[] {
  const { machine, settings, postgres, versions, loads } = results;
  const lines = [
    `Command: ${format === 'markdown' ? `\`${results.command}\`` : results.command}`,
    `When: ${results.at}.`,
    `Measured: medians of ${settings.repetitions} runs of pgbench, ${settings.seconds} s each; the targets took turns at each point. Spread: the lowest and the highest of them. ×: throughput, as a multiple of that target's in the same repetition.`,
    `Servers: ${listed(postgres)}; scale ${settings.scale}.`,
    `Versions: ${listed(versions)}.`,
    `Machine: ${machine.platform}, ${machine.cores} cores (${machine.cpu}), ${machine.memoryGib} GiB, Node ${machine.node}; pgbench, the proxies and all servers that the bench started share it.`,
    `Load before the run: ${machine.loadBefore}; at the ends of the repetitions, with the bench itself: ${loads.join(', ')}.`,
    'CPU: user and system time of the processes of the proxy, between the first and the last second. MiB: their memory, shared pages divided among those that share them.',
    ...(results.note === null ? [] : [`Note: ${results.note}`]),
    ...results.leftOut.map((line) => `Left out: ${line}`),
  ];
  return format === 'markdown'
    ? ['# Throughput, latency and cost', bullets(lines)]
    : ['Throughput, latency and cost', lines.join('\n')];
}

const bullets = (lines: readonly string[]) => lines.map((line) => `- ${line}`).join('\n');

const rate = (spread: Spread | null) => (spread === null ? '-' : spread.median.toFixed(0));

const range = (spread: Spread | null) =>
  spread === null ? '-' : `${spread.min.toFixed(0)}–${spread.max.toFixed(0)}`;

const ratio = (value: number | undefined) => (value === undefined ? '-' : value.toFixed(2));

const percent = (spread: Spread | null) =>
  spread === null ? '-' : `${(100 * spread.median).toFixed(1)} %`;

function ms(spread: Spread | null): string {
  if (spread === null) return '-';
  return spread.median.toFixed(spread.median >= 100 ? 0 : spread.median >= 10 ? 1 : 2);
}

function listed(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}
