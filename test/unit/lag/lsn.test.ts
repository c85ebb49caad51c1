import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatLsn,
  type Lsn,
  LsnSyntaxError,
  lsnDiffBytes,
  normalizeInsertLsn,
  parseLsn,
} from '../../../src/lag/lsn.ts';

const PAGE = 8192n;
const SHORT_HEADER = 24n;
const LONG_HEADER = 40n;

/** Log bytes without headers -> where the next record begins: XLogBytePosToRecPtr in xlog.c. */
function recordStart(bytePos: bigint, segmentBytes: bigint): bigint {
  return position(bytePos, segmentBytes, (_, header) => header);
}

/** Log bytes without headers -> where a record ends: XLogBytePosToEndRecPtr in xlog.c. */
function recordEnd(bytePos: bigint, segmentBytes: bigint): bigint {
  return position(bytePos, segmentBytes, (bytesLeft, header) => (bytesLeft === 0n ? 0n : header));
}

function position(
  bytePos: bigint,
  segmentBytes: bigint,
  headerOf: (bytesLeft: bigint, header: bigint) => bigint,
): bigint {
  const perPage = PAGE - SHORT_HEADER;
  const perSegment = (segmentBytes / PAGE) * perPage - (LONG_HEADER - SHORT_HEADER);
  const segmentStart = (bytePos / perSegment) * segmentBytes;
  const inSegment = bytePos % perSegment;
  const firstPage = PAGE - LONG_HEADER;
  if (inSegment < firstPage) {
    return segmentStart + inSegment + headerOf(inSegment, LONG_HEADER);
  }
  const beyond = inSegment - firstPage;
  const bytesLeft = beyond % perPage;
  const pages = 1n + beyond / perPage;
  return segmentStart + pages * PAGE + bytesLeft + headerOf(bytesLeft, SHORT_HEADER);
}

describe('parseLsn and formatLsn', () => {
  it('reads and prints what PostgreSQL prints', () => {
    expect(parseLsn('16/B374D848')).toBe(0x16b374d848n);
    expect(parseLsn('0/0')).toBe(0n);
    expect(parseLsn('ffffffff/ffffffff')).toBe(2n ** 64n - 1n);
    expect(formatLsn(0x16b374d848n as Lsn)).toBe('16/B374D848');
    expect(formatLsn(0x100000001n as Lsn)).toBe('1/1');
  });

  it('pitfall 14: orders by 64 bits across the half boundary, where text order is wrong', () => {
    expect(parseLsn('1/0') > parseLsn('0/FFFFFFFF')).toBe(true);
    expect(parseLsn('10/0') > parseLsn('9/0')).toBe(true);
    expect(lsnDiffBytes(parseLsn('1/0'), parseLsn('0/FFFFFFFF'))).toBe(1);
    expect(lsnDiffBytes(parseLsn('0/10'), parseLsn('0/20'))).toBe(-16);
  });

  it('round-trips every position', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 2n ** 64n - 1n), (lsn) => {
        expect(parseLsn(formatLsn(lsn as Lsn))).toBe(lsn);
      }),
    );
  });

  it.each([
    '',
    '0',
    '/',
    '0/',
    '/0',
    '0/0/0',
    '0x1/0',
    ' 0/0',
    '0/0\n',
    '123456789/0',
    '0/G',
    '-1/0',
  ])('refuses %j', (text) => {
    expect(() => parseLsn(text)).toThrow(LsnSyntaxError);
  });
});

describe('normalizeInsertLsn', () => {
  const geometry = { walBlockBytes: 8192, walSegmentBytes: 16 * 1024 * 1024 };

  it('moves back from behind a header, and only from there', () => {
    const normalised = (lsn: string) => formatLsn(normalizeInsertLsn(parseLsn(lsn), geometry));
    expect(normalised('0/5458018')).toBe('0/5458000');
    expect(normalised('0/5458019')).toBe('0/5458019');
    expect(normalised('0/5458000')).toBe('0/5458000');
    expect(normalised('0/5000028')).toBe('0/5000000');
    expect(normalised('0/5000029')).toBe('0/5000029');
    expect(normalised('0/5002028')).toBe('0/5002028');
    expect(normalised('1/18')).toBe('1/0');
  });

  it('turns the start of the next record into the end of the last, as xlog.c computes both', () => {
    const segments = fc.constantFrom(1, 16, 64).map((mib) => mib * 1024 * 1024);
    const nearBoundaries = fc
      .tuple(fc.bigInt(0n, 200_000n), fc.bigInt(-50n, 50n))
      .map(([page, off]) => page * (PAGE - SHORT_HEADER) + off)
      .filter((bytePos) => bytePos >= 0n);
    const bytePositions = fc.oneof(nearBoundaries, fc.bigInt(0n, 2n ** 50n));
    fc.assert(
      fc.property(bytePositions, segments, (bytePos, walSegmentBytes) => {
        const start = recordStart(bytePos, BigInt(walSegmentBytes)) as Lsn;
        const sizes = { walBlockBytes: 8192, walSegmentBytes };
        expect(normalizeInsertLsn(start, sizes)).toBe(recordEnd(bytePos, BigInt(walSegmentBytes)));
      }),
      { numRuns: 2000 },
    );
  });
});
