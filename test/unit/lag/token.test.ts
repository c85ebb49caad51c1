import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Lsn, parseLsn } from '../../../src/lag/lsn.ts';
import { formatToken, parseToken, TokenSyntaxError } from '../../../src/lag/token.ts';

const lsns = fc.bigInt(1n, 2n ** 64n - 1n).map((value) => value as Lsn);

describe('parseToken and formatToken', () => {
  it('reads a whole token and a bare position', () => {
    expect(parseToken('7710356922715825189/2/0/601C958')).toEqual({
      systemId: '7710356922715825189',
      timeline: 2,
      lsn: parseLsn('0/601C958'),
    });
    expect(parseToken('0/601C958')).toEqual({
      systemId: null,
      timeline: null,
      lsn: parseLsn('0/601C958'),
    });
    expect(parseToken('18446744073709551615/4294967295/f/f')).toMatchObject({
      systemId: '18446744073709551615',
      timeline: 2 ** 32 - 1,
    });
    // Compared as text with what servers say, which has no leading zeros.
    expect(parseToken('007/1/0/1').systemId).toBe('7');
  });

  it('round-trips every token', () => {
    const whole = fc.record({
      systemId: fc.bigInt(0n, 2n ** 64n - 1n).map(String),
      timeline: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
      lsn: lsns,
    });
    const bare = fc.record({
      systemId: fc.constant(null),
      timeline: fc.constant(null),
      lsn: lsns,
    });
    fc.assert(
      fc.property(fc.oneof(whole, bare), (token) => {
        expect(parseToken(formatToken(token))).toEqual(token);
      }),
    );
  });

  it.each([
    '',
    '/',
    '///',
    '0/0',
    '1/1/0/0',
    '1/0/0/1',
    '1/-1/0/1',
    '1/01/0/1',
    '1/4294967296/0/1',
    '1/1e3/0/1',
    '18446744073709551616/1/0/1',
    '000000000000000000001/1/0/1',
    '-1/1/0/1',
    '0x1/1/0/1',
    '/1/0/1',
    '1//0/1',
    '1/1/0',
    '1/1/0/1/',
    '1/1/0/1/0',
    ' 0/1',
    '0/1\n',
    '1/1/0/1 ',
    '123456789/0',
    '/'.repeat(500),
  ])('refuses %j in a few words', (text) => {
    expect(() => parseToken(text)).toThrow(TokenSyntaxError);
    try {
      parseToken(text);
    } catch (error) {
      expect((error as Error).message.length).toBeLessThan(80);
    }
  });

  it('throws nothing else, whatever it is given', () => {
    const pieces = fc
      .array(fc.oneof(fc.string(), fc.constantFrom('/', '0', 'F', '1', '99999999999', '-', ' ')))
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), pieces), (text) => {
        try {
          expect(parseToken(text).lsn > 0n).toBe(true);
        } catch (error) {
          if (!(error instanceof TokenSyntaxError)) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });
});
