import {
  AMPERSAND,
  BLANK,
  bitStringEnd,
  blockCommentEnd,
  CLASS,
  COLON,
  COMMA,
  CONTINUES_WORD,
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

/** A text with more of them is not plain. */
const LITERALS_MAX = 32;

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
  /** Where its literals begin: numbers that begin with a digit, and '...' strings. */
  literals: new Int32Array(LITERALS_MAX),
  literalCount: 0,
  /** Nothing but these literals may differ in texts that are otherwise the same. */
  isPlain: true,
};

let sql: Uint8Array = usualOut;
let end = 0;
let written = 0;
let pendingGap = false;
let semicolonSeen = false;

/** Where the literal-free form of the text scanned last is, up to `scanned.formLength`: not to be kept. */
export function formBytes(): Buffer {
  return out;
}

/** The literal-free form of the text scanned last, or its first FORM_BYTES_MAX. */
export function formOf(): string {
  return out.toString('latin1', 0, Math.min(scanned.formLength, FORM_BYTES_MAX));
}

/**
 * Scans `text[from..to)` into `scanned`. Takes any bytes. Words, quoted names and signs, of which
 * most texts consist, are written here, out of the variables of this function; what has a rule of
 * its own is written by functions that share those of the module.
 */
export function scan(text: Buffer, from: number, to: number): void {
  reset(text, from, to);
  const classes = CLASS;
  const continues = CONTINUES_WORD;
  const target = out;
  let at = from;
  let length = 0;
  let gap = false;
  while (at < to) {
    let byte = text[at]!;
    const kind = classes[byte]!;
    if (kind === BLANK) {
      gap = true;
      at++;
      continue;
    }
    if (kind <= WORD || byte === DOUBLE_QUOTE || (byte === DOT && isAlone(text, at, to))) {
      if (gap && length > 0) target[length++] = SPACE;
      gap = false;
      if (semicolonSeen) scanned.severalStatements = true;
      target[length++] = byte;
      const start = at++;
      if (kind === WORD) {
        byte = at < to ? text[at]! : SPACE;
        while (continues[byte] === 1) {
          target[length++] = byte;
          byte = ++at < to ? text[at]! : SPACE;
        }
        if (at - start !== 1 || (byte !== QUOTE && byte !== AMPERSAND)) continue;
        written = length;
        at = prefixed(text[start]! | LOWER, byte, at);
      } else if (byte === DOUBLE_QUOTE) {
        // "..." stays as it is, also its case; a doubled quote goes on as another one.
        while (at < to && text[at] !== DOUBLE_QUOTE) target[length++] = text[at++]!;
        written = length;
        if (at < to) target[written++] = text[at++]!;
        else at = closed(to + 1);
      } else {
        continue;
      }
      length = written;
      gap = pendingGap;
      continue;
    }
    written = length;
    pendingGap = gap;
    at = special(byte, kind, at);
    length = written;
    gap = pendingGap;
    pendingGap = false;
  }
  scanned.formLength = length;
}

function reset(text: Buffer, from: number, to: number): void {
  sql = text;
  end = to;
  written = 0;
  pendingGap = false;
  semicolonSeen = false;
  scanned.severalStatements = false;
  scanned.escapes = false;
  scanned.literalCount = 0;
  scanned.isPlain = true;
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

/** A dot that neither begins a number nor is one of two. */
function isAlone(text: Uint8Array, at: number, to: number): boolean {
  if (at + 1 === to) return true;
  const next = text[at + 1]!;
  return next !== DOT && CLASS[next] !== DIGIT;
}

function special(byte: number, kind: number, at: number): number {
  if (kind === DIGIT) {
    noteLiteral(at);
    literal(NUMBER);
    return numberEnd(sql, at, end);
  }
  if (kind === CONTROL) {
    scanned.isPlain = false;
    token();
    out[written++] = GARBAGE;
    return at + 1;
  }
  const next = at + 1 < end ? sql[at + 1]! : SPACE;
  switch (byte) {
    case QUOTE:
      return string(at, stringEnd);
    case DOLLAR:
      return dollar(at);
    case MINUS:
      if (next === MINUS) return comment(at, lineEnd(sql, at, end));
      break;
    case SLASH:
      if (next === STAR) return comment(at, blockCommentEnd(sql, at, end));
      break;
    case DOT:
      if (next !== DOT) {
        scanned.isPlain = false;
        literal(NUMBER);
        return numberEnd(sql, at, end);
      }
      // One token, so that in `1..5` the 5 is an integer.
      token();
      out[written++] = DOT;
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

/** The offset to go on at, behind a token that ends at `to`, or is not closed. */
function closed(to: number): number {
  if (to <= end) return to;
  scanned.isPlain = false;
  out[written++] = GARBAGE;
  return end;
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

function noteLiteral(from: number): void {
  if (scanned.literalCount === LITERALS_MAX) scanned.isPlain = false;
  else scanned.literals[scanned.literalCount++] = from;
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
  if (endOf === stringEnd) noteLiteral(from);
  else scanned.isPlain = false;
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
  scanned.isPlain = false;
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
  scanned.isPlain = false;
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
