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
