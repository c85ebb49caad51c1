import { expect } from 'vitest';

const nameText = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,(?!$)|$)/y;
const sample = new RegExp(`^(${nameText})(?:\\{(.*)\\})? (\\S+)$`);
const number = /^(?:[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?|[+-]Inf|NaN)$/i;

export interface Exposition {
  readonly types: ReadonlyMap<string, string>;
  /** By `name{label="value",...}` as printed. */
  readonly values: ReadonlyMap<string, number>;
}

/**
 * Reads Prometheus' text format (0.0.4) strictly: every line must be understood, every sample must
 * follow the HELP and TYPE of its family, and no series may appear twice.
 */
export function parseExposition(text: string): Exposition {
  const types = new Map<string, string>();
  const helps = new Set<string>();
  const values = new Map<string, number>();
  expect(text.endsWith('\n')).toBe(true);
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const help = new RegExp(`^# HELP (${nameText}) \\S.*$`).exec(line);
    const type = new RegExp(`^# TYPE (${nameText}) (counter|gauge|histogram)$`).exec(line);
    if (help !== null) {
      expect(helps, line).not.toContain(help[1]);
      helps.add(help[1]!);
    } else if (type !== null) {
      expect(helps, line).toContain(type[1]);
      expect([...types.keys()], line).not.toContain(type[1]);
      types.set(type[1]!, type[2]!);
    } else {
      readSample(line, types, values);
    }
  }
  return { types, values };
}

function readSample(line: string, types: Map<string, string>, values: Map<string, number>): void {
  const match = sample.exec(line);
  if (match === null) throw new Error(`not a line of the text format: ${line}`);
  const [, name, labels, value] = match;
  const family = types.has(name!) ? name! : name!.replace(/_(?:bucket|sum|count)$/, '');
  expect([...types.keys()], line).toContain(family);
  readLabels(line, labels ?? '');
  expect(value, line).toMatch(number);
  const series = line.slice(0, line.lastIndexOf(' '));
  expect([...values.keys()], line).not.toContain(series);
  values.set(series, Number(value!.replace('Inf', 'Infinity')));
}

function readLabels(line: string, text: string): void {
  const names = new Set<string>();
  label.lastIndex = 0;
  while (label.lastIndex < text.length) {
    const match = label.exec(text);
    if (match === null) throw new Error(`labels cannot be read: ${line}`);
    expect(names, line).not.toContain(match[1]);
    names.add(match[1]!);
  }
}
