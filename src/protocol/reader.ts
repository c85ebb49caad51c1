import assert from 'node:assert';
import { ProtocolError } from './protocol-error.ts';

/** Names and texts this short are searched in a loop: cheaper than the call into indexOf. */
const loopedBytesMax = 64;

/** Offset of the first zero byte in [at,end); -1 where there is none, or nothing at all. */
export function zeroByteAt(buffer: Buffer, at: number, end: number): number {
  const loopEnd = Math.min(end, at + loopedBytesMax);
  for (let i = at; i < loopEnd; i++) if (buffer[i] === 0) return i;
  // It may look behind `end`, which is cheaper than a view that ends there; what it finds behind
  // `end` is not used.
  const found = loopEnd < end ? buffer.indexOf(0, loopEnd) : -1;
  return found < end ? found : -1;
}

/**
 * Offset of the zero byte that ends the string at `at`, which must lie before `end`.
 * Throws ProtocolError where there is none, with the words of pq_getmsgstring (pqformat.c).
 */
export function cstringEnd(buffer: Buffer, at: number, end: number): number {
  const found = zeroByteAt(buffer, at, end);
  if (found === -1) throw new ProtocolError('invalid string in message');
  return found;
}

/**
 * Bounds-checked cursor over `[start, end)` of a buffer. Every method moves it forward or throws
 * ProtocolError; nothing outside the range is ever given out. Invariant: start <= offset <= end.
 */
export class MessageReader {
  readonly #buffer: Buffer;
  readonly #end: number;
  #offset: number;

  constructor(buffer: Buffer, start: number, end: number) {
    assert(start >= 0 && start <= end && end <= buffer.length);
    this.#buffer = buffer;
    this.#offset = start;
    this.#end = end;
  }

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.#end - this.#offset;
  }

  byte(): number {
    return this.#buffer.readUInt8(this.#take(1));
  }

  int16(): number {
    return this.#buffer.readInt16BE(this.#take(2));
  }

  uint16(): number {
    return this.#buffer.readUInt16BE(this.#take(2));
  }

  int32(): number {
    return this.#buffer.readInt32BE(this.#take(4));
  }

  uint32(): number {
    return this.#buffer.readUInt32BE(this.#take(4));
  }

  /** A view, not a copy, of the next `count` bytes. A negative count is refused. */
  bytes(count: number): Buffer {
    const at = this.#take(count);
    return this.#buffer.subarray(at, at + count);
  }

  /** A view of all that is left. */
  rest(): Buffer {
    return this.bytes(this.remaining);
  }

  cstring(encoding: 'utf8' | 'latin1' = 'utf8'): string {
    return this.cstringBytes().toString(encoding);
  }

  /** A view of the string's bytes, without the zero that ends it. */
  cstringBytes(): Buffer {
    const at = this.#offset;
    const nul = cstringEnd(this.#buffer, at, this.#end);
    this.#offset = nul + 1;
    return this.#buffer.subarray(at, nul);
  }

  #take(count: number): number {
    // pq_copymsgbytes (pqformat.c) has the same words for it.
    if (count < 0 || count > this.remaining) {
      throw new ProtocolError('insufficient data left in message');
    }
    const at = this.#offset;
    this.#offset += count;
    return at;
  }
}
