import { type Column, markdownTable, textTable } from '../support/text-table.ts';
import type { SoakResults } from './results.ts';
import type { Sample } from './sample.ts';
import { rssSlope, warmUpShare } from './verdict.ts';

type Format = 'text' | 'markdown';

/** The results in words and tables. */
export function soakReport(results: SoakResults, format: Format): string {
  const heading = (title: string) => (format === 'markdown' ? `## ${title}` : `== ${title} ==`);
  const table = format === 'markdown' ? markdownTable : textTable;
  const { samples, before, after, problems } = results;
  const steady = samples.slice(Math.floor(samples.length * warmUpShare));
  const moments = [
    { name: 'before the first client', sample: before },
    ...[0, 0.25, 0.5, 0.75, 1].flatMap((share) => {
      const sample = samples[Math.round(share * (samples.length - 1))];
      return sample === undefined ? [] : [{ name: `${sample.atSeconds.toFixed(0)} s`, sample }];
    }),
    { name: 'when the last client is gone', sample: after },
  ];
  return `${[
    ...preamble(results, format),
    heading('Over time'),
    table(momentColumns, moments),
    `RSS after the warm-up (the first ${100 * warmUpShare} %), by least squares: ${((rssSlope(steady) * 60) / 1e6).toFixed(3)} MB a minute.`,
    heading('What the clients did'),
    table(actColumns, Object.entries(results.acts)),
    heading('Verdict'),
    problems.length === 0
      ? 'Passed: nothing was left behind, and nothing went otherwise than it was meant to.'
      : bullets(problems),
  ].join('\n\n')}\n`;
}

function preamble(results: SoakResults, format: Format): string[] {
  const { machine, minutes, players, connects } = results;
  const lines = [
    `Command: ${format === 'markdown' ? `\`${results.command}\`` : results.command}`,
    `When: ${results.at}.`,
    `${players} clients at one time for ${minutes} minutes, who came ${connects} times.`,
    `Tidemark ${results.version}, one process.`,
    `Servers: ${Object.entries(results.postgres)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ')}.`,
    `Machine: ${machine.platform}, ${machine.cores} cores (${machine.cpu}), ${machine.memoryGib} GiB, Node ${machine.node}; the clients, the proxy and all servers share it. Load before the run: ${machine.loadBefore}.`,
    ...(results.note === null ? [] : [`Note: ${results.note}`]),
  ];
  return format === 'markdown' ? ['# Soak', bullets(lines)] : ['Soak', lines.join('\n')];
}

const bullets = (lines: readonly string[]) => lines.map((line) => `- ${line}`).join('\n');

interface Moment {
  readonly name: string;
  readonly sample: Sample;
}

const right = (title: string, text: (sample: Sample) => number | string): Column<Moment> => ({
  title,
  align: 'right',
  text: ({ sample }) => String(text(sample)),
});

const momentColumns: readonly Column<Moment>[] = [
  { title: 'when', align: 'left', text: ({ name }) => name },
  right('RSS, MB', ({ rss }) => (rss / 1e6).toFixed(1)),
  right('heap used, MB', ({ heapUsed }) => (heapUsed / 1e6).toFixed(1)),
  right('clients', ({ clients }) => clients),
  right('server connections in use', ({ activeConnections }) => activeConnections),
  right('idle', ({ idleConnections }) => idleConnections),
  right('backends', ({ backends }) => backends),
  right('waiting', ({ waiting }) => waiting),
  right('open files', ({ openFiles }) => openFiles),
  right('timers', ({ timers }) => timers),
];

const actColumns: readonly Column<readonly [string, number]>[] = [
  { title: 'act', align: 'left', text: ([name]) => name },
  { title: 'times', align: 'right', text: ([, count]) => String(count) },
];
