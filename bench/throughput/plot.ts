import * as svg from '../support/svg.ts';
import type { ThroughputResults } from './results.ts';
import type { Outcome, Spread } from './summary.ts';
import { isOurs } from './summary.ts';
import { groupsOf, type PointGroup } from './tables.ts';
import { workloads } from './workloads.ts';

const theirColours = ['#555', '#e76f51', '#8a6fb0', '#c9a227', '#4c956c'];
const ourColours = ['#0b5fa5', '#6db3e8', '#0b2f5b'];
const grey = '#666';
const faint = '#ddd';

const margin = 20;
const headerHeight = 92;
const panelWidth = 250;
const panelHeight = 150;
const axisWidth = 58;
const rowGap = 62;
const linesPerAxis = 4;

type Quantity = 'transactionsPerSecond' | 'p99Ms' | 'cpuMicrosPerTransaction';

interface Column {
  readonly title: string;
  readonly quantity: Quantity;
  readonly scale: 'linear' | 'logarithmic';
}

const columns: readonly Column[] = [
  { title: 'transactions per second', quantity: 'transactionsPerSecond', scale: 'linear' },
  { title: 'latency, p99, ms', quantity: 'p99Ms', scale: 'logarithmic' },
  {
    title: "proxy's CPU, µs per transaction",
    quantity: 'cpuMicrosPerTransaction',
    scale: 'linear',
  },
];

/** A row of panels for each workload and protocol: what each target does with more clients. */
export function throughputPlot(results: ThroughputResults): string {
  const groups = groupsOf(results);
  // CPU is not known of servers that the bench did not start.
  const shown = columns.filter(({ quantity }) =>
    results.points.some(({ outcomes }) => outcomes.some((one) => one[quantity] !== null)),
  );
  const width = 2 * margin + Math.max(shown.length, 2) * (axisWidth + panelWidth);
  const height = headerHeight + groups.length * (panelHeight + rowGap);
  const colours = coloursOf(results);
  const content = [
    svg.rectangle({ x: 0, y: 0, width, height }, { fill: '#fff' }),
    svg.text(margin, 28, 'Throughput, latency and cost', {
      'font-size': 18,
      'font-weight': 'bold',
    }),
    svg.text(margin, 46, subtitle(results), { fill: grey }),
    ...legend(results, colours),
  ];
  groups.forEach((group, row) => {
    const y = headerHeight + row * (panelHeight + rowGap) + 30;
    content.push(
      svg.text(margin, y - 16, `${workloads[group.workload].title}, ${group.protocol}`, {
        'font-weight': 'bold',
      }),
    );
    shown.forEach((column, index) => {
      const x = margin + axisWidth + index * (axisWidth + panelWidth);
      content.push(...panel({ x, y, column, group, colours }));
    });
  });
  return svg.document(width, height, content);
}

function subtitle({ machine, postgres, settings }: ThroughputResults): string {
  const { repetitions, seconds } = settings;
  return `Medians of ${repetitions} × ${seconds} s of pgbench; bars: lowest to highest. PostgreSQL ${postgres.server_version}, ${machine.cores} cores for everything.`;
}

function coloursOf({ targets }: ThroughputResults): Map<string, string> {
  let [ours, theirs] = [0, 0];
  return new Map(
    targets.map(({ key }) => [
      key,
      isOurs(key)
        ? ourColours[ours++ % ourColours.length]!
        : theirColours[theirs++ % theirColours.length]!,
    ]),
  );
}

function legend({ targets }: ThroughputResults, colours: ReadonlyMap<string, string>): string[] {
  return targets.flatMap(({ key, name }, index) => {
    const x = margin + index * 150;
    const weight = isOurs(key) ? 'bold' : 'normal';
    return [
      svg.rectangle({ x, y: 60, width: 18, height: 4 }, { fill: colours.get(key)! }),
      svg.text(x + 24, 66, name, { 'font-weight': weight }),
    ];
  });
}

interface Panel {
  readonly x: number;
  readonly y: number;
  readonly column: Column;
  readonly group: PointGroup;
  readonly colours: ReadonlyMap<string, string>;
}

function panel(options: Panel): string[] {
  const { x, y, column, group, colours } = options;
  const { points } = group;
  const known = points.flatMap(({ outcomes }) =>
    outcomes.flatMap((one) => spreadOf(one, column) ?? []),
  );
  const shapes = [svg.text(x, y - 4, column.title, { 'font-size': 10, fill: grey })];
  if (known.length === 0) return shapes;
  const axis = axisOf(column, known);
  const across = (index: number) => x + ((index + 0.5) * panelWidth) / points.length;
  const down = (value: number) => y + panelHeight - axis.at(value) * panelHeight;
  for (const mark of axis.marks) shapes.push(...markLine(x, down(mark), mark));
  points.forEach(({ clients }, index) => {
    const attributes = { 'font-size': 9, fill: grey, 'text-anchor': 'middle' };
    shapes.push(svg.text(across(index), y + panelHeight + 12, `${clients} cl.`, attributes));
  });
  for (const [key, colour] of colours) {
    const dots = points.flatMap(({ outcomes }, index) => {
      const outcome = outcomes.find((one) => one.key === key);
      const spread = outcome === undefined ? null : spreadOf(outcome, column);
      return spread === null ? [] : [{ at: across(index), spread }];
    });
    shapes.push(...series(dots, down, colour));
  }
  return shapes;
}

/** Zero has no place on a logarithmic axis. */
function spreadOf(outcome: Outcome, { quantity, scale }: Column): Spread | null {
  const spread = outcome[quantity];
  return scale === 'logarithmic' && spread !== null && spread.min <= 0 ? null : spread;
}

function series(
  dots: readonly { readonly at: number; readonly spread: Spread }[],
  down: (value: number) => number,
  colour: string,
): string[] {
  const shapes: string[] = [];
  dots.forEach(({ at, spread }, index) => {
    const next = dots[index + 1];
    const y = down(spread.median);
    if (next !== undefined) {
      const to = [next.at, down(next.spread.median)] as const;
      shapes.push(svg.line([at, y], to, { stroke: colour, 'stroke-width': 2 }));
    }
    shapes.push(
      svg.line([at, down(spread.min)], [at, down(spread.max)], { stroke: colour }),
      svg.element('circle', { cx: at, cy: y, r: 3, fill: colour }),
    );
  });
  return shapes;
}

function markLine(x: number, y: number, mark: number): string[] {
  return [
    svg.line([x, y], [x + panelWidth, y], { stroke: faint }),
    svg.text(x - 5, y + 3, String(mark), { 'font-size': 9, fill: grey, 'text-anchor': 'end' }),
  ];
}

interface Axis {
  readonly marks: readonly number[];
  /** From 0 at the bottom to 1 at the top. */
  at(value: number): number;
}

function axisOf({ scale }: Column, spreads: readonly Spread[]): Axis {
  const highest = Math.max(...spreads.map(({ max }) => max));
  if (scale === 'linear') {
    const step = roundStep(highest / linesPerAxis);
    const top = Math.max(step, Math.ceil(highest / step) * step);
    const count = Math.round(top / step);
    const marks = Array.from({ length: count + 1 }, (_, index) => index * step);
    return { marks, at: (value) => value / top };
  }
  const lowest = Math.min(...spreads.map(({ min }) => min));
  const [from, to] = [Math.floor(Math.log10(lowest)), Math.ceil(Math.log10(highest))];
  const decades = Math.max(to - from, 1);
  const marks = Array.from({ length: decades + 1 }, (_, index) => Number(`1e${from + index}`));
  return { marks, at: (value) => (Math.log10(value) - from) / decades };
}

/** 1, 2, 5, 10, 20 and so on: the first that is not below. */
function roundStep(least: number): number {
  if (least <= 0) return 1;
  const decade = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((digit) => digit * decade).find((step) => step >= least)!;
}
