import * as svg from '../support/svg.ts';
import type { SoakResults } from './results.ts';

const [width, height, margin] = [820, 340, 56];
const lines = [
  { key: 'rss', name: 'RSS', colour: '#0b2f5b' },
  { key: 'heapUsed', name: 'heap in use', colour: '#2a7fb8' },
] as const;
const faint = '#ddd';
const marks = 4;

/** RSS and heap over time, in MB and minutes. */
export function soakPlot({ samples, minutes, players }: SoakResults): string {
  const highest = Math.max(1, ...samples.map(({ rss }) => rss / 1e6)) * 1.1;
  const x = (atSeconds: number) => margin + ((width - 2 * margin) * atSeconds) / (minutes * 60);
  const y = (mega: number) => height - margin - ((height - 2 * margin) * mega) / highest;
  const title = `Memory of Tidemark, ${players} clients that come and go, ${minutes} minutes`;
  const content = [
    svg.rectangle({ x: 0, y: 0, width, height }, { fill: '#fff' }),
    svg.text(margin, 28, title, { 'font-size': 16, 'font-weight': 'bold' }),
  ];
  for (let mark = 0; mark <= marks; mark++) {
    const [mega, minute] = [(highest * mark) / marks, (minutes * mark) / marks];
    content.push(
      svg.line([margin, y(mega)], [width - margin, y(mega)], { stroke: faint }),
      svg.text(margin - 8, y(mega) + 4, mega.toFixed(0), { 'text-anchor': 'end' }),
      svg.text(x(minute * 60), height - margin + 18, minute.toFixed(1), {
        'text-anchor': 'middle',
      }),
    );
  }
  content.push(
    svg.text(margin - 40, margin - 12, 'MB'),
    svg.text(width / 2, height - 14, 'minutes', { 'text-anchor': 'middle' }),
  );
  lines.forEach(({ key, name, colour }, index) => {
    const points = samples.map(
      (one) => `${x(one.atSeconds).toFixed(1)},${y(one[key] / 1e6).toFixed(1)}`,
    );
    content.push(
      svg.element('polyline', {
        ...{ points: points.join(' '), fill: 'none', stroke: colour, 'stroke-width': 1.5 },
      }),
      svg.text(width - margin - 90, margin + 16 * index, name, { fill: colour }),
    );
  });
  return svg.document(width, height, content);
}
