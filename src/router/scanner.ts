import {
  AMPERSAND,
  BLANK,
  bitStringEnd,
  blockCommentEnd,
  CLASS,
  COLON,
  COMMA,
  CONTROL,
  continuation,
  DIGIT,
  DOLLAR,
  DOT,
  DOUBLE_QUOTE,
  dollarStringEnd,
  type EndOfString,
  escapedStringEnd,
  LETTER_B,
  LETTER_E,
  LETTER_N,
  LETTER_U,
  LETTER_X,
  LOWER,
  lineEnd,
  MINUS,
  numberEnd,
  parameterEnd,
  QUOTE,
  SEMICOLON,
  SLASH,
  SPACE,
  SPECIAL,
  STAR,
  stringEnd,
  WORD,
} from './lexemes.ts';

/**
 * Walks SQL text once and leaves its literal-free form in a buffer: literals become one control byte
 * each, comments and white space one space. It allocates nothing, because it runs for every
 * statement, also those seen before.
 *
 * Two texts of the same literal-free form differ in literals only (and in how many literals stand in
 * a row between commas), so they have the same grammar tree but for constants.
 */

/** Longer texts are not parsed on the event loop: 64 KiB of dense SQL takes libpg-query 8 to 15 ms. */
export const TEXT_BYTES_MAX = 64 * 1024;

/** Of the form of a longer text no more is kept. Looking for words in so much takes some 10 ms. */
export const FORM_BYTES_MAX = 1024 * 1024;

/** Stands for a numeric literal. Control bytes are no SQL outside quotes, so nothing collides. */
const NUMBER = 0x01;
/** Stands for a string literal of any quoting. */
const STRING = 0x02;
/** Stands for what no PostgreSQL grammar accepts: stray control bytes, unterminated quotes. */
const GARBAGE = 0x03;
/** Stands for $1: no class depends on the number. */
const PARAMETER = 0x04;

/** A form is never longer than its text, but for the byte that marks an unterminated quote. */
const SLACK_BYTES = 8;
const usualOut = Buffer.alloc(TEXT_BYTES_MAX + SLACK_BYTES);
/** Where the form is written. Stores beyond its end are dropped, as typed arrays do. */
let out = usualOut;

/** What the last scan found. Valid until the next one. */
export const scanned = {
  /** Bytes of the literal-free form; more than FORM_BYTES_MAX are counted but not kept. */
  formLength: 0,
  /** Something other than `;` follows a `;`. */
  severalStatements: false,
  /** There is an E'' string: where it ends depends on every byte being a character of its own. */
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
  reset(text, from, to);
  const classes = CLASS;
  let at = from;
  while (at < to) {
    const byte = text[at]!;
    const kind = classes[byte];
    if (kind === BLANK) {
      pendingGap = true;
      at++;
      continue;
    }
    if (kind === SPECIAL) {
      at = special(byte, at);
      continue;
    }
    if (kind === DIGIT) {
      literal(NUMBER);
      at = numberEnd(sql, at, end);
      continue;
    }
    token();
    if (kind === WORD) at = word(text, at, to);
    else {
      out[written++] = kind === CONTROL ? GARBAGE : byte;
      at++;
    }
  }
  scanned.formLength = written;
}

function reset(text: Buffer, from: number, to: number): void {
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
      : Buffer.alloc(Math.min(bytes, FORM_BYTES_MAX) + SLACK_BYTES);
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
  const next = at + 1 < end ? sql[at + 1]! : SPACE;
  switch (byte) {
    case QUOTE:
      return string(at, stringEnd);
    case DOUBLE_QUOTE:
      token();
      return quotedName(sql, at, end);
    case DOLLAR:
      return dollar(at);
    case MINUS:
      if (next === MINUS) return comment(at, lineEnd(sql, at, end));
      break;
    case SLASH:
      if (next === STAR) return comment(at, blockCommentEnd(sql, at, end));
      break;
    case DOT:
      if (CLASS[next] === DIGIT) {
        literal(NUMBER);
        return numberEnd(sql, at, end);
      }
      // `..` is one token, so that in `1..5` the 5 is an integer.
      token();
      out[written++] = DOT;
      if (next !== DOT) return at + 1;
      out[written++] = DOT;
      return at + 2;
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

/** "..." stays as it is, also its case; a doubled quote ends nothing. */
function quotedName(source: Uint8Array, from: number, to: number): number {
  const target = out;
  let length = written;
  let at = from;
  let open = true;
  do {
    do target[length++] = source[at++]!;
    while (at < to && source[at] !== DOUBLE_QUOTE);
    open = at >= to;
    if (!open) target[length++] = source[at++]!;
  } while (at < to && source[at] === DOUBLE_QUOTE);
  written = length;
  return closed(open ? to + 1 : at);
}

/** The offset to go on at, behind a token that ends at `to`, or is not closed. */
function closed(to: number): number {
  if (to <= end) return to;
  out[written++] = GARBAGE;
  return end;
}

/** Most bytes are of words, so the loop keeps off the variables of the module. */
function word(text: Uint8Array, from: number, to: number): number {
  const target = out;
  const classes = CLASS;
  let at = from;
  let byte = text[at]!;
  let length = written;
  let kind: number;
  do {
    target[length++] = byte;
    byte = ++at < to ? text[at]! : SPACE;
    kind = classes[byte]!;
  } while (kind === WORD || kind === DIGIT || byte === DOLLAR);
  written = length;
  if (at - from !== 1 || (byte !== QUOTE && byte !== AMPERSAND)) return at;
  return prefixed(text[from]! | LOWER, byte, at);
}

/** After a word of one letter: E'...', B'...', X'...', N'...' and U&'...' are strings. */
function prefixed(letter: number, byte: number, at: number): number {
  if (byte === QUOTE) {
    if (letter === LETTER_E) {
      scanned.escapes = true;
      return string(at, escapedStringEnd);
    }
    if (letter === LETTER_B || letter === LETTER_X) return string(at, bitStringEnd);
    if (letter === LETTER_N) return string(at, stringEnd);
    return at;
  }
  // Quoted names of the form U&"..." are left to the rule for quoted names.
  if (letter !== LETTER_U || at + 1 >= end || sql[at + 1] !== QUOTE) return at;
  out[written++] = AMPERSAND;
  return string(at + 1, stringEnd);
}

/**
 * Emits a literal. A list of literals of one kind is written as one of them: IN lists and argument
 * lists of any length share a form, since no class depends on how many constants there are.
 */
function literal(kind: number): void {
  let comma = written - 1;
  if (comma > 0 && out[comma] === COMMA) {
    if (comma > 1 && out[comma - 1] === SPACE) comma--;
    if (out[comma - 1] === kind) {
      written = comma;
      pendingGap = false;
      return;
    }
  }
  token();
  out[written++] = kind;
}

/** From the opening quote; the pieces of a string continued on the next line are one literal. */
function string(from: number, endOf: EndOfString): number {
  literal(STRING);
  let at = from;
  for (;;) {
    at = endOf(sql, at + 1, end);
    if (at > end) return closed(at);
    const next = continuation(sql, at, end);
    if (next === 0) return at;
    at = next;
  }
}

function dollar(from: number): number {
  if (from + 1 < end && CLASS[sql[from + 1]!] === DIGIT) {
    literal(PARAMETER);
    return parameterEnd(sql, from + 1, end);
  }
  const to = dollarStringEnd(sql, from, end);
  if (to !== 0) {
    literal(STRING);
    return closed(to);
  }
  token();
  out[written++] = GARBAGE;
  return from + 1;
}

function comment(from: number, to: number): number {
  if (to > end) {
    token();
    return closed(to);
  }
  for (let at = from + 2; at < to; at++) {
    if (sql[at] === COLON && endsWithMarker(at)) {
      scanned.hintRanges.push(from, to);
      break;
    }
  }
  pendingGap = true;
  return to;
}

const MARKER = Buffer.from('tidemark');

/** `tidemark`, in any case, stands before the colon at `colon`. */
function endsWithMarker(colon: number): boolean {
  for (let back = 1; back <= MARKER.length; back++) {
    if ((sql[colon - back]! | LOWER) !== MARKER[MARKER.length - back]) return false;
  }
  return true;
}
