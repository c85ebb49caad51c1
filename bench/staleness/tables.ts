import type { LatencySummary } from '../support/latencies.ts';
import { type Column, markdownTable, textTable } from '../support/text-table.ts';
import { aimLines } from './aims.ts';
import type { StalenessResults } from './results.ts';
import type { Outcome } from './summary.ts';

/** The target that the others' latencies are held against. */
const baselineKey = 'primary-only';

type Format = 'text' | 'markdown';

/** The results in words and tables. */
export function stalenessReport(results: StalenessResults, format: Format): string {
  const heading = (title: string) => (format === 'markdown' ? `## ${title}` : `== ${title} ==`);
  const table = format === 'markdown' ? markdownTable : textTable;
  const parts = [
    ...preamble(results, format),
    heading('What each target promises'),
    table(promiseColumns, results.targets),
  ];
  for (const { delayMs, measuredMs, outcomes } of results.delays) {
    const title = delayMs === 0 ? 'Healthy replicas' : `Replicas ${delayMs} ms behind`;
    const baseline = outcomes.find(({ key }) => key === baselineKey)?.reads ?? null;
    parts.push(
      heading(title),
      `A commit showed on the replicas after ${measuredMs.join(' and ')} ms before the turns.`,
      table(outcomeColumns(baseline), outcomes),
    );
  }
  parts.push(
    heading('Why Tidemark sent requests where it did'),
    table(reasonColumns, reasonRows(results)),
  );
  const aims = aimLines(results);
  if (aims.length > 0) parts.push(heading('Aims'), bullets(aims));
  const broken = brokenLines(results);
  parts.push(heading('Promises kept'), broken.length === 0 ? 'All of them.' : bullets(broken));
  return `${parts.join('\n\n')}\n`;
}

/** One line for each promise that was broken. */
export function brokenLines(results: StalenessResults): string[] {
  return results.delays.flatMap(({ delayMs, outcomes }) =>
    outcomes.flatMap(({ name, broken }) =>
      broken.map((what) => `${name}, replicas ${delayMs} ms behind: ${what}`),
    ),
  );
}

const promiseColumns: Column<StalenessResults['targets'][number]>[] = [
  { title: 'target', align: 'left', text: ({ name }) => name },
  { title: 'what its reads are entitled to', align: 'left', text: ({ promise }) => promise },
  { title: 'settings', align: 'left', text: ({ settings }) => listSettings(settings) },
];

function outcomeColumns(baseline: LatencySummary | null): Column<Outcome>[] {
  const columns: Column<Outcome>[] = [
    { title: 'target', align: 'left', text: ({ name }) => name },
    { title: 'stale reads', align: 'right', text: ({ shareStale }) => percent(shareStale) },
    { title: 'of', align: 'right', text: ({ ownReads }) => String(ownReads) },
    { title: 'went back', align: 'right', text: ({ wentBack }) => String(wentBack) },
    { title: 'oldest', align: 'right', text: ({ oldestMs }) => ms(oldestMs) },
    {
      title: 'on replicas',
      align: 'right',
      text: ({ shareOnReplicas }) => percent(shareOnReplicas),
    },
    {
      title: 'read p50',
      align: 'right',
      text: ({ reads }) => against(reads.p50Ms, baseline?.p50Ms),
    },
    {
      title: 'read p99',
      align: 'right',
      text: ({ reads }) => against(reads.p99Ms, baseline?.p99Ms),
    },
    { title: 'write p50', align: 'right', text: ({ writes }) => ms(writes.p50Ms) },
    { title: 'write p99', align: 'right', text: ({ writes }) => ms(writes.p99Ms) },
    { title: 'reads/s', align: 'right', text: (one) => one.readsPerSecond.toFixed(0) },
  ];
  return [...columns, { title: 'errors', align: 'left', text: ({ errors }) => listErrors(errors) }];
}

interface ReasonRow {
  readonly name: string;
  readonly delayMs: number;
  readonly reasons: Readonly<Record<string, number>>;
}

const reasonColumns: Column<ReasonRow>[] = [
  { title: 'target', align: 'left', text: ({ name }) => name },
  { title: 'delay', align: 'right', text: ({ delayMs }) => `${delayMs} ms` },
  { title: 'share of its requests', align: 'left', text: ({ reasons }) => listReasons(reasons) },
];

function reasonRows(results: StalenessResults): ReasonRow[] {
  return results.delays.flatMap(({ delayMs, outcomes }) =>
    outcomes
      .filter(({ reasons }) => Object.keys(reasons).length > 0)
      .map(({ name, reasons }) => ({ name, delayMs, reasons })),
  );
}

function preamble(results: StalenessResults, format: Format): string[] {
  const { options, machine, postgres } = results;
  const { traffic } = options;
  const pause =
    traffic.thinkMs === 0
      ? 'no pause'
      : `a pause of ${traffic.thinkMs} ms in the mean after each statement`;
  const title = 'Staleness of reads';
  const lines = [
    `Traffic: ${options.sessions} sessions; each writes its own row, reads it ${traffic.ownReads} times, reads ${traffic.otherReads} rows of others, and makes ${pause}.`,
    `Measured: ${options.seconds} s for each target and delay, in ${options.rounds} turns taken alternately.`,
    `Servers: ${listSettings(postgres)}.`,
    `Machine: ${machine.platform}, ${machine.cores} cores (${machine.cpu}), ${machine.memoryGib} GiB, Node ${machine.node}; the bench, the proxies and all servers share it. Load before the run: ${machine.loadBefore}.`,
    ...(options.note === null ? [] : [`Note: ${options.note}`]),
    "stale reads: of a session's reads of its own row, those that missed its own write. went back: reads older than one that the session had made before. oldest: for how long the oldest read had been out of date when it was sent. on replicas: by inet_server_port() of each read. Latencies are in ms; (x) is against Primary only.",
    ...results.leftOut.map((line) => `Left out: ${line}`),
  ];
  return format === 'markdown'
    ? [`# ${title}`, bullets(lines)]
    : [`${title}, ${results.at}`, lines.join('\n')];
}

const bullets = (lines: readonly string[]) => lines.map((line) => `- ${line}`).join('\n');

const percent = (value: number) => `${(100 * value).toFixed(value > 0 && value < 0.001 ? 3 : 1)} %`;

function ms(value: number | null): string {
  if (value === null) return '-';
  return value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2);
}

function against(value: number | null, baseline: number | null | undefined): string {
  if (value === null || baseline === null || baseline === undefined) return ms(value);
  return `${ms(value)} (${(value / baseline).toFixed(1)}x)`;
}

function listSettings(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}

function listErrors(errors: Readonly<Record<string, number>>): string {
  return Object.entries(errors)
    .map(([name, count]) => `${name}: ${count}`)
    .join(', ');
}

function listReasons(reasons: Readonly<Record<string, number>>): string {
  return Object.entries(reasons)
    .map(([reason, part]) => `${reason} ${percent(part)}`)
    .join(', ');
}
