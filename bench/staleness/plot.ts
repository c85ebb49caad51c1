import * as svg from '../support/svg.ts';
import type { StalenessResults } from './results.ts';
import type { Outcome } from './summary.ts';

/** From light to dark: the further behind, the darker. */
const delayColours = ['#8ecae6', '#2a7fb8', '#0b2f5b', '#7a1f5c', '#c2410c'];
const grey = '#666';
const faint = '#ddd';

const labelWidth = 145;
const panelWidth = 230;
const panelGap = 58;
const margin = 20;
const headerHeight = 116;
const footerHeight = 40;
const barHeight = 10;
const groupGap = 12;
const tickRows = 5;

interface Panel {
  readonly title: string;
  readonly x: number;
}

/** For each target a group of one bar per delay: stale reads, reads on replicas, read latencies. */
export function stalenessPlot(results: StalenessResults): string {
  const { targets, delays } = results;
  const groupHeight = delays.length * barHeight + groupGap;
  const plotHeight = targets.length * groupHeight;
  const width = 2 * margin + labelWidth + 3 * panelWidth + 2 * panelGap + 40;
  const height = headerHeight + plotHeight + footerHeight;
  const [stale, replicas, latency] = [
    'reads of own writes that were stale',
    'reads served by replicas',
    'read latency, p50 to p99, ms',
  ].map((title, index) => ({
    title,
    x: margin + labelWidth + index * (panelWidth + panelGap),
  })) as [Panel, Panel, Panel];
  const scale = latencyScale(results);
  const content = [
    svg.rectangle({ x: 0, y: 0, width, height }, { fill: '#fff' }),
    svg.text(margin, 28, 'Staleness of reads', { 'font-size': 18, 'font-weight': 'bold' }),
    svg.text(margin, 46, subtitle(results), { fill: grey }),
    ...legend(delays.map(({ delayMs }) => delayMs)),
    ...shareAxis(stale, plotHeight),
    ...shareAxis(replicas, plotHeight),
    ...latencyAxis(latency, plotHeight, scale),
  ];
  targets.forEach((target, row) => {
    const top = headerHeight + row * groupHeight;
    const middle = top + groupHeight / 2 + 4;
    content.push(
      svg.line([margin, top], [width - margin, top], { stroke: faint }),
      svg.text(margin, middle, target.name, {
        'font-weight': isOurs(target.key) ? 'bold' : 'normal',
      }),
    );
    delays.forEach(({ outcomes }, index) => {
      const outcome = outcomes.find(({ key }) => key === target.key);
      if (outcome === undefined) return;
      const y = top + groupGap / 2 + index * barHeight;
      const colour = colourOf(index);
      content.push(
        ...shareBar(stale, y, outcome.shareStale, colour),
        ...shareBar(replicas, y, outcome.shareOnReplicas, colour),
        ...latencyRange(latency, y, outcome, colour, scale),
      );
    });
  });
  return svg.document(width, height, content);
}

const isOurs = (key: string) => key.startsWith('tidemark');
const colourOf = (index: number) => delayColours[index % delayColours.length]!;

function subtitle({ options, machine, postgres }: StalenessResults): string {
  const { sessions, traffic } = options;
  const reads = `${traffic.ownReads} reads of it and ${traffic.otherReads} of others'`;
  const pause = traffic.thinkMs === 0 ? '' : `, ${traffic.thinkMs} ms between statements`;
  const server = `PostgreSQL ${postgres.server_version}, fsync ${postgres.fsync}`;
  return `${sessions} sessions, each: a write, then ${reads}${pause}. ${server}, ${machine.cores} cores.`;
}

function legend(delaysMs: readonly number[]): string[] {
  let x = margin;
  return delaysMs.flatMap((delayMs, index) => {
    const name = delayMs === 0 ? 'healthy replicas' : `replicas ${delayMs} ms behind`;
    const shapes = [
      svg.rectangle({ x, y: 57, width: 12, height: barHeight }, { fill: colourOf(index) }),
      svg.text(x + 18, 66, name),
    ];
    x += 160;
    return shapes;
  });
}

function shareAxis({ title, x }: Panel, plotHeight: number): string[] {
  const shapes = [svg.text(x, headerHeight - 20, title, { 'font-weight': 'bold' })];
  for (const percent of [0, 50, 100]) {
    const at = x + (panelWidth * percent) / 100;
    shapes.push(...tick(at, plotHeight, `${percent} %`));
  }
  return shapes;
}

function tick(x: number, plotHeight: number, label: string): string[] {
  return [
    svg.line([x, headerHeight - 4], [x, headerHeight + plotHeight], { stroke: faint }),
    svg.text(x, headerHeight - 7, label, { 'font-size': 9, fill: grey, 'text-anchor': 'middle' }),
    svg.text(x, headerHeight + plotHeight + 13, label, {
      'font-size': 9,
      fill: grey,
      'text-anchor': 'middle',
    }),
  ];
}

function shareBar({ x }: Panel, y: number, share: number, colour: string): string[] {
  const width = panelWidth * share;
  const percent = 100 * share;
  const label = share > 0 && percent < 1 ? percent.toPrecision(1) : percent.toFixed(0);
  return [
    // A share of 0 keeps a trace, so that it is not taken for a missing bar.
    svg.rectangle({ x, y, width: Math.max(width, 1), height: barHeight - 2 }, { fill: colour }),
    svg.text(x + width + 4, y + barHeight - 3, label, { 'font-size': 9, fill: grey }),
  ];
}

interface LatencyScale {
  readonly lowestMs: number;
  readonly highestMs: number;
}

/** A logarithmic scale over whole powers of ten and their halves that holds all that is shown. */
function latencyScale({ delays }: StalenessResults): LatencyScale {
  const all = delays.flatMap(({ outcomes }) =>
    outcomes.flatMap(({ reads }) => [reads.p50Ms, reads.p99Ms].filter((ms) => ms !== null)),
  );
  if (all.length === 0) return { lowestMs: 1, highestMs: 10 };
  const marks = latencyMarks({ lowestMs: 1e-3, highestMs: 1e6 });
  const lowestMs = marks.findLast((mark) => mark <= Math.min(...all)) ?? 1e-3;
  const highestMs = marks.find((mark) => mark >= Math.max(...all)) ?? 1e6;
  return { lowestMs, highestMs: Math.max(highestMs, lowestMs * 10) };
}

/** 1, 2, 5, 10, 20 and so on within the scale. */
function latencyMarks({ lowestMs, highestMs }: LatencyScale): number[] {
  const marks: number[] = [];
  for (let exponent = -3; exponent <= 6; exponent++) {
    for (const digit of [1, 2, 5]) {
      const mark = Number(`${digit}e${exponent}`);
      if (mark >= lowestMs && mark <= highestMs) marks.push(mark);
    }
  }
  return marks;
}

function latencyX({ x }: Panel, ms: number, { lowestMs, highestMs }: LatencyScale): number {
  return x + (panelWidth * Math.log(ms / lowestMs)) / Math.log(highestMs / lowestMs);
}

function latencyAxis(panel: Panel, plotHeight: number, scale: LatencyScale): string[] {
  const shapes = [svg.text(panel.x, headerHeight - 20, panel.title, { 'font-weight': 'bold' })];
  const marks = latencyMarks(scale);
  const step = Math.ceil(marks.length / (2 * tickRows));
  for (const mark of marks.filter((_, index) => index % step === 0)) {
    shapes.push(...tick(latencyX(panel, mark, scale), plotHeight, String(mark)));
  }
  return shapes;
}

function latencyRange(
  panel: Panel,
  y: number,
  { reads }: Outcome,
  colour: string,
  scale: LatencyScale,
): string[] {
  if (reads.p50Ms === null || reads.p99Ms === null) return [];
  const from = latencyX(panel, reads.p50Ms, scale);
  const to = latencyX(panel, reads.p99Ms, scale);
  const height = barHeight - 2;
  const middle = y + height / 2;
  const label = `${shortMs(reads.p50Ms)} – ${shortMs(reads.p99Ms)}`;
  return [
    svg.rectangle(
      { x: from, y: middle - 2, width: Math.max(to - from, 1), height: 4 },
      { fill: colour },
    ),
    svg.rectangle({ x: from - 1.5, y, width: 3, height }, { fill: colour }),
    svg.text(to + 5, y + barHeight - 3, label, { 'font-size': 9, fill: grey }),
  ];
}

function shortMs(ms: number): string {
  return ms >= 10 ? ms.toFixed(0) : ms.toPrecision(2);
}
