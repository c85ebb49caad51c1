/** The few shapes that the plots need, as SVG text. Lengths are pixels. */
export type Attributes = Readonly<Record<string, string | number>>;

export function element(name: string, attributes: Attributes, content = ''): string {
  const parts = Object.entries(attributes).map(
    ([key, value]) => ` ${key}="${escapeXml(shown(value))}"`,
  );
  return content === ''
    ? `<${name}${parts.join('')}/>`
    : `<${name}${parts.join('')}>${content}</${name}>`;
}

export function text(x: number, y: number, content: string, attributes: Attributes = {}): string {
  return element('text', { x, y, ...attributes }, escapeXml(content));
}

export function rectangle(
  box: { readonly x: number; readonly y: number; readonly width: number; readonly height: number },
  attributes: Attributes = {},
): string {
  return element('rect', { ...box, ...attributes });
}

export function line(
  from: readonly [number, number],
  to: readonly [number, number],
  attributes: Attributes = {},
): string {
  return element('line', { x1: from[0], y1: from[1], x2: to[0], y2: to[1], ...attributes });
}

export function document(width: number, height: number, content: readonly string[]): string {
  const size = { width, height, viewBox: `0 0 ${width} ${height}` };
  const font = { 'font-family': 'Helvetica, Arial, DejaVu Sans, sans-serif', 'font-size': 12 };
  return `${element(
    'svg',
    { xmlns: 'http://www.w3.org/2000/svg', ...size, ...font },
    `\n${content.join('\n')}\n`,
  )}\n`;
}

function shown(value: string | number): string {
  return typeof value === 'number' ? String(Math.round(value * 100) / 100) : value;
}

function escapeXml(value: string): string {
  return value
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
