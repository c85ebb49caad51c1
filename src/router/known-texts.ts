import { LRUCache } from 'lru-cache';
import type { Classified } from './statement.ts';

const entriesMax = 4_000;
const bytesMax = 8 * 1024 * 1024;
/** What an entry costs beside its text: the objects of the cache, and of a class with a hint. */
const entryBytes = 384;
/** Longer ones are rarely seen twice. */
const textBytesMax = 16 * 1024;
/** A power of two. */
const sightingsMax = 4_096;

interface Known {
  readonly text: Buffer;
  readonly classified: Classified;
}

/**
 * Classes of texts that come again byte for byte, as those of applications with parameters do: to
 * find one is several times as fast as to scan it for its form. Where the literals are in the text
 * nothing comes twice, and nothing is kept, for only what was seen before is.
 */
export class KnownTexts {
  readonly #known = new LRUCache<number, Known>({
    max: entriesMax,
    maxSize: bytesMax,
    sizeCalculation: ({ text }) => text.length + entryBytes,
  });
  /** Hashes of texts seen once, each in the place that it gives. */
  readonly #sightings = new Int32Array(sightingsMax);
  /** Of the text that was looked for last. */
  #hash = 0;

  /** The class of `text[start..end)`, or null. */
  find(text: Buffer, start: number, end: number): Classified | null {
    if (end - start > textBytesMax) return null;
    const hash = hashOf(text, start, end);
    this.#hash = hash;
    const known = this.#known.get(hash);
    if (known === undefined || known.text.length !== end - start) return null;
    return known.text.compare(text, start, end) === 0 ? known.classified : null;
  }

  /** The class of the text that `find` did not find just now. */
  add(text: Buffer, start: number, end: number, classified: Classified): void {
    if (end - start > textBytesMax) return;
    const place = this.#hash & (sightingsMax - 1);
    if (this.#sightings[place] !== this.#hash) {
      this.#sightings[place] = this.#hash;
      return;
    }
    // A copy, and not in a slab of Node's pool: it outlives what it came with.
    const own = Buffer.allocUnsafeSlow(end - start);
    text.copy(own, 0, start, end);
    this.#known.set(this.#hash, { text: own, classified });
  }

  clear(): void {
    this.#known.clear();
  }
}

/** Of MurmurHash's kind. Who finds texts with the same one makes them a little slower to classify, no more. */
function hashOf(text: Buffer, start: number, end: number): number {
  let hash = end - start;
  let at = start;
  for (const last = end - 3; at < last; at += 4) {
    const word = text[at]! | (text[at + 1]! << 8) | (text[at + 2]! << 16) | (text[at + 3]! << 24);
    hash = Math.imul(hash ^ word, 0x5bd1e995);
    hash ^= hash >>> 15;
  }
  for (; at < end; at++) hash = Math.imul(hash ^ text[at]!, 0x5bd1e995);
  return hash ^ (hash >>> 13);
}
