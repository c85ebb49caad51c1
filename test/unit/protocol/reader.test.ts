import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProtocolError } from '../../../src/protocol/protocol-error.ts';
import { cstringEnd, MessageReader } from '../../../src/protocol/reader.ts';

describe('MessageReader', () => {
  it('reads each kind of field and counts what remains', () => {
    const bytes = Buffer.from('00ff8000ffffffff80000001c3a900010203', 'hex');
    const reader = new MessageReader(bytes, 1, bytes.length);
    expect(reader.byte()).toBe(0xff);
    expect(reader.int16()).toBe(-32768);
    expect(reader.int32()).toBe(-1);
    expect(reader.uint32()).toBe(0x8000_0001);
    expect(reader.cstring()).toBe('é');
    expect(reader.offset).toBe(15);
    expect(reader.remaining).toBe(3);
    expect(reader.bytes(1)).toEqual(Buffer.from([1]));
    expect(reader.uint16()).toBe(0x0203);
    expect(reader.rest()).toHaveLength(0);
  });

  it('never reads behind its end, though the buffer goes on', () => {
    const bytes = Buffer.alloc(20);
    const reads: ((reader: MessageReader) => unknown)[] = [
      (reader) => reader.int32(),
      (reader) => reader.uint32(),
      (reader) => reader.bytes(4),
      (reader) => reader.bytes(-1),
      (reader) => reader.bytes(0x7fff_ffff),
    ];
    for (const read of reads) {
      expect(() => read(new MessageReader(bytes, 4, 7))).toThrow(ProtocolError);
    }
    for (const read of [(r: MessageReader) => r.int16(), (r: MessageReader) => r.uint16()]) {
      expect(() => read(new MessageReader(bytes, 4, 5))).toThrow(ProtocolError);
    }
    expect(() => new MessageReader(bytes, 4, 4).byte()).toThrow(ProtocolError);
    expect(() => new MessageReader(Buffer.from('ab\0'), 0, 2).cstring()).toThrow(ProtocolError);
  });
});

describe('cstringEnd', () => {
  it('finds the first zero in the range, or raises ProtocolError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), fc.nat(100), (array, a, b) => {
        const bytes = Buffer.from(array);
        const start = Math.min(a, b, bytes.length);
        const end = Math.min(Math.max(a, b), bytes.length);
        const expected = bytes.subarray(start, end).indexOf(0);
        if (expected === -1) expect(() => cstringEnd(bytes, start, end)).toThrow(ProtocolError);
        else expect(cstringEnd(bytes, start, end)).toBe(start + expected);
      }),
    );
  });

  it('finds the end of a long string', () => {
    const bytes = Buffer.concat([Buffer.alloc(1000, 'x'), Buffer.alloc(2)]);
    expect(cstringEnd(bytes, 3, bytes.length)).toBe(1000);
    expect(() => cstringEnd(bytes, 3, 1000)).toThrow(ProtocolError);
  });
});
