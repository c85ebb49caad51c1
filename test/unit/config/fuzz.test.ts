import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ConfigError } from '../../../src/config/config-error.ts';
import { parseConfig } from '../../../src/config/load.ts';
import { readDefaultsFor } from '../../../src/config.ts';

const valid = `listen: 127.0.0.1:6432
http: off
nodes:
  - url: postgres://app:geheim@db1:5432/app
    name: one
  - url: postgres://app:geheim@db2:5432/app
auth: scram-sha-256
users:
  - name: web
    password: "geheim"
    server_password: geheim
pool: { size: 20, wait_timeout_ms: 10000 }
freshness:
  consistency: session
  max_staleness_ms: 5000
  on_timeout: error
  fallback_reads_max: 0
  databases:
    reporting: { consistency: bounded, max_staleness_ms: 60000 }
    "app two":
      on_timeout: primary
  users:
    web:
      consistency: strong
      wait_timeout_ms: 250
log: { level: info, statements: false }
`;

/** The valid text with one character (or none) replaced by something else. */
const damaged = fc
  .record({
    at: fc.nat({ max: valid.length }),
    length: fc.nat({ max: 1 }),
    insert: fc.oneof(
      fc.constantFrom(
        '',
        ' ',
        '\n',
        '\t',
        ':',
        '"',
        "'",
        '{',
        '[',
        '-',
        '*',
        '&',
        '!',
        '@',
        '#',
        '?',
        '%',
        '/',
        '\0',
      ),
      fc.string({ maxLength: 3 }),
    ),
  })
  .map(({ at, length, insert }) => valid.slice(0, at) + insert + valid.slice(at + length));

function problemsOf(text: string): string {
  try {
    parseConfig(text, 'config.yaml', {});
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).problems.length).toBeGreaterThan(0);
    for (const { line } of (error as ConfigError).problems) {
      expect(line).toBeGreaterThanOrEqual(1);
      expect(line).toBeLessThanOrEqual(text.split('\n').length);
    }
    return (error as ConfigError).message;
  }
  return '';
}

it('is what the damage is done to', () => {
  expect(problemsOf(valid)).toBe('');
});

it('a slip of a finger gives a configuration or a ConfigError that shows no password', () => {
  fc.assert(
    fc.property(damaged, (text) => {
      expect(problemsOf(text)).not.toMatch(/ge?he?i?m|hei/);
    }),
    { numRuns: 2000 },
  );
});

it('overrides under any name say what the file says', () => {
  const level = fc.constantFrom('eventual', 'bounded', 'session', 'global', 'strong');
  const override = fc.record(
    {
      consistency: level,
      max_staleness_ms: fc.integer({ min: 1, max: 86_400_000 }),
      wait_timeout_ms: fc.nat({ max: 86_400_000 }),
      on_timeout: fc.constantFrom('primary', 'error'),
    },
    { requiredKeys: ['consistency'], noNullPrototype: true },
  );
  const name = fc.oneof(
    fc.constantFrom('__proto__', 'constructor', 'toString', 'true', '1', 'null', '<<', '~'),
    fc.string({ minLength: 1, maxLength: 20 }),
  );
  const tables = fc.uniqueArray(fc.tuple(name, override), {
    minLength: 1,
    maxLength: 5,
    selector: ([own]) => own,
  });
  fc.assert(
    fc.property(tables, (entries) => {
      const lines = entries.map(
        ([own, values]) => `    ${JSON.stringify(own)}: ${JSON.stringify(values)}`,
      );
      const config = parseConfig(
        `embedded: {}\nfreshness:\n  databases:\n${lines.join('\n')}\n  users:\n${lines.join('\n')}\n`,
        'config.yaml',
      );
      for (const table of [config.freshness.databases, config.freshness.users]) {
        expect(Object.keys(table).toSorted()).toEqual(entries.map(([own]) => own).toSorted());
      }
      for (const [own, values] of entries) {
        const defaults = readDefaultsFor(config.freshness, {
          database: own,
          user: 'nobody at all',
        });
        expect(defaults).toEqual({
          consistency: values.consistency,
          maxStalenessMs: values.max_staleness_ms ?? config.freshness.maxStalenessMs,
          waitTimeoutMs: values.wait_timeout_ms ?? config.freshness.waitTimeoutMs,
          onTimeout: values.on_timeout ?? config.freshness.onTimeout,
        });
      }
    }),
    { numRuns: 300 },
  );
});

it('values of any kind in an override give a configuration or a ConfigError', () => {
  const value = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom('5s', '60 s', 'strong', 'error', '*a', '1e3'),
  );
  const key = fc.constantFrom('consistency', 'max_staleness_ms', 'wait_timeout', 'on_timeout', 'x');
  const inner = fc.oneof(value, fc.dictionary(key, value, { maxKeys: 4 }));
  const table = fc.oneof(value, fc.dictionary(fc.string({ maxLength: 5 }), inner, { maxKeys: 3 }));
  fc.assert(
    fc.property(table, table, (databases, users) => {
      problemsOf(`embedded: {}\nfreshness: ${JSON.stringify({ databases, users })}\n`);
    }),
    { numRuns: 1000 },
  );
});

it('any text gives a configuration or a ConfigError', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 300, unit: 'binary' }), (text) => {
      problemsOf(text);
    }),
    { numRuns: 1000 },
  );
});
