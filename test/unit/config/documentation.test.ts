import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import {
  authField,
  defaultHttp,
  defaultListen,
  type Field,
  nodeKeys,
  overrideFields,
  overrideTables,
  sections,
  topLevelKeys,
  userKeys,
  workersField,
} from '../../../src/config/fields.ts';
import { loadConfig, parseConfig } from '../../../src/config/load.ts';
import { type Consistency, consistencyLevels } from '../../../src/config.ts';

const root = new URL('../../../', import.meta.url);
const text = readFileSync(new URL('docs/configuration.md', root), 'utf8');

/** The cells of the table row of each key. */
const rows = new Map(
  [...text.matchAll(/^\| `([\w.[\]<>]+)` \|(.*)\|$/gm)].map((match) => [
    match[1]!,
    match[2]!.split('|').map((cell) => cell.trim()),
  ]),
);

const fields = Object.entries(sections).flatMap(([section, keys]) =>
  Object.entries<Field>(keys).map(([key, field]): [string, Field] => [`${section}.${key}`, field]),
);

function rangeOf(field: Field): string {
  switch (field.kind) {
    case 'integer':
      return `${field.min} to ${field.max}`;
    case 'choice':
      return field.values.join(', ');
    case 'boolean':
      return 'true, false';
    case 'text':
      return 'a path';
  }
}

describe('docs/configuration.md', () => {
  it.each(fields)('has %s with its range and default', (key, field) => {
    expect(rows.get(key)?.slice(1)).toEqual([rangeOf(field), `\`${field.default}\``]);
  });

  it('has the keys of nodes and users', () => {
    for (const key of [
      ...nodeKeys.map((name) => `nodes[].${name}`),
      ...userKeys.map((name) => `users[].${name}`),
    ]) {
      expect([...rows.keys()]).toContain(key);
    }
  });

  it('has the other keys with their defaults', () => {
    expect(rows.get('listen')?.at(-1)).toBe(`\`${defaultListen}\``);
    expect(rows.get('http')?.at(-1)).toBe(`\`${defaultHttp}\``);
    expect(rows.get('auth')?.at(-1)).toBe(`\`${authField.default}\``);
    expect(rows.get('workers')?.slice(1)).toEqual([
      `${rangeOf(workersField)}, or auto`,
      `\`${workersField.default}\``,
    ]);
    for (const key of topLevelKeys) {
      expect(rows.has(key) || text.includes(`## ${key}\n`)).toBe(true);
    }
  });

  it.each(overrideTables)('has %s with the keys that may differ there', (table) => {
    const meaning = rows.get(`freshness.${table}.<name>`)![0]!;
    const named = [...meaning.matchAll(/`(\w+)`/g)].map((match) => match[1]);
    expect(named).toEqual(Object.keys(overrideFields));
  });

  it('says of every level what it promises, the least first', () => {
    const levels = [...rows.keys()].filter((key) => consistencyLevels.includes(key as Consistency));
    expect(levels).toEqual(consistencyLevels);
  });

  it('has no key that does not exist', () => {
    const known = new Set<string>([
      'listen',
      'http',
      'auth',
      'workers',
      'users',
      ...consistencyLevels,
      ...overrideTables.map((table) => `freshness.${table}.<name>`),
      ...fields.map(([key]) => key),
      ...nodeKeys.map((name) => `nodes[].${name}`),
      ...userKeys.map((name) => `users[].${name}`),
    ]);
    expect([...rows.keys()].filter((key) => !known.has(key))).toEqual([]);
  });

  it('shows a file that is valid, and what differs by database and user in it', () => {
    const [file, differing] = [...text.matchAll(/```yaml\n([^`]*)```/g)].map((match) => match[1]!);
    expect(parseConfig(file!, 'config.yaml').nodes).toHaveLength(2);
    const { freshness } = parseConfig(file! + differing!, 'config.yaml', {
      BILLING_PASSWORD: 'password',
    });
    expect(freshness.databases.reporting).toEqual({
      consistency: 'bounded',
      maxStalenessMs: 60_000,
      onTimeout: 'error',
    });
    expect(Object.keys(freshness.users)).toEqual(['billing']);
  });
});

describe('the shipped config.yaml', () => {
  const path = fileURLToPath(new URL('config.yaml', root));

  it('is valid and asks for a primary and two replicas', () => {
    expect(loadConfig(path).embedded?.replicas).toBe(2);
  });

  it('writes nothing but defaults', () => {
    const { embedded, ...shipped } = loadConfig(path);
    const { embedded: embeddedByDefault, ...byDefault } = parseConfig('embedded: {}', path);
    expect(shipped).toEqual(byDefault);
    expect(embedded).toEqual(embeddedByDefault);
  });

  it('stays valid with its comments turned into settings', () => {
    const own = readFileSync(path, 'utf8')
      .replace(/^embedded:\n( .*\n)*/m, '')
      .replaceAll(/^# ((nodes|users):| {2,}(- )?\w+:.*)/gm, '$1')
      .replaceAll(/^ {2}# (databases:| {2}reporting:)/gm, '  $1');
    const config = parseConfig(own, path, { APP_PASSWORD: 'password' });
    expect(config.nodes).toHaveLength(2);
    expect(config.users.map(({ name }) => name)).toEqual(['app']);
    expect(Object.keys(config.freshness.databases)).toEqual(['reporting']);
  });
});
