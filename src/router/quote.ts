/** A string literal that means `value` whatever standard_conforming_strings says. */
export function quoteLiteral(value: string): string {
  const quoted = value.replaceAll("'", "''");
  return value.includes('\\') ? `E'${quoted.replaceAll('\\', '\\\\')}'` : `'${quoted}'`;
}

/**
 * The names in a list setting's own text, as SplitIdentifierString reads it, or null when it is not
 * such a list. Unquoted names fold to lower case.
 */
export function splitIdentifiers(text: string): readonly string[] | null {
  const names: string[] = [];
  if (text.trim() === '') return names;
  const item = /\s*(?:"((?:[^"]|"")+)"|([^\s",]+))\s*(,|$)/y;
  for (;;) {
    const match = item.exec(text);
    if (match === null) return null;
    names.push(match[1]?.replaceAll('""', '"') ?? match[2]!.toLowerCase());
    if (match[3] === '') return names;
  }
}

/** The name of a setting as SET takes it, also where a part of it is a reserved word. */
export function quoteSettingName(name: string): string {
  return name
    .split('.')
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join('.');
}
