import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { sections } from '../../src/config/fields.ts';
import { consistencyLevels, lostTokenChoices, onTimeoutChoices } from '../../src/config.ts';
import { errorTemplates } from '../../src/errors.ts';
import { showReadSetting } from '../../src/session/read-policy.ts';
import { policyWith } from './session/policies.ts';

const page = readFileSync(new URL('../../docs/consistency.md', import.meta.url), 'utf8');

/** The first column of the table under a heading, without its code marks. */
function firstColumn(heading: string): string[] {
  const section = page.split(`## ${heading}\n`)[1]!.split('\n## ')[0]!;
  const rows = section.split('\n').filter((line) => line.startsWith('| `'));
  return rows.map((row) => /`([^`]+)`/.exec(row)![1]!);
}

/** The proxy's names that are no part of the policy. */
const otherNames = ['tidemark.lsn', 'tidemark.route', 'tidemark.report_lsn'];

describe('docs/consistency.md', () => {
  it('has every level, in order', () => {
    expect(firstColumn('Levels')).toEqual([...consistencyLevels]);
  });

  it('has every setting, and names no other', () => {
    const names = firstColumn('Settings');
    for (const name of names) {
      const isKnown = showReadSetting(name, policyWith()) !== null || otherNames.includes(name);
      expect(isKnown, name).toBe(true);
    }
    for (const [name] of page.matchAll(/tidemark\.(?!\/)[a-z_]+/g)) {
      expect([...names, ...otherNames], name).toContain(name);
    }
    expect(names).toHaveLength(6);
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
  });

  it('names configuration keys and SQLSTATEs that exist', () => {
    for (const [, key] of page.matchAll(/`freshness\.(\w+)/g)) {
      expect(Object.keys(sections.freshness)).toContain(key);
    }
    const known = new Set<string>(Object.values(errorTemplates).map(({ sqlstate }) => sqlstate));
    known.add('01000');
    for (const [sqlstate] of page.matchAll(/\b(?:\d{5}|\d\d[A-Z]\d\d)\b/g)) {
      expect(known, sqlstate).toContain(sqlstate);
    }
  });
});
