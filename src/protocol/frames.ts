import assert from 'node:assert';
import { Frontend, frameHeaderBytes } from './codes.ts';
import { ProtocolError } from './protocol-error.ts';

/** PQ_SMALL_MESSAGE_LIMIT and PQ_LARGE_MESSAGE_LIMIT (MaxAllocSize - 1) of libpq.h. */
export const smallLengthMax = 10_000;
export const largeLengthMax = 0x3fff_fffe;

/** Largest length word of each message type, 0 for a type that no client may send. */
const lengthMaxByType = new Int32Array(256);
for (const type of [
  Frontend.Query,
  Frontend.FunctionCall,
  Frontend.Bind,
  Frontend.Parse,
  Frontend.CopyData,
]) {
  lengthMaxByType[type] = largeLengthMax;
}
for (const type of [
  Frontend.Terminate,
  Frontend.Close,
  Frontend.Describe,
  Frontend.Execute,
  Frontend.Flush,
  Frontend.Sync,
  Frontend.CopyDone,
  Frontend.CopyFail,
]) {
  lengthMaxByType[type] = smallLengthMax;
}

/**
 * What SocketBackend (postgres.c) lets a logged-in client send: the largest value of the length
 * word for a message type, 0 for an unknown type.
 */
export function frontendLengthMax(type: number): number {
  return lengthMaxByType[type] ?? 0;
}

/** For streams in which any type is welcome, such as those of a server. */
export function anyLengthMax(): number {
  return largeLengthMax;
}

/** What `next` found. */
export const Scan = {
  /** Nothing more in this chunk: feed the next one. */
  NeedMore: 0,
  /** A whole frame, contiguous in `[start, end)` of `buffer`. */
  Frame: 1,
  /** The beginning of a frame too large to be held; `remaining` bytes of it are still to come. */
  Head: 2,
  /** More bytes of the frame whose Head was reported; it is over when `remaining` is 0. */
  Body: 3,
} as const;

export type ScanResult = (typeof Scan)[keyof typeof Scan];

export interface FrameScannerOptions {
  /** Largest length word allowed by type, 0 for unknown types. */
  readonly lengthMax: (type: number) => number;
  /**
   * A frame of at most this many bytes that is split over chunks is put together and reported
   * whole; a larger one is streamed as Head and Body. The bound of the scanner's memory.
   */
  readonly assembledBytesMax: number;
  /** A Head has at least this many bytes, so that names at the start of a frame can be read. */
  readonly headBytesMin: number;
}

const noBytes = Buffer.alloc(0);

/** First size of the buffer for a split frame; it grows only as bytes really arrive. */
const assemblyStartBytes = 1024;

/**
 * Cuts the chunks of a byte stream into frames without an object, slice or copy for a frame
 * that arrived in one piece:
 *
 *     scanner.feed(chunk);
 *     for (let found = scanner.next(); found !== Scan.NeedMore; found = scanner.next()) ...
 *
 * `type`, `buffer`, `start`, `end`, `frameBytes` and `remaining` describe what `next` found and
 * hold until it is called again. `buffer` is the chunk fed, or for the parts of a split frame one
 * of its own that is never reused, so both may be handed to a socket. `next` raises ProtocolError
 * on a bad type or length; the scanner is of no use after that.
 */
export class FrameScanner {
  type = 0;
  buffer: Buffer = noBytes;
  start = 0;
  end = 0;
  /** Bytes of the whole frame on the wire, with type byte and length word. */
  frameBytes = 0;
  /** Bytes of a streamed frame that `next` has not reported yet. */
  remaining = 0;

  readonly #options: FrameScannerOptions;
  #chunk: Buffer = noBytes;
  /** Next byte of the chunk to be looked at. */
  #offset = 0;
  /** The beginning of a split frame, `#assembledBytes` of `#wantedBytes`; empty without one. */
  #assembly: Buffer = noBytes;
  #assembledBytes = 0;
  #wantedBytes = 0;

  constructor(options: FrameScannerOptions) {
    assert(options.headBytesMin > frameHeaderBytes);
    assert(options.assembledBytesMax >= options.headBytesMin);
    this.#options = options;
  }

  /** True between frames: the peer may close the connection here without cutting a message. */
  get atBoundary(): boolean {
    return this.remaining === 0 && this.#wantedBytes === 0 && this.#offset === this.#chunk.length;
  }

  /** The chunk before must have been scanned to its end. */
  feed(chunk: Buffer): void {
    assert(this.#offset === this.#chunk.length, 'the previous chunk was not scanned to its end');
    this.#chunk = chunk;
    this.#offset = 0;
  }

  /** Takes back what was fed and not yet scanned, with the bytes held of a split frame. */
  release(): Buffer {
    const held = this.#assembly.subarray(0, this.#assembledBytes);
    const unscanned = this.#chunk.subarray(this.#offset);
    this.#offset = this.#chunk.length;
    this.#dropAssembly();
    return held.length === 0 ? unscanned : Buffer.concat([held, unscanned]);
  }

  next(): ScanResult {
    if (this.#wantedBytes > 0) return this.#assemble();
    const available = this.#chunk.length - this.#offset;
    if (available === 0) return this.#needMore();
    if (this.remaining > 0) return this.#found(Scan.Body, this.remaining);
    if (available < frameHeaderBytes) return this.#hold(frameHeaderBytes);

    this.#readHeader(this.#chunk, this.#offset);
    if (this.frameBytes <= available) return this.#found(Scan.Frame, this.frameBytes);
    if (this.frameBytes <= this.#options.assembledBytesMax) return this.#hold(this.frameBytes);
    if (available < this.#options.headBytesMin) return this.#hold(this.#options.headBytesMin);
    return this.#found(Scan.Head, this.frameBytes);
  }

  /** The next chunk may be long in coming: the last one is not kept for so long. */
  #needMore(): ScanResult {
    this.buffer = noBytes;
    this.#chunk = noBytes;
    this.#offset = 0;
    return Scan.NeedMore;
  }

  #readHeader(buffer: Buffer, at: number): void {
    const type = buffer[at] as number;
    const lengthMax = this.#options.lengthMax(type);
    if (lengthMax === 0) throw new ProtocolError(`invalid frontend message type ${type}`);
    const length = buffer.readInt32BE(at + 1);
    if (length < 4 || length > lengthMax) throw new ProtocolError('invalid message length');
    this.type = type;
    this.frameBytes = length + 1;
  }

  /** Reports the next bytes of the chunk: `wanted` bytes, or as many as there are. */
  #found(result: ScanResult, wanted: number): ScanResult {
    this.buffer = this.#chunk;
    this.start = this.#offset;
    this.end = Math.min(this.#offset + wanted, this.#chunk.length);
    this.#offset = this.end;
    this.remaining = wanted - (this.end - this.start);
    return result;
  }

  /** Starts to put a split frame together: keeps the rest of the chunk. */
  #hold(wantedBytes: number): ScanResult {
    this.#assembly = Buffer.allocUnsafe(Math.min(wantedBytes, assemblyStartBytes));
    this.#assembledBytes = 0;
    this.#wantedBytes = wantedBytes;
    return this.#assemble();
  }

  #assemble(): ScanResult {
    this.#fill();
    if (this.#assembledBytes < this.#wantedBytes) return this.#needMore();
    if (this.#wantedBytes === frameHeaderBytes) {
      this.#readHeader(this.#assembly, 0);
      const { assembledBytesMax, headBytesMin } = this.#options;
      this.#wantedBytes = this.frameBytes <= assembledBytesMax ? this.frameBytes : headBytesMin;
      this.#fill();
      if (this.#assembledBytes < this.#wantedBytes) return this.#needMore();
    }
    this.buffer = this.#assembly;
    this.start = 0;
    this.end = this.#wantedBytes;
    this.remaining = this.frameBytes - this.#wantedBytes;
    this.#dropAssembly();
    return this.remaining === 0 ? Scan.Frame : Scan.Head;
  }

  /** Copies from the chunk what the split frame wants, as far as it is there. */
  #fill(): void {
    const bytes = Math.min(
      this.#wantedBytes - this.#assembledBytes,
      this.#chunk.length - this.#offset,
    );
    const needed = this.#assembledBytes + bytes;
    if (needed > this.#assembly.length) {
      const grown = Buffer.allocUnsafe(
        Math.min(this.#wantedBytes, Math.max(needed, this.#assembly.length * 2)),
      );
      this.#assembly.copy(grown, 0, 0, this.#assembledBytes);
      this.#assembly = grown;
    }
    this.#chunk.copy(this.#assembly, this.#assembledBytes, this.#offset, this.#offset + bytes);
    this.#assembledBytes = needed;
    this.#offset += bytes;
  }

  #dropAssembly(): void {
    this.#assembly = noBytes;
    this.#assembledBytes = 0;
    this.#wantedBytes = 0;
  }
}
