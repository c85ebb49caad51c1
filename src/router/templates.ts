import { CLASS, DIGIT, numberEnd, QUOTE, stringEnd } from './lexemes.ts';
import { scanned } from './scanner.ts';
import type { Classified } from './statement.ts';

/** By what they are found: their first bytes, in which there is no literal. */
const headBytes = 16;
/** A power of two. */
const bucketsMax = 256;
/** Each of which may be looked at before the right one is found. */
const bucketSizeMax = 4;
/** With all buckets full: 2 MB. */
const textBytesMax = 2 * 1024;
/** Lists of any length make a template each: not every text that is not known becomes one. */
const missesPerNew = 16;
/** Fewer bytes are compared faster here than by a call. */
const comparedHereMax = 48;

/** A text, with the places in which others like it have other literals. */
interface Template {
  readonly text: Buffer;
  readonly starts: readonly number[];
  readonly ends: readonly number[];
  readonly classified: Classified;
}

interface Bucket {
  /** The one that was found last comes first. */
  readonly templates: Template[];
  misses: number;
}

/**
 * Classes of texts that are those of an earlier one but for its literals: to compare what is between
 * them takes a fraction of the time that it takes to scan the text for its form. Whatever it finds has
 * the form of the earlier text: a text is scanned from left to right, token by token, so where the
 * bytes between two literals are the same, and a literal of the same kind ends where they go on, the
 * tokens are. (Whether a string goes on in the next line is seen in those bytes, too.)
 */
export class Templates {
  #buckets: (Bucket | undefined)[] = new Array(bucketsMax);

  /** The class of `text[start..end)`, or null. */
  find(text: Buffer, start: number, end: number): Classified | null {
    if (end - start < headBytes) return null;
    const bucket = this.#buckets[placeOf(text, start)];
    if (bucket === undefined) return null;
    const { templates } = bucket;
    for (let index = 0; index < templates.length; index++) {
      const template = templates[index]!;
      if (!isLike(template, text, start, end)) continue;
      if (index > 0) {
        templates[index] = templates[index - 1]!;
        templates[index - 1] = template;
      }
      return template.classified;
    }
    return null;
  }

  /**
   * The text that was scanned last, and that `find` did not find just now, has this class by its form
   * alone.
   */
  add(text: Buffer, start: number, end: number, classified: Classified): void {
    const { isPlain, literals, literalCount } = scanned;
    const bytes = end - start;
    if (!isPlain || bytes > textBytesMax) return;
    // One without literals comes again byte for byte, or not: known texts are found by themselves.
    if (literalCount === 0 || literals[0]! - start < headBytes) return;
    const place = placeOf(text, start);
    this.#buckets[place] ??= { templates: [], misses: 0 };
    const bucket = this.#buckets[place];
    bucket.misses += 1;
    if (bucket.misses % missesPerNew !== 1) return;
    const { templates } = bucket;
    if (templates.length === bucketSizeMax) templates.pop();
    templates.push(templateOf(text, start, end, classified));
  }

  clear(): void {
    this.#buckets = new Array(bucketsMax);
  }
}

function placeOf(text: Uint8Array, start: number): number {
  let hash = 0;
  for (let at = start; at < start + headBytes; at++) hash = Math.imul(hash ^ text[at]!, 0x01000193);
  return (hash ^ (hash >>> 15)) & (bucketsMax - 1);
}

function templateOf(text: Buffer, start: number, end: number, classified: Classified): Template {
  // A copy, and not in a slab of Node's pool: it outlives what it came with.
  const own = Buffer.allocUnsafeSlow(end - start);
  text.copy(own, 0, start, end);
  const starts = Array.from(scanned.literals.subarray(0, scanned.literalCount), (at) => at - start);
  const ends = starts.map((at) => literalEnd(own, at, own.length));
  return { text: own, starts, ends, classified };
}

function literalEnd(text: Uint8Array, at: number, end: number): number {
  return text[at] === QUOTE ? stringEnd(text, at + 1, end) : numberEnd(text, at, end);
}

function isLike(
  { text: known, starts, ends }: Template,
  text: Buffer,
  start: number,
  end: number,
): boolean {
  let from = 0;
  let at = start;
  for (let index = 0; index < starts.length; index++) {
    const to = starts[index]!;
    const literal = at + to - from;
    if (literal >= end || !isSame(known, from, to, text, at)) return false;
    const isString = known[to] === QUOTE;
    if (isString ? text[literal] !== QUOTE : CLASS[text[literal]!] !== DIGIT) return false;
    at = literalEnd(text, literal, end);
    from = ends[index]!;
  }
  return end - at === known.length - from && isSame(known, from, known.length, text, at);
}

/** `known[from..to)` and as many bytes of the text, which has them. */
function isSame(known: Buffer, from: number, to: number, text: Buffer, at: number): boolean {
  if (to - from > comparedHereMax) return known.compare(text, at, at + to - from, from, to) === 0;
  for (let index = from, other = at; index < to; index++, other++) {
    if (known[index] !== text[other]) return false;
  }
  return true;
}
