/** The two halves of the setting, in lower case; null: not said. */
interface DateStyle {
  readonly style: string | null;
  readonly order: string | null;
}

/** As check_datestyle (commands/variable.c) reads a word; null: neither half. */
function halfOf(word: string): Partial<DateStyle> | null {
  if (word === 'iso' || word === 'sql' || word === 'german') return { style: word };
  if (word.startsWith('postgres')) return { style: 'postgres' };
  if (word === 'ymd') return { order: 'ymd' };
  if (word === 'dmy' || word.startsWith('euro')) return { order: 'dmy' };
  if (word === 'mdy' || word.startsWith('us') || word.startsWith('noneuro')) {
    return { order: 'mdy' };
  }
  return null;
}

function parse(value: string): DateStyle | null {
  let found: DateStyle = { style: null, order: null };
  for (const word of value.toLowerCase().match(/[^\s,']+/g) ?? []) {
    const half = halfOf(word);
    if (half === null) return null;
    found = { ...found, ...half };
  }
  // A style of its own order.
  if (found.style === 'german') found = { ...found, order: found.order ?? 'dmy' };
  return found;
}

/** A value of DateStyle; `isWhole`: it does not depend on what was in force before. */
export interface DateStyleValue {
  readonly text: string;
  readonly isWhole: boolean;
}

/**
 * What is in force after SET datestyle: it keeps the half, style or order, that it does not name.
 * `before` is the value until then, null for the server's default. Null: not understood.
 */
export function dateStyleAfter(value: string, before: string | null): DateStyleValue | null {
  const named = parse(value);
  const kept = parse(before ?? '');
  if (named === null || kept === null) return null;
  const halves = [named.style ?? kept.style, named.order ?? kept.order];
  const known = halves.filter((half) => half !== null);
  return { text: known.join(', '), isWhole: known.length === halves.length };
}
