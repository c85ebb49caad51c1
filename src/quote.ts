/** A string literal that means `value` whatever standard_conforming_strings says. */
export function quoteLiteral(value: string): string {
  const quoted = value.replaceAll("'", "''");
  return value.includes('\\') ? `E'${quoted.replaceAll('\\', '\\\\')}'` : `'${quoted}'`;
}

/** A name as it is, also where it would be folded or is a reserved word. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** The name of a setting as SET takes it: in two parts, or a reserved word, all the same. */
export function quoteSettingName(name: string): string {
  return name.split('.').map(quoteName).join('.');
}
