import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as frontend from '../../../src/protocol/frontend.ts';
import { ProtocolError } from '../../../src/protocol/protocol-error.ts';
import { parseStartupPacket, startupPacketBytes } from '../../../src/protocol/startup.ts';

/** A startup packet with this version and body. */
function packet(version: number, body: string | Buffer = '\0'): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(8), Buffer.from(body)]);
  bytes.writeInt32BE(bytes.length, 0);
  bytes.writeUInt32BE(version >>> 0, 4);
  return bytes;
}

const version3 = 3 << 16;

describe('parseStartupPacket', () => {
  it('reads version, parameters and protocol options', () => {
    const bytes = frontend.startup(
      [
        ['user', 'Jürgen'],
        ['_pq_.a', '1'],
        ['options', '-c geqo=off'],
        ['user', 'last'],
        ['empty', ''],
      ],
      2,
    );
    expect(parseStartupPacket(bytes)).toEqual({
      kind: 'startup',
      major: 3,
      minor: 2,
      params: new Map([
        ['user', 'last'],
        ['options', '-c geqo=off'],
        ['empty', ''],
      ]),
      protocolOptions: ['_pq_.a'],
    });
  });

  it('reads requests that stand in place of a version', () => {
    expect(parseStartupPacket(frontend.sslRequest)).toEqual({ kind: 'ssl' });
    expect(parseStartupPacket(frontend.gssEncRequest)).toEqual({ kind: 'gssenc' });
    for (const bytes of [4, 32, 256]) {
      const secret = Buffer.alloc(bytes, 7);
      const cancel = frontend.cancelRequest(99, secret);
      expect(parseStartupPacket(cancel)).toEqual({ kind: 'cancel', pid: 99, secret });
    }
  });

  it.each([0, 3, 257])('refuses a cancel key of %i bytes', (bytes) => {
    const body = Buffer.alloc(4 + bytes);
    expect(() => parseStartupPacket(packet(80877102, body))).toThrow(
      new ProtocolError('invalid length of cancel key'),
    );
  });

  it.each([
    [0, 0, 0],
    [2 << 16, 2, 0],
    [4 << 16, 4, 0],
    [0xffff_ffff, 0xffff, 0xffff],
  ])('reads version %i without its body', (version, major, minor) => {
    expect(parseStartupPacket(packet(version, 'anything'))).toEqual({
      kind: 'unsupported',
      major,
      minor,
    });
  });

  it.each([
    ['no terminator at all', ''],
    ['no terminator behind the last value', 'user\0u\0'],
    ['a name without value', 'user\0\0'],
    ['a name that does not end', 'user'],
    ['a value that does not end', 'user\0u'],
    ['something behind the terminator', 'user\0u\0\0x'],
    ['an empty name in the middle', 'user\0u\0\0\0\0'],
    ['another last byte', 'user\0u\0x'],
  ])('refuses %s', (_, body) => {
    expect(() => parseStartupPacket(packet(version3, body))).toThrow(ProtocolError);
  });

  it('refuses user and database names that are not UTF-8, takes other values', () => {
    for (const name of ['user', 'database']) {
      const body = Buffer.concat([Buffer.from(`${name}\0`), Buffer.from([0xff, 0, 0])]);
      expect(() => parseStartupPacket(packet(version3, body))).toThrow(/not valid UTF-8/);
    }
    const body = Buffer.concat([Buffer.from('application_name\0'), Buffer.from([0xe9, 0, 0])]);
    expect(parseStartupPacket(packet(version3, body)).kind).toBe('startup');
  });

  it('raises ProtocolError when cut at any byte', () => {
    const whole = frontend.startup([
      ['user', 'u'],
      ['database', 'd'],
    ]);
    for (let cut = 0; cut < whole.length; cut++) {
      expect(() => parseStartupPacket(whole.subarray(0, cut))).toThrow(ProtocolError);
      const relabelled = Buffer.from(whole.subarray(0, cut));
      if (cut >= 4) relabelled.writeInt32BE(cut, 0);
      expect(() => parseStartupPacket(relabelled)).toThrow(ProtocolError);
    }
  });

  it('raises nothing but ProtocolError on random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), (bytes, asVersion3) => {
        try {
          parseStartupPacket(packet(asVersion3 ? version3 : 80877102, Buffer.from(bytes)));
          parseStartupPacket(Buffer.from(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
    );
  });
});

describe('startupPacketBytes', () => {
  const word = (bytes: number) => {
    const buffer = Buffer.alloc(4);
    buffer.writeInt32BE(bytes);
    return buffer;
  };

  it('takes 8 to 10,000 bytes', () => {
    expect(startupPacketBytes(word(8))).toBe(8);
    expect(startupPacketBytes(word(10_000))).toBe(10_000);
  });

  it.each([-1, 0, 3, 4, 7, 10_001, 0x7fff_ffff])('refuses %i', (bytes) => {
    expect(() => startupPacketBytes(word(bytes))).toThrow(
      new ProtocolError('invalid length of startup packet'),
    );
  });
});
