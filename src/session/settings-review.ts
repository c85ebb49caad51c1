import type { TextRow } from '../pool/ask.ts';
import {
  isCustom,
  roleName,
  type Settings,
  settingFromSet,
  settingFromStartup,
} from '../pool/settings.ts';
import { quoteLiteral } from '../quote.ts';

/** What pg_settings shows for no role. */
const noRole = 'none';

/**
 * What the session has set on a server, by name and value as set_config() takes it. The settings
 * that no library has declared are not among them, and those of the transaction are of no interest.
 */
export const settingsQuestion = `
  SELECT name, setting FROM pg_catalog.pg_settings
  WHERE source OPERATOR(pg_catalog.=) 'session' AND name OPERATOR(pg_catalog.!~) '^transaction_'
  UNION ALL
  SELECT '${roleName}', pg_catalog.current_setting('${roleName}')`;

/**
 * The settings with what code has made of them, as told by the answer to the question. `base`: what
 * RESET goes back to, which no answer takes away.
 */
export function settingsWith(
  settings: Settings,
  base: Settings,
  rows: readonly TextRow[],
): Settings {
  let found = settings;
  const told = new Set<string>();
  for (const [name, value] of rows) {
    if (name == null || value == null) continue;
    const key = name.toLowerCase();
    told.add(key);
    if (settings.get(key)?.value === value.toLowerCase()) continue;
    if (key !== roleName) found = found.with(key, settingFromStartup(name, value));
    else if (value === noRole) found = found.without(roleName);
    else found = found.with(roleName, settingFromSet(roleName, quoteLiteral(value)));
  }
  for (const name of settings.names) {
    const isReset = !told.has(name) && !isCustom(name) && base.get(name) === undefined;
    if (isReset) found = found.without(name);
  }
  return found;
}
