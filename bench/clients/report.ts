import type { NodeMemory } from '../support/node-memory.ts';
import { type Column, markdownTable, textTable } from '../support/text-table.ts';
import { aimLines } from './aims.ts';
import type { Joined, Worked } from './crowd-command.ts';
import type { ClientsResults } from './results.ts';

type Format = 'text' | 'markdown';

/** The results in words and tables. */
export function clientsReport(results: ClientsResults, format: Format): string {
  const heading = (title: string) => (format === 'markdown' ? `## ${title}` : `== ${title} ==`);
  const table = format === 'markdown' ? markdownTable : textTable;
  const { base, filled, settled, clients, logins } = results;
  return `${[
    ...preamble(results, format),
    heading('Memory'),
    table(memoryColumns(base, clients), [
      { name: 'base: after the loads of the busy clients alone', memory: base },
      { name: `${clients} idle clients`, memory: filled },
      { name: `${clients} idle clients, ${results.settleSeconds} s later`, memory: settled },
    ]),
    heading('Logins'),
    table(loginColumns, [
      { name: `${logins} at once`, joined: results.storm },
      { name: `${clients - logins} more, 32 at a time`, joined: results.others },
    ]),
    heading(`${results.busy} busy clients`),
    table(
      workColumns,
      results.loads.flatMap(({ load, alone, among }) => [
        { name: `${load}, alone`, worked: alone },
        { name: `${load}, among ${clients} idle clients`, worked: among },
      ]),
    ),
    heading('Aims'),
    bullets(aimLines(results).map(({ isMet, text }) => `${isMet ? 'Met' : 'NOT met'}: ${text}`)),
  ].join('\n\n')}\n`;
}

function preamble(results: ClientsResults, format: Format): string[] {
  const { machine } = results;
  const lines = [
    `Command: ${format === 'markdown' ? `\`${results.command}\`` : results.command}`,
    `When: ${results.at}.`,
    `Tidemark ${results.version}, one process.`,
    `Servers: ${Object.entries(results.postgres)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ')}.`,
    `Machine: ${machine.platform}, ${machine.cores} cores (${machine.cpu}), ${machine.memoryGib} GiB, Node ${machine.node}; the clients, the proxy and all servers share it. Load before the run: ${machine.loadBefore}.`,
    ...(results.note === null ? [] : [`Note: ${results.note}`]),
  ];
  return format === 'markdown'
    ? ['# Many clients', bullets(lines)]
    : ['Many clients', lines.join('\n')];
}

const bullets = (lines: readonly string[]) => lines.map((line) => `- ${line}`).join('\n');

interface MemoryRow {
  readonly name: string;
  readonly memory: NodeMemory;
}

function memoryColumns(base: NodeMemory, clients: number): Column<MemoryRow>[] {
  const right = (title: string, text: (memory: NodeMemory) => string): Column<MemoryRow> => ({
    title,
    align: 'right',
    text: ({ memory }) => text(memory),
  });
  const kinds = [
    ['RSS', 'rss'],
    ['heap used', 'heapUsed'],
    ['external', 'external'],
  ] as const;
  return [
    { title: 'state', align: 'left', text: ({ name }) => name },
    ...kinds.map(([title, key]) => right(`${title}, MB`, (memory) => mega(memory[key]))),
    ...kinds.map(([title, key]) =>
      right(`${title} per client, KB`, (memory) =>
        memory === base ? '-' : ((memory[key] - base[key]) / clients / 1_000).toFixed(1),
      ),
    ),
  ];
}

const mega = (bytes: number) => (bytes / 1_000_000).toFixed(1);
const ms = (value: number | null) => value?.toFixed(2) ?? '-';

const loginColumns: Column<{ readonly name: string; readonly joined: Joined }>[] = [
  { title: 'logins', align: 'left', text: ({ name }) => name },
  { title: 'took, s', align: 'right', text: ({ joined }) => joined.seconds.toFixed(2) },
  { title: 'p50 ms', align: 'right', text: ({ joined }) => ms(joined.logins.p50Ms) },
  { title: 'p99 ms', align: 'right', text: ({ joined }) => ms(joined.logins.p99Ms) },
  { title: 'errors', align: 'right', text: ({ joined }) => String(joined.failures.length) },
];

const workColumns: Column<{ readonly name: string; readonly worked: Worked }>[] = [
  { title: 'load', align: 'left', text: ({ name }) => name },
  { title: 'statements/s', align: 'right', text: ({ worked }) => perSecond(worked) },
  { title: 'p50 ms', align: 'right', text: ({ worked }) => ms(worked.waits.p50Ms) },
  { title: 'p99 ms', align: 'right', text: ({ worked }) => ms(worked.waits.p99Ms) },
  { title: 'max ms', align: 'right', text: ({ worked }) => ms(worked.waits.maxMs) },
  {
    title: 'of each client',
    align: 'right',
    text: ({ worked: { statementsByClient } }) =>
      `${Math.min(...statementsByClient)} to ${Math.max(...statementsByClient)}`,
  },
];

function perSecond({ statementsByClient, seconds }: Worked): string {
  return (statementsByClient.reduce((sum, one) => sum + one, 0) / seconds).toFixed(0);
}
