import type { FreshnessConfig, ReadDefaults } from '../config.ts';
import { overrideFields, overrideTables, sections } from './fields.ts';
import type { Entry, Source } from './source.ts';
import { nearest } from './suggest.ts';
import { readGiven, sectionDefaults } from './values.ts';

interface Surroundings {
  /** Everybody who can log in; null where that cannot be told from the file. */
  readonly users: readonly string[] | null;
  /** Says where a key belongs that is not at home `here`. */
  readonly elsewhere: (key: string, here: string) => string | undefined;
}

/** Reads `freshness:`, with what differs by database and by user. */
export function readFreshness(
  source: Source,
  entry: Entry | undefined,
  { users, elsewhere }: Surroundings,
): FreshnessConfig {
  const fields = sections.freshness;
  const known = [...Object.keys(fields), ...overrideTables];
  const entries = source.entries(entry?.value ?? null, 'freshness', known, (key) =>
    elsewhere(key, 'freshness'),
  );
  const readTable = (table: (typeof overrideTables)[number], names: readonly string[] | null) =>
    readOverrides(source, entries?.get(table), `freshness.${table}`, { names, elsewhere });
  return {
    ...sectionDefaults(fields),
    ...readGiven(source, entries, 'freshness', fields),
    databases: readTable('databases', null),
    users: readTable('users', users),
  };
}

const example = 'max_staleness_ms: 60000';

/** @param names those that can have an effect; null: any */
function readOverrides(
  source: Source,
  entry: Entry | undefined,
  path: string,
  { names, elsewhere }: { names: readonly string[] | null; elsewhere: Surroundings['elsewhere'] },
): Record<string, Partial<ReadDefaults>> {
  const keys = Object.keys(overrideFields);
  const overrides: [string, Partial<ReadDefaults>][] = [];
  for (const item of source.named(entry, path, `app: { ${example} }`)) {
    const entries = source.entries(item.value, item.path, keys, (key) => elsewhere(key, path));
    const given = readGiven(source, entries, item.path, overrideFields);
    if (Object.keys(given).length === 0 && !source.hasProblemIn(item.path)) {
      source.report(
        item.value ?? item.key,
        `${item.path}: nothing here: write for example ${example}, or remove the name`,
      );
    }
    if (names !== null && !names.includes(item.name)) {
      const near = nearest(item.name, names);
      const advice = near === null ? 'add it under users:' : `did you mean ${near}?`;
      source.report(item.key, `${item.path}: no user of this name can log in: ${advice}`);
    }
    overrides.push([item.name, given]);
  }
  // Not by assignment: a database may be called __proto__.
  return Object.fromEntries(overrides);
}
