import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProxyError } from '../../../src/errors.ts';
import type { Hint } from '../../../src/router/statement.ts';
import {
  changeByHint,
  changed,
  initialOf,
  parseReadSetting,
  showReadSetting,
  textOfValue,
} from '../../../src/session/read-policy.ts';
import { policyWith } from './policies.ts';

const valid: readonly (readonly [string, string, string])[] = [
  ['consistency', 'strong', 'strong'],
  ['consistency', 'Eventual', 'eventual'],
  ['consistency', 'global', 'global'],
  ['max_staleness', '500', '500ms'],
  ['max_staleness', '90 s', '90s'],
  ['wait_timeout', '0', '0'],
  ['wait_timeout', '1min', '1min'],
  ['on_timeout', 'ERROR', 'error'],
  ['target', 'Replica', 'replica'],
  ['min_lsn', ' 16/B374D848 ', '16/B374D848'],
  ['min_lsn', '7710356922715825189/2/0/601C958', '7710356922715825189/2/0/601C958'],
  ['min_lsn', '', ''],
];

describe('a setting', () => {
  it.each(valid)('%s takes %j', (name, text, shown) => {
    const change = parseReadSetting(`tidemark.${name}`, text);
    if (change instanceof ProxyError) throw change;
    const policy = changed(policyWith(), change);
    expect(showReadSetting(`tidemark.${name}`, policy)).toBe(shown);
    const back = changed(policy, initialOf(`tidemark.${name}`, policyWith())!);
    expect(back).toEqual(policyWith());
  });

  it.each([
    ['consistency', 'linearizable'],
    ['consistency', ''],
    ['max_staleness', '0'],
    ['max_staleness', '2d'],
    ['max_staleness', '5 seconds'],
    ['wait_timeout', '-1'],
    ['on_timeout', 'wait'],
    ['target', 'standby'],
    ['min_lsn', '0/0'],
    ['min_lsn', 'x/1/0/1'],
    ['min_lsn', '1/0/0/1'],
  ])('%s does not take %j', (name, text) => {
    const refusal = parseReadSetting(`tidemark.${name}`, text);
    expect(refusal).toMatchObject({ sqlstate: '22023' });
    expect((refusal as ProxyError).hint).not.toBe('');
  });

  it.each(['tidemark.lag', 'tidemark.', 'tidemark.constructor', 'tidemark.__proto__'])(
    '%s is not known',
    (name) => {
      expect(parseReadSetting(name, 'x')).toMatchObject({ sqlstate: '42602' });
      expect(showReadSetting(name, policyWith())).toBeNull();
      expect(initialOf(name, policyWith())).toBeNull();
    },
  );

  it('takes no text badly', () => {
    const names = fc.constantFrom(...new Set(valid.map(([name]) => name)));
    fc.assert(
      fc.property(names, fc.string(), (name, text) => {
        const change = parseReadSetting(`tidemark.${name}`, text);
        if (!(change instanceof ProxyError)) changed(policyWith(), change);
      }),
    );
  });

  it('has a budget of its own where its limit is another', () => {
    const policy = policyWith();
    expect(changed(policy, { consistency: 'bounded' }).budget).toBe(policy.budget);
    const other = changed(policy, { maxStalenessMs: 7 });
    expect(other.budget).not.toBe(policy.budget);
    expect(other.budget.maxStalenessMs).toBe(7);
  });
});

it.each([
  ["'strong'", 'strong'],
  [' strong ', 'strong'],
  ["'it''s'", "it's"],
  ['100', '100'],
  ["''", ''],
])('the value of SET ... TO %s is %j', (value, text) => {
  expect(textOfValue(value)).toBe(text);
});

describe('a hint', () => {
  const hint = (entries: Record<string, string>): Hint => ({
    target: null,
    settings: new Map(Object.entries(entries)),
    unknown: [],
  });

  it('changes what it names, with or without the prefix', () => {
    const given = hint({ consistency: 'bounded', 'tidemark.max_staleness': '2s' });
    expect(changeByHint(given)).toEqual({ consistency: 'bounded', maxStalenessMs: 2_000 });
    expect(changeByHint(given)).toBe(changeByHint(given));
  });

  it('is refused when it says what nobody understands', () => {
    expect(changeByHint(hint({ consistency: 'storng' }))).toMatchObject({ sqlstate: '22023' });
    expect(changeByHint(hint({ consistancy: 'strong' }))).toMatchObject({ sqlstate: '42602' });
  });
});
