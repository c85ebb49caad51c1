import { afterReset, roleName, type Setting, type Settings } from '../pool/settings.ts';
import type { Effect } from '../router/statement.ts';

/**
 * RESET goes back to what the startup packet asked for, which the pooled server connection was not
 * given at its start: these settings are to be made again right behind it.
 */
export interface BackToBase {
  readonly settings: readonly (readonly [name: string, setting: Setting])[];
  /** One statement for each of them. */
  readonly statements: readonly string[];
  /** SET LOCAL ... TO DEFAULT: for the rest of the transaction. */
  readonly local: boolean;
}

/** What is to be set again behind a statement with this effect; null: nothing. */
export function backToBase(effect: Effect | null, base: Settings): BackToBase | null {
  const names = effect === null ? [] : [...namesReset(effect, base)];
  if (names.length === 0) return null;
  const local = effect?.kind === 'reset' && effect.local;
  const settings = names.map((name) => [name, base.get(name)!] as const);
  const statements = settings.map(([name, setting]) => afterReset(name, setting, local));
  return { settings, statements, local };
}

function namesReset(effect: Effect, base: Settings): Iterable<string> {
  if (effect.kind === 'reset') return base.get(effect.name) === undefined ? [] : [effect.name];
  // RESET ALL leaves the role alone (GUC_NO_RESET_ALL in guc_tables.c). DISCARD ALL commits, which
  // what stands behind it would not.
  if (effect.kind !== 'reset-all') return [];
  return [...base.names].filter((name) => name !== roleName);
}
