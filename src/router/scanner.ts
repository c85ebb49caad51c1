/**
 * Walks SQL text once, by PostgreSQL's lexical rules (src/backend/parser/scan.l), and leaves its
 * literal-free form in a buffer: literals become one control byte each, comments and white space
 * one space. It allocates nothing, because it runs for every statement, also those seen before.
 *
 * Two texts of the same literal-free form differ in literals only (and in how many literals stand in
 * a row between commas), so they have the same grammar tree but for constants.
 */

/** Longer texts are not parsed on the event loop: 64 KiB of dense SQL takes libpg-query 8 to 15 ms. */
export const TEXT_BYTES_MAX = 64 * 1024;

/** Stands for a numeric literal. Control bytes are no SQL outside quotes, so nothing collides. */
const NUMBER = 0x01;
/** Stands for a string literal of any quoting. */
const STRING = 0x02;
/** Stands for what no PostgreSQL lexer accepts: stray control bytes, unterminated quotes. */
const GARBAGE = 0x03;
/** Stands for $1: no class depends on the number. */
const PARAMETER = 0x04;

const SPACE = 0x20;
const DOUBLE_QUOTE = 0x22;
const DOLLAR = 0x24;
const AMPERSAND = 0x26;
const QUOTE = 0x27;
const STAR = 0x2a;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DOT = 0x2e;
const SLASH = 0x2f;
const ZERO = 0x30;
const COLON = 0x3a;
const SEMICOLON = 0x3b;
const BACKSLASH = 0x5c;
const UNDERSCORE = 0x5f;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
/** Turns an ASCII capital into its small letter. */
const LOWER = 0x20;
const LETTER_B = 0x62;
const LETTER_E = 0x65;
const LETTER_N = 0x6e;
const LETTER_O = 0x6f;
const LETTER_U = 0x75;
const LETTER_X = 0x78;

/** 0: a byte that stands for itself. */
const BLANK = 1;
const WORD = 2;
const DIGIT = 3;
/** Has a rule of its own: quotes, dollar, minus, slash, dot, comma, semicolon. */
const SPECIAL = 4;
const CONTROL = 5;

const CLASS = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) {
  if (byte < SPACE || byte === 0x7f) CLASS[byte] = CONTROL;
  if (byte >= 0x80 || byte === UNDERSCORE) CLASS[byte] = WORD;
  if ((byte | LOWER) >= 0x61 && (byte | LOWER) <= 0x7a) CLASS[byte] = WORD;
  if (byte >= ZERO && byte <= 0x39) CLASS[byte] = DIGIT;
}
for (const byte of [SPACE, 0x09, NEWLINE, 0x0b, 0x0c, RETURN]) CLASS[byte] = BLANK;
for (const byte of [DOUBLE_QUOTE, DOLLAR, QUOTE, COMMA, MINUS, DOT, SLASH, SEMICOLON]) {
  CLASS[byte] = SPECIAL;
}

/** Of the form of a longer text no more is kept. Looking for words in so much takes some 10 ms. */
export const FORM_BYTES_MAX = 1024 * 1024;

/** A form is never longer than its text, but for the byte that marks an unterminated quote. */
const SLACK_BYTES = 8;
const usualOut = Buffer.allocUnsafe(TEXT_BYTES_MAX + SLACK_BYTES);
/** Where the form is written. Stores beyond its end are dropped, as typed arrays do. */
let out = usualOut;

/** What the last scan found. Valid until the next one. */
export const scanned = {
  /** Bytes of the literal-free form; more than FORM_BYTES_MAX are counted but not kept. */
  formLength: 0,
  /** Something other than `;` follows a `;`. */
  severalStatements: false,
  /** A backslash stood in an E'' string: what follows depends on the encoding being ASCII-safe. */
  escapes: false,
  /** Starts and ends of the comments that contain `tidemark:`. */
  hintRanges: [] as number[],
};

let sql: Uint8Array = usualOut;
let end = 0;
let written = 0;
let pendingGap = false;
let semicolonSeen = false;

/** The literal-free form of the text scanned last, or its first FORM_BYTES_MAX. */
export function formOf(): string {
  return out.toString('latin1', 0, Math.min(scanned.formLength, FORM_BYTES_MAX));
}

/** Scans `text[from..to)` into `scanned`. Takes any bytes. */
export function scan(text: Buffer, from: number, to: number): void {
  sql = text;
  end = to;
  written = 0;
  pendingGap = false;
  semicolonSeen = false;
  scanned.severalStatements = false;
  scanned.escapes = false;
  if (scanned.hintRanges.length > 0) scanned.hintRanges = [];
  const bytes = to - from;
  out =
    bytes <= TEXT_BYTES_MAX
      ? usualOut
      : Buffer.allocUnsafe(Math.min(bytes, FORM_BYTES_MAX) + SLACK_BYTES);
  let at = from;
  while (at < to) {
    const byte = text[at]!;
    switch (CLASS[byte]) {
      case BLANK:
        pendingGap = true;
        at++;
        break;
      case WORD:
        at = word(at);
        break;
      case DIGIT:
        at = number(at);
        break;
      case SPECIAL:
        at = special(byte, at);
        break;
      case CONTROL:
        token();
        out[written++] = GARBAGE;
        at++;
        break;
      default:
        token();
        out[written++] = byte;
        at++;
    }
  }
  scanned.formLength = written;
}

/** Before the first byte of every token. */
function token(): void {
  if (pendingGap) {
    if (written > 0) out[written++] = SPACE;
    pendingGap = false;
  }
  if (semicolonSeen) scanned.severalStatements = true;
}

function special(byte: number, at: number): number {
  switch (byte) {
    case QUOTE:
      return string(at, false);
    case MINUS:
      if (at + 1 < end && sql[at + 1] === MINUS) return lineComment(at);
      break;
    case SLASH:
      if (at + 1 < end && sql[at + 1] === STAR) return blockComment(at);
      break;
    case DOT:
      if (at + 1 < end && CLASS[sql[at + 1]!] === DIGIT) return number(at);
      break;
    case DOUBLE_QUOTE:
      return quotedName(at);
    case DOLLAR:
      return dollar(at);
    case SEMICOLON:
      // Not token(): any number of empty statements may follow the only real one.
      pendingGap = false;
      semicolonSeen = semicolonSeen || written > 0;
      if (written > 0) out[written++] = SEMICOLON;
      return at + 1;
  }
  token();
  out[written++] = byte;
  return at + 1;
}

function word(from: number): number {
  token();
  const first = sql[from]! | LOWER;
  let at = from;
  let byte = sql[at]!;
  let to = written;
  do {
    out[to++] = byte;
    byte = ++at < end ? sql[at]! : SPACE;
  } while (CLASS[byte] === WORD || CLASS[byte] === DIGIT || byte === DOLLAR);
  written = to;
  if (at - from !== 1) return at;
  if (byte === QUOTE) {
    if (first === LETTER_E) return string(at, true);
    if (first === LETTER_B || first === LETTER_X || first === LETTER_N) return string(at, false);
  }
  // U&'...': only a doubled quote ends nothing. U&"..." is left to the rule for quoted names.
  if (byte === AMPERSAND && first === LETTER_U && at + 1 < end && sql[at + 1] === QUOTE) {
    out[written++] = AMPERSAND;
    return string(at + 1, false);
  }
  return at;
}

/** integers with a base or separators, decimals, exponents; a letter after it is left to follow. */
function number(from: number): number {
  literal(NUMBER);
  let at = from;
  const base = at + 1 < end && sql[at] === ZERO ? sql[at + 1]! | LOWER : 0;
  if (base === LETTER_X || base === LETTER_O || base === LETTER_B) {
    at += 2;
    while (at < end && isHexadecimal(sql[at]!)) at++;
    return at;
  }
  at = digits(at);
  // `1..2` is the two dots of PL/pgSQL, not a decimal point.
  if (at < end && sql[at] === DOT && !(at + 1 < end && sql[at + 1] === DOT)) at = digits(at + 1);
  if (at < end && (sql[at]! | LOWER) === LETTER_E) {
    let exponent = at + 1;
    if (exponent < end && (sql[exponent] === 0x2b || sql[exponent] === MINUS)) exponent++;
    if (exponent < end && CLASS[sql[exponent]!] === DIGIT) at = digits(exponent);
  }
  return at;
}

function digits(from: number): number {
  let at = from;
  while (at < end && (CLASS[sql[at]!] === DIGIT || sql[at] === UNDERSCORE)) at++;
  return at;
}

function isHexadecimal(byte: number): boolean {
  const small = byte | LOWER;
  return CLASS[byte] === DIGIT || byte === UNDERSCORE || (small >= 0x61 && small <= 0x66);
}

/**
 * Emits a literal. A list of literals of one kind is written as one of them: IN lists and argument
 * lists of any length share a form, since no class depends on how many constants there are.
 */
function literal(kind: number): void {
  if (written >= 2) {
    if (out[written - 1] === COMMA) {
      if (out[written - 2] === kind) {
        foldInto(written - 1);
        return;
      }
      if (written >= 3 && out[written - 2] === SPACE && out[written - 3] === kind) {
        foldInto(written - 2);
        return;
      }
    }
  }
  token();
  out[written++] = kind;
}

function foldInto(length: number): void {
  written = length;
  pendingGap = false;
}

/** From the opening quote; the pieces of a string continued on the next line are one literal. */
function string(from: number, backslashEscapes: boolean): number {
  literal(STRING);
  let at = from;
  for (;;) {
    at = backslashEscapes ? escapedStringEnd(at + 1) : stringEnd(at + 1);
    if (at > end) {
      out[written++] = GARBAGE;
      return end;
    }
    const next = continuation(at);
    if (next === 0) return at;
    at = next;
  }
}

/** The offset after the closing quote, or end + 1. */
function stringEnd(from: number): number {
  let at = from;
  while (at < end) {
    if (sql[at] !== QUOTE) at++;
    else if (at + 1 < end && sql[at + 1] === QUOTE) at += 2;
    else return at + 1;
  }
  return end + 1;
}

function escapedStringEnd(from: number): number {
  let at = from;
  while (at < end) {
    if (sql[at] === BACKSLASH) {
      scanned.escapes = true;
      at += 2;
    } else if (sql[at] !== QUOTE) at++;
    else if (at + 1 < end && sql[at + 1] === QUOTE) at += 2;
    else return at + 1;
  }
  return end + 1;
}

/** The quote that continues a string, after white space with a newline in it (quotecontinue); or 0. */
function continuation(from: number): number {
  let newline = false;
  let at = from;
  while (at < end) {
    const byte = sql[at]!;
    if (CLASS[byte] === BLANK) {
      newline = newline || byte === NEWLINE || byte === RETURN;
      at++;
    } else if (byte === MINUS && at + 1 < end && sql[at + 1] === MINUS) {
      while (at < end && sql[at] !== NEWLINE && sql[at] !== RETURN) at++;
    } else return newline && byte === QUOTE ? at : 0;
  }
  return 0;
}

/** "..." stays as it is, also its case. */
function quotedName(from: number): number {
  token();
  const past = closingDoubleQuote(from + 1);
  for (let at = from; at < past && at < end; at++) out[written++] = sql[at]!;
  if (past <= end) return past;
  out[written++] = GARBAGE;
  return end;
}

function closingDoubleQuote(from: number): number {
  let at = from;
  while (at < end) {
    if (sql[at] !== DOUBLE_QUOTE) at++;
    else if (at + 1 < end && sql[at + 1] === DOUBLE_QUOTE) at += 2;
    else return at + 1;
  }
  return end + 1;
}

/** $1, $$...$$ or $tag$...$tag$. */
function dollar(from: number): number {
  let at = from + 1;
  if (at < end && CLASS[sql[at]!] === DIGIT) {
    literal(PARAMETER);
    while (at < end && CLASS[sql[at]!] === DIGIT) at++;
    return at;
  }
  if (at < end && CLASS[sql[at]!] === WORD) {
    do at++;
    while (at < end && (CLASS[sql[at]!] === WORD || CLASS[sql[at]!] === DIGIT));
  }
  if (at >= end || sql[at] !== DOLLAR) {
    token();
    out[written++] = GARBAGE;
    return from + 1;
  }
  literal(STRING);
  const tagLength = at + 1 - from;
  for (let close = at + 1; close + tagLength <= end; close++) {
    if (sql[close] === DOLLAR && sameBytes(from, close, tagLength)) return close + tagLength;
  }
  out[written++] = GARBAGE;
  return end;
}

function sameBytes(left: number, right: number, length: number): boolean {
  for (let offset = 1; offset < length; offset++) {
    if (sql[left + offset] !== sql[right + offset]) return false;
  }
  return true;
}

function lineComment(from: number): number {
  let at = from + 2;
  let hint = false;
  while (at < end && sql[at] !== NEWLINE && sql[at] !== RETURN) {
    if (sql[at] === COLON) hint = hint || endsWithMarker(at);
    at++;
  }
  if (hint) scanned.hintRanges.push(from + 2, at);
  pendingGap = true;
  return at;
}

/** Nested, as in PostgreSQL. Unterminated is an error there. */
function blockComment(from: number): number {
  let at = from + 2;
  let depth = 1;
  let hint = false;
  while (at < end) {
    const byte = sql[at]!;
    if (byte === STAR && at + 1 < end && sql[at + 1] === SLASH) {
      at += 2;
      if (--depth === 0) {
        if (hint) scanned.hintRanges.push(from + 2, at - 2);
        pendingGap = true;
        return at;
      }
    } else if (byte === SLASH && at + 1 < end && sql[at + 1] === STAR) {
      at += 2;
      depth++;
    } else {
      if (byte === COLON) hint = hint || endsWithMarker(at);
      at++;
    }
  }
  token();
  out[written++] = GARBAGE;
  return end;
}

const MARKER = 'tidemark';

/** `tidemark` stands before the colon at `colon`. */
function endsWithMarker(colon: number): boolean {
  for (let back = 1; back <= MARKER.length; back++) {
    if ((sql[colon - back]! | LOWER) !== MARKER.charCodeAt(MARKER.length - back)) return false;
  }
  return true;
}
