import type { Field, IntegerField, SectionValues } from './fields.ts';
import { dotted, type Entry, type Source } from './source.ts';
import { durationMs, nearest } from './suggest.ts';

/** What a section is when the file says nothing about it. */
export function sectionDefaults<S extends Record<string, Field>>(fields: S): SectionValues<S> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, field]) => [camelCase(key), field.default]),
  ) as SectionValues<S>;
}

/** Reads a section whose keys are in a table; what is missing or wrong gets its default. */
export function readSection<S extends Record<string, Field>>(
  source: Source,
  entry: Entry | undefined,
  path: string,
  fields: S,
  elsewhere: (key: string) => string | undefined,
): SectionValues<S> {
  const entries = source.entries(entry?.value ?? null, path, Object.keys(fields), elsewhere);
  return { ...sectionDefaults(fields), ...readGiven(source, entries, path, fields) };
}

/** Reads the keys of a section that the file has; what is wrong gets its default. */
export function readGiven<S extends Record<string, Field>>(
  source: Source,
  entries: ReadonlyMap<string, Entry> | null,
  path: string,
  fields: S,
): Partial<SectionValues<S>> {
  const values: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(fields)) {
    const found = entries?.get(key);
    if (found !== undefined) {
      values[camelCase(key)] = readField(source, found, dotted(path, key), field);
    }
  }
  return values as Partial<SectionValues<S>>;
}

function camelCase(key: string): string {
  return key.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** Reads one value; reports it and returns the default where it is not valid. */
export function readField(
  source: Source,
  entry: Entry,
  path: string,
  field: Field,
): Field['default'] {
  const value = source.scalar(entry.value);
  const place = entry.value ?? entry.key;
  const reject = (message: string) => {
    source.report(place, `${path}: ${message}`);
    return field.default;
  };
  if (value === null) {
    return reject(`no value: write for example ${field.default}, or remove the key`);
  }
  switch (field.kind) {
    case 'integer':
      return integerProblem(value, path, field, reject) ?? (value as number);
    case 'boolean':
      return typeof value === 'boolean'
        ? value
        : reject(`expected true or false, found ${quoted(value)}: ${booleanAdvice(value)}`);
    case 'choice': {
      if (typeof value === 'string' && field.values.includes(value)) {
        return value;
      }
      const near = typeof value === 'string' ? nearest(value, field.values) : null;
      return reject(
        `${quoted(value)} is not one of ${field.values.join(', ')}${near === null ? '' : `: did you mean ${near}?`}`,
      );
    }
    case 'text':
      return typeof value === 'string' && value !== ''
        ? value
        : reject(`expected text: write for example ${field.default}`);
  }
}

/** Undefined where the value is valid, otherwise what `reject` returned. */
function integerProblem<T>(
  value: unknown,
  path: string,
  field: IntegerField,
  reject: (message: string) => T,
): T | undefined {
  const isMs = path.endsWith('_ms');
  const range = `${field.min} to ${field.max}`;
  if (typeof value === 'number' && Number.isInteger(value)) {
    return value >= field.min && value <= field.max
      ? undefined
      : reject(`${value} is out of range: write ${range}${isMs ? ' milliseconds' : ''}`);
  }
  if (typeof value === 'number' && Number.isFinite(value)) {
    return reject(`expected a whole number, found ${value}: write ${Math.round(value)}`);
  }
  const ms = typeof value === 'string' && isMs ? durationMs(value) : null;
  if (ms !== null) {
    return reject(`${quoted(value)}: write milliseconds as a number: ${ms}`);
  }
  const digits = typeof value === 'string' ? value.replaceAll(/[_,\s]/g, '') : '';
  if (/^\d{1,15}$/.test(digits)) {
    return reject(`expected a number, found text ${quoted(value)}: write ${digits}`);
  }
  const kind = isMs ? 'milliseconds as a whole number' : 'a whole number';
  return reject(
    `expected ${kind} from ${range}, found ${quoted(value)}: write for example ${field.default}`,
  );
}

function booleanAdvice(value: unknown): string {
  const text = String(value).toLowerCase();
  if (['yes', 'on', '1', 'y', 'true'].includes(text)) {
    return 'write true';
  }
  return ['no', 'off', '0', 'n', 'false'].includes(text) ? 'write false' : 'write one of them';
}

const quotedMax = 40;

/** A value as messages show it. Not for keys that hold secrets. */
export function quoted(value: unknown): string {
  if (value === undefined) {
    return 'several values';
  }
  const text = String(value);
  const short = text.length > quotedMax ? `${text.slice(0, quotedMax)}...` : text;
  return typeof value === 'string' ? JSON.stringify(short) : short;
}
