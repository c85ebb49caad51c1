import { describe, expect, it } from 'vitest';
import { ProxyError } from '../../../src/errors.ts';
import { Settings, settingFromStartup } from '../../../src/pool/settings.ts';
import { startupSettings } from '../../../src/session/startup-settings.ts';

const of = (entries: Record<string, string>) =>
  startupSettings(new Map(Object.entries(entries))).settings;
const expected = (entries: Record<string, string>) =>
  Settings.of(
    Object.entries(entries).map(([name, value]) => [
      name.toLowerCase(),
      settingFromStartup(name, value),
    ]),
  );

describe('the connection option "options"', () => {
  const accepted: readonly (readonly [string, Record<string, string>])[] = [
    ['', {}],
    ['  \t\n ', {}],
    ['-c a=1', { a: '1' }],
    ['-ca=1', { a: '1' }],
    ['--a=1', { a: '1' }],
    ['  -c\ta=1\n--b=2 -cc=3  ', { a: '1', b: '2', c: '3' }],
    ['-c a=', { a: '' }],
    ['-c a=b=c', { a: 'b=c' }],
    ['--search-path=x', { search_path: 'x' }],
    ['-c app.name=x-y', { 'app.name': 'x-y' }],
    // A backslash keeps what follows: white space, itself, anything.
    ['-c a=b\\ c', { a: 'b c' }],
    ['-c a=b\\\\c', { a: 'b\\c' }],
    ['-c a=\\b\\c', { a: 'bc' }],
    ['-c a=b\\\tc', { a: 'b\tc' }],
    // pg_split_opts drops one at the end, and knows the white space of C only.
    ['-c a=b\\', { a: 'b' }],
    ['-c a=b\u00a0c', { a: 'b\u00a0c' }],
    ['-c a=1 -c A=2', { a: '2' }],
  ];
  it.each(accepted)('%j', (options, entries) => {
    const settings = of({ options });
    for (const [name, value] of Object.entries(entries)) {
      expect(settings.get(name)?.value).toBe(value.toLowerCase());
    }
    expect(settings.key.split('\0\0').filter(Boolean)).toHaveLength(Object.keys(entries).length);
  });

  it.each(['-c', '-c a', '--a', 'a=1', '-d 5', '-', '--', '-c =1', '--=1', '-c a=1 b=2', '\\ '])(
    '%j is refused',
    (options) => {
      expect(() => of({ options })).toThrow(ProxyError);
      expect(() => of({ options })).toThrow('invalid command-line argument');
    },
  );
});

it('parameters override options, whatever their case', () => {
  const settings = of({ options: '-c datestyle=ISO', DateStyle: 'SQL', TimeZone: 'UTC' });
  expect(settings.equals(expected({ DateStyle: 'SQL', TimeZone: 'UTC' }))).toBe(true);
});
