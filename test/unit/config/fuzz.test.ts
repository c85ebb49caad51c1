import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ConfigError } from '../../../src/config/config-error.ts';
import { parseConfig } from '../../../src/config/load.ts';

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

it('any text gives a configuration or a ConfigError', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 300, unit: 'binary' }), (text) => {
      problemsOf(text);
    }),
    { numRuns: 1000 },
  );
});
