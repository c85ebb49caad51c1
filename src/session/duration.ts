/** Milliseconds in each unit that PostgreSQL takes for a time (time_unit_conversion_table, guc.c). */
const unitMs: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const units = Object.keys(unitMs).reverse();

const durationPattern =
  /^\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*(us|ms|s|min|h|d)?\s*$/;

/**
 * Reads a time as PostgreSQL reads a setting in milliseconds (parse_int with GUC_UNIT_MS): `500`,
 * `'500ms'`, `'1.5 s'`. Rounds to whole milliseconds. Null: not a time.
 */
export function parseDuration(text: string): number | null {
  const match = durationPattern.exec(text);
  if (match === null) return null;
  const ms = Math.round(Number(match[1]) * unitMs[match[2] ?? 'ms']!);
  return Number.isSafeInteger(ms) ? ms : null;
}

/** As SHOW prints it: in the largest unit that leaves a whole number (ShowGUCOption, guc.c). */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0';
  const unit = units.find((name) => ms % unitMs[name]! === 0) ?? 'ms';
  return `${ms / unitMs[unit]!}${unit}`;
}
