/**
 * The lexical rules of PostgreSQL (src/backend/parser/scan.l) that tell where a token ends. Offsets
 * are into `sql`, of which bytes from `end` on do not count; `end + 1` means: not closed.
 */

export const NEWLINE = 0x0a;
export const RETURN = 0x0d;
export const SPACE = 0x20;
export const DOUBLE_QUOTE = 0x22;
export const DOLLAR = 0x24;
export const AMPERSAND = 0x26;
export const QUOTE = 0x27;
export const STAR = 0x2a;
export const PLUS = 0x2b;
export const COMMA = 0x2c;
export const MINUS = 0x2d;
export const DOT = 0x2e;
export const SLASH = 0x2f;
export const ZERO = 0x30;
export const COLON = 0x3a;
export const SEMICOLON = 0x3b;
export const BACKSLASH = 0x5c;
export const UNDERSCORE = 0x5f;
/** Turns an ASCII capital into its small letter. */
export const LOWER = 0x20;
export const LETTER_A = 0x61;
export const LETTER_B = 0x62;
export const LETTER_E = 0x65;
export const LETTER_F = 0x66;
export const LETTER_N = 0x6e;
export const LETTER_O = 0x6f;
export const LETTER_U = 0x75;
export const LETTER_X = 0x78;
export const LETTER_Z = 0x7a;

/** Classes of bytes. An operator, a bracket, a byte that stands for itself. */
export const SIGN = 0;
export const WORD = 1;
export const BLANK = 2;
export const DIGIT = 3;
/** Has a rule of its own: quotes, dollar, minus, slash, dot, semicolon. */
export const SPECIAL = 4;
/** No part of SQL outside quotes. */
export const CONTROL = 5;

export const CLASS = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) {
  const small = byte | LOWER;
  if (byte < SPACE || byte === 0x7f) CLASS[byte] = CONTROL;
  if (byte >= 0x80 || byte === UNDERSCORE) CLASS[byte] = WORD;
  if (byte < 0x80 && small >= LETTER_A && small <= LETTER_Z) CLASS[byte] = WORD;
  if (byte >= ZERO && byte <= 0x39) CLASS[byte] = DIGIT;
}
for (const byte of [SPACE, 0x09, NEWLINE, 0x0b, 0x0c, RETURN]) CLASS[byte] = BLANK;
for (const byte of [DOUBLE_QUOTE, DOLLAR, QUOTE, MINUS, DOT, SLASH, SEMICOLON]) {
  CLASS[byte] = SPECIAL;
}

/** 1: it may stand in a word behind the first byte. */
export const CONTINUES_WORD = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) {
  const isPart = CLASS[byte] === WORD || CLASS[byte] === DIGIT || byte === DOLLAR;
  CONTINUES_WORD[byte] = isPart ? 1 : 0;
}

export type EndOfString = (sql: Uint8Array, from: number, end: number) => number;

/** '...' from after its quote: two quotes are one. */
export function stringEnd(sql: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end) {
    if (sql[at] !== QUOTE) at++;
    else if (at + 1 < end && sql[at + 1] === QUOTE) at += 2;
    else return at + 1;
  }
  return end + 1;
}

/** E'...' from after its quote. */
export function escapedStringEnd(sql: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end) {
    if (sql[at] === BACKSLASH) at += 2;
    else if (sql[at] !== QUOTE) at++;
    else if (at + 1 < end && sql[at + 1] === QUOTE) at += 2;
    else return at + 1;
  }
  return end + 1;
}

/** B'...' and X'...' know no doubled quote: the second one begins another string. */
export function bitStringEnd(sql: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end) if (sql[at++] === QUOTE) return at;
  return end + 1;
}

/** The quote that continues a string, after white space with a newline in it (quotecontinue); or 0. */
export function continuation(sql: Uint8Array, from: number, end: number): number {
  let newline = false;
  let at = from;
  while (at < end) {
    const byte = sql[at]!;
    if (CLASS[byte] === BLANK) {
      newline = newline || byte === NEWLINE || byte === RETURN;
      at++;
    } else if (byte === MINUS && at + 1 < end && sql[at + 1] === MINUS) {
      at = lineEnd(sql, at, end);
    } else return newline && byte === QUOTE ? at : 0;
  }
  return 0;
}

export function lineEnd(sql: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && sql[at] !== NEWLINE && sql[at] !== RETURN) at++;
  return at;
}

/** The comment that begins at `from`; comments nest. */
export function blockCommentEnd(sql: Uint8Array, from: number, end: number): number {
  let depth = 1;
  let at = from + 2;
  while (at + 1 < end) {
    if (sql[at] === STAR && sql[at + 1] === SLASH) {
      at += 2;
      if (--depth === 0) return at;
    } else if (sql[at] === SLASH && sql[at + 1] === STAR) {
      at += 2;
      depth++;
    } else at++;
  }
  return end + 1;
}

/** Integers with a base or separators, decimals, exponents. Letters may follow: they are a name. */
export function numberEnd(sql: Uint8Array, from: number, end: number): number {
  let at = from;
  const base = at + 1 < end && sql[at] === ZERO ? sql[at + 1]! | LOWER : 0;
  if (base === LETTER_X || base === LETTER_O || base === LETTER_B) {
    at += 2;
    while (at < end && isHexadecimal(sql[at]!)) at++;
    return at;
  }
  at = digitsEnd(sql, at, end);
  // `1..2` is the two dots of PL/pgSQL, not a decimal point.
  if (at < end && sql[at] === DOT && !(at + 1 < end && sql[at + 1] === DOT)) {
    at = digitsEnd(sql, at + 1, end);
  }
  if (at < end && (sql[at]! | LOWER) === LETTER_E) {
    let exponent = at + 1;
    if (exponent < end && (sql[exponent] === PLUS || sql[exponent] === MINUS)) exponent++;
    if (exponent < end && CLASS[sql[exponent]!] === DIGIT) at = digitsEnd(sql, exponent, end);
  }
  return at;
}

/** Digits alone, as after the dollar of a parameter. */
export function parameterEnd(sql: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && CLASS[sql[at]!] === DIGIT) at++;
  return at;
}

function digitsEnd(sql: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && (CLASS[sql[at]!] === DIGIT || sql[at] === UNDERSCORE)) at++;
  return at;
}

function isHexadecimal(byte: number): boolean {
  const small = byte | LOWER;
  return CLASS[byte] === DIGIT || byte === UNDERSCORE || (small >= LETTER_A && small <= LETTER_F);
}

/** $$...$$ or $tag$...$tag$ from its first dollar; 0 when no such string begins there. */
export function dollarStringEnd(sql: Uint8Array, from: number, end: number): number {
  let at = from + 1;
  if (at < end && CLASS[sql[at]!] === WORD) {
    do at++;
    while (at < end && (CLASS[sql[at]!] === WORD || CLASS[sql[at]!] === DIGIT));
  }
  if (at >= end || sql[at] !== DOLLAR) return 0;
  const tagLength = at + 1 - from;
  for (let close = at + 1; close + tagLength <= end; close++) {
    if (sql[close] === DOLLAR && sameBytes(sql, from, close, tagLength)) return close + tagLength;
  }
  return end + 1;
}

function sameBytes(sql: Uint8Array, left: number, right: number, length: number): boolean {
  for (let offset = 1; offset < length; offset++) {
    if (sql[left + offset] !== sql[right + offset]) return false;
  }
  return true;
}
