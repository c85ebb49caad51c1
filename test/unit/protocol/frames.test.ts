import assert from 'node:assert';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Frontend } from '../../../src/protocol/codes.ts';
import {
  anyLengthMax,
  FrameScanner,
  frontendLengthMax,
  largeLengthMax,
  Scan,
  smallLengthMax,
} from '../../../src/protocol/frames.ts';
import * as frontend from '../../../src/protocol/frontend.ts';
import { ProtocolError } from '../../../src/protocol/protocol-error.ts';

const assembledBytesMax = 200;
const headBytesMin = 64;

function newScanner(lengthMax = frontendLengthMax): FrameScanner {
  return new FrameScanner({ lengthMax, assembledBytesMax, headBytesMin });
}

interface Seen {
  readonly type: number;
  readonly bytes: Buffer;
  readonly streamed: boolean;
}

/** All frames of the chunks, put together from their parts; checks the scanner's promises. */
function scanAll(scanner: FrameScanner, chunks: readonly Buffer[]): Seen[] {
  const seen: Seen[] = [];
  let parts: Buffer[] = [];
  for (const chunk of chunks) {
    scanner.feed(chunk);
    for (let found = scanner.next(); found !== Scan.NeedMore; found = scanner.next()) {
      assert(scanner.end - scanner.start > 0);
      parts.push(Buffer.from(scanner.buffer.subarray(scanner.start, scanner.end)));
      if (found === Scan.Frame) {
        assert.equal(parts.length, 1);
        assert.equal(scanner.end - scanner.start, scanner.frameBytes);
      }
      if (found === Scan.Head) {
        assert.equal(parts.length, 1);
        assert(scanner.end - scanner.start >= headBytesMin);
        assert(scanner.frameBytes > assembledBytesMax);
        assert(scanner.remaining > 0);
      }
      if (scanner.remaining > 0) continue;
      const bytes = Buffer.concat(parts);
      assert.equal(bytes.length, scanner.frameBytes);
      seen.push({ type: scanner.type, bytes, streamed: found !== Scan.Frame });
      parts = [];
    }
  }
  return seen;
}

/** One string for all frames: comparing thousands of buffers element by element takes seconds. */
function text(frames: readonly Buffer[]): string {
  return frames.map((frame) => frame.toString('latin1')).join('|');
}

function cut(bytes: Buffer, size: number): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
  return chunks;
}

const messages = [
  frontend.parse('name', 'select $1::int'),
  frontend.bind({ statement: 'name', params: ['x'.repeat(1000), null] }),
  frontend.describe(frontend.TargetKind.Portal),
  frontend.execute('', 10),
  frontend.sync,
  frontend.query(`select '${'y'.repeat(assembledBytesMax - 20)}'`),
  frontend.copyData(Buffer.alloc(assembledBytesMax - 5)),
  frontend.copyData(Buffer.alloc(assembledBytesMax - 4)),
  frontend.flush,
  frontend.terminate,
];
const stream = Buffer.concat(messages);

describe('FrameScanner', () => {
  it('reports every frame whole where all arrive in one chunk, without copying', () => {
    const scanner = newScanner();
    scanner.feed(stream);
    const frames: Buffer[] = [];
    while (scanner.next() === Scan.Frame) {
      expect(scanner.buffer).toBe(stream);
      frames.push(stream.subarray(scanner.start, scanner.end));
    }
    expect(frames).toEqual(messages);
    expect(scanner.atBoundary).toBe(true);
  });

  it('gives the same frames however the stream is cut in two', () => {
    for (let at = 0; at <= stream.length; at++) {
      const seen = scanAll(newScanner(), [stream.subarray(0, at), stream.subarray(at)]);
      expect(text(seen.map(({ bytes }) => bytes))).toBe(text(messages));
    }
  });

  it('gives the same frames in chunks of any one size', () => {
    for (let size = 1; size < 300; size++) {
      const scanner = newScanner();
      const seen = scanAll(scanner, cut(stream, size));
      expect(text(seen.map(({ bytes }) => bytes))).toBe(text(messages));
      expect(seen.map(({ type }) => type)).toEqual(messages.map((message) => message[0]));
      expect(scanner.atBoundary).toBe(true);
    }
  });

  it('puts frames together up to the limit and streams those above it', () => {
    const seen = scanAll(newScanner(), cut(stream, 7));
    const streamed = seen.map((frame) => frame.streamed);
    expect(streamed).toEqual(messages.map(({ length }) => length > assembledBytesMax));
  });

  it('shows the type and length of a huge frame from its first bytes', () => {
    const scanner = newScanner();
    const head = Buffer.alloc(headBytesMin);
    head[0] = Frontend.Query;
    head.writeInt32BE(largeLengthMax, 1);
    scanner.feed(head);
    expect(scanner.next()).toBe(Scan.Head);
    expect(scanner.type).toBe(Frontend.Query);
    expect(scanner.frameBytes).toBe(largeLengthMax + 1);
    expect(scanner.remaining).toBe(largeLengthMax + 1 - headBytesMin);
    expect(scanner.next()).toBe(Scan.NeedMore);
    const chunk = Buffer.alloc(65_536);
    for (let i = 0; i < 100; i++) {
      scanner.feed(chunk);
      expect(scanner.next()).toBe(Scan.Body);
      expect(scanner.buffer).toBe(chunk);
      expect(scanner.next()).toBe(Scan.NeedMore);
    }
    expect(scanner.remaining).toBe(largeLengthMax + 1 - headBytesMin - 100 * chunk.length);
    expect(scanner.atBoundary).toBe(false);
  });

  it('does not write again into the buffer of a frame it has put together', () => {
    const scanner = newScanner();
    const [first, second] = [frontend.query('first'), frontend.query('other')];
    const kept: Buffer[] = [];
    for (const chunk of [...cut(first, 3), ...cut(second, 3)]) {
      scanner.feed(chunk);
      while (scanner.next() === Scan.Frame) {
        kept.push(scanner.buffer.subarray(scanner.start, scanner.end));
      }
    }
    expect(kept).toEqual([first, second]);
  });

  it('gives back what it has not reported', () => {
    const scanner = newScanner();
    scanner.feed(stream.subarray(0, 3));
    expect(scanner.next()).toBe(Scan.NeedMore);
    expect(scanner.atBoundary).toBe(false);
    expect(scanner.release()).toEqual(stream.subarray(0, 3));
    expect(scanner.atBoundary).toBe(true);
    scanner.feed(stream);
    expect(scanner.next()).toBe(Scan.Frame);
    expect(scanner.release()).toEqual(stream.subarray(messages[0]!.length));
  });

  it.each([0, 1, 3, -1, 0x7fff_ffff, largeLengthMax + 1])('refuses a length of %i', (length) => {
    const frame = Buffer.alloc(5);
    frame[0] = Frontend.Query;
    frame.writeInt32BE(length, 1);
    for (const size of [1, 5]) {
      expect(() => scanAll(newScanner(), cut(frame, size))).toThrow(
        new ProtocolError('invalid message length'),
      );
    }
  });

  it('refuses types that no client may send, with the words of PostgreSQL', () => {
    const frame = Buffer.from('R\0\0\0\x04');
    expect(() => scanAll(newScanner(), [frame])).toThrow(
      new ProtocolError('invalid frontend message type 82'),
    );
    expect(scanAll(newScanner(anyLengthMax), [frame])).toHaveLength(1);
  });

  it('raises nothing but ProtocolError on random bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 }), (chunks) => {
        const scanner = newScanner();
        try {
          scanAll(
            scanner,
            chunks.map((chunk) => Buffer.from(chunk)),
          );
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
    );
  });

  it('gives back any frames from any chunks', () => {
    const body = fc.uint8Array({ maxLength: 500 });
    const frames = fc.array(body, { maxLength: 8 }).map((bodies) => bodies.map(frontend.copyData));
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 300 })), (written, sizes) => {
        let rest = Buffer.concat(written);
        const chunks: Buffer[] = [];
        for (const size of sizes) {
          chunks.push(rest.subarray(0, size));
          rest = rest.subarray(size);
        }
        const seen = scanAll(newScanner(), [...chunks, rest]);
        expect(text(seen.map(({ bytes }) => bytes))).toBe(text(written));
      }),
    );
  });
});

describe('frontendLengthMax', () => {
  it('is what SocketBackend allows', () => {
    const allowed = (max: number) =>
      Array.from({ length: 256 }, (_, type) => type)
        .filter((type) => frontendLengthMax(type) === max)
        .map((type) => String.fromCharCode(type))
        .join('');
    expect(allowed(largeLengthMax)).toBe('BFPQd');
    expect(allowed(smallLengthMax)).toBe('CDEHSXcf');
    expect(allowed(0)).toHaveLength(256 - 13);
  });
});
