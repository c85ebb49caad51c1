/** A boolean in any spelling that PostgreSQL takes (parse_bool, bool.c); null: it is none. */
export function parseBool(text: string): boolean | null {
  if (/^(?:on|1|t(?:r(?:ue?)?)?|y(?:es?)?)$/i.test(text)) return true;
  return /^(?:off?|0|f(?:a(?:l(?:se?)?)?)?|no?)$/i.test(text) ? false : null;
}
