import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { sections } from '../../src/config/fields.ts';
import { consistencyLevels, lostTokenChoices, onTimeoutChoices } from '../../src/config.ts';
import { type ErrorName, errorTemplates } from '../../src/errors.ts';
import { showReadSetting } from '../../src/session/read-policy.ts';
import { policyWith } from './session/policies.ts';

const read = (name: string) => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
const page = read('consistency.md');

/** The first column of the table under a heading, without its code marks. */
function firstColumn(heading: string): string[] {
  const section = page.split(`## ${heading}\n`)[1]!.split('\n## ')[0]!;
  const rows = section.split('\n').filter((line) => line.startsWith('| `'));
  return rows.map((row) => /`([^`]+)`/.exec(row)![1]!);
}

/** `maxStalenessMs` is the setting `tidemark.max_staleness`. */
const settingOf = (key: string) =>
  `tidemark.${key.replace(/Ms$/, '').replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`;
const policySettings = Object.keys(policyWith())
  .filter((key) => key !== 'budget')
  .map(settingOf);
const startupSettings = ['tidemark.report_lsn'];
const readOnlySettings = ['tidemark.lsn', 'tidemark.route'];

/** What a client can be told because of its level, its token, or its settings. */
const errorsOfReads: readonly ErrorName[] = [
  'fallbackLimit',
  'invalidSetting',
  'noSample',
  'notFreshHere',
  'notFreshInTime',
  'readOnlySetting',
  'reservedSetting',
  'tokenAhead',
  'tokenLost',
  'tokenOfOtherSystem',
  'tokenOfUnknownTimeline',
  'unknownSetting',
];
/** Of warnings; they are no errors of the table. */
const warningStates = ['01000'];

describe('docs/consistency.md', () => {
  it('has every level, in order', () => {
    expect(firstColumn('Levels')).toEqual([...consistencyLevels]);
  });

  it('has every setting, and names no other', () => {
    for (const name of policySettings) expect(showReadSetting(name, policyWith())).not.toBeNull();
    const listed = [...policySettings, ...startupSettings];
    expect(firstColumn('Settings').sort()).toEqual(listed.sort());
    const named = new Set(Array.from(page.matchAll(/tidemark\.(?!\/)[a-z_]+/g), ([name]) => name));
    expect([...named].sort()).toEqual([...listed, ...readOnlySettings].sort());
    for (const value of [...onTimeoutChoices, ...lostTokenChoices]) expect(page).toContain(value);
  });

  it('says the defaults', () => {
    const { freshness } = sections;
    const row = (name: string) =>
      page.split('\n').find((line) => line.startsWith(`| \`tidemark.${name}\``))!;
    expect(row('consistency')).toContain(`| \`${freshness.consistency.default}\` |`);
    expect(row('on_timeout')).toContain(`| \`${freshness.on_timeout.default}\` |`);
    expect(row('max_staleness')).toContain(`| \`${freshness.max_staleness_ms.default / 1000}s\` |`);
    expect(row('wait_timeout')).toContain(`| \`${freshness.wait_timeout_ms.default}ms\` |`);
    expect(page).toContain(`\`lost_token: ${freshness.lost_token.default}\`, the default`);
    expect(page).toContain(
      `\`freshness.sample_interval_ms\` (${freshness.sample_interval_ms.default} ms)`,
    );
  });

  it('names every key of the configuration that has to do with it, and no other', () => {
    const named = new Set(Array.from(page.matchAll(/`freshness\.(\w+)/g), ([, key]) => key!));
    const keys = Object.keys(sections.freshness);
    for (const key of named) expect(keys).toContain(key);
    const bySetting = policySettings.map((name) => name.replace('tidemark.', ''));
    const others = keys.filter((key) => !bySetting.includes(key.replace(/_ms$/, '')));
    expect([...named].sort()).toEqual(others.sort());
  });

  it('names every SQLSTATE that has to do with it, and no other', () => {
    const states = errorsOfReads.map((name) => errorTemplates[name].sqlstate);
    const expected = new Set<string>([...states, ...warningStates]);
    const named = new Set(
      Array.from(page.matchAll(/\b(?:\d{5}|\d\d[A-Z]\d\d)\b/g), ([sqlstate]) => sqlstate),
    );
    expect([...named].sort()).toEqual([...expected].sort());
  });

  it('names metrics that exist', () => {
    const metrics = read('metrics.md');
    for (const [name] of page.matchAll(/tidemark_\w+/g)) expect(metrics).toContain(`\`${name}\``);
  });
});
