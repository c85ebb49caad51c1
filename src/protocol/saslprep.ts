import {
  leftToRight,
  mappedToNothing,
  nonAsciiSpaces,
  prohibited,
  rightToLeft,
} from './saslprep-tables.ts';

/** Is the code point in one of the ranges? Binary search. */
function isIn(table: readonly number[], code: number): boolean {
  let low = 0;
  let high = table.length / 2 - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (code < (table[2 * middle] as number)) high = middle - 1;
    else if (code > (table[2 * middle + 1] as number)) low = middle + 1;
    else return true;
  }
  return false;
}

function isBidirectionallySound(codes: readonly number[]): boolean {
  if (!codes.some((code) => isIn(rightToLeft, code))) return true;
  if (codes.some((code) => isIn(leftToRight, code))) return false;
  return isIn(rightToLeft, codes[0] as number) && isIn(rightToLeft, codes.at(-1) as number);
}

/**
 * Password in the canonical form of SASLprep (RFC 4013), as pg_saslprep (saslprep.c) makes it:
 * ASCII stays as it is, and a password that SASLprep prohibits is used unchanged, because
 * PostgreSQL and libpq do the same. The checks see the text before normalization, also as there.
 */
export function saslPrep(password: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is meant.
  if (/^[\x00-\x7f]*$/.test(password)) return password;
  const codes: number[] = [];
  for (const character of password) {
    const code = character.codePointAt(0) as number;
    if (isIn(nonAsciiSpaces, code)) codes.push(0x20);
    else if (!isIn(mappedToNothing, code)) codes.push(code);
  }
  if (codes.length === 0) return password;
  if (codes.some((code) => isIn(prohibited, code))) return password;
  if (!isBidirectionallySound(codes)) return password;
  return codes
    .map((code) => String.fromCodePoint(code))
    .join('')
    .normalize('NFKC');
}
