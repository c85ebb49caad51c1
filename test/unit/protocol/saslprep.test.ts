import { describe, expect, it } from 'vitest';
import { saslPrep } from '../../../src/protocol/saslprep.ts';
import * as tables from '../../../src/protocol/saslprep-tables.ts';

describe('saslPrep', () => {
  // RFC 4013, section 3.
  it.each([
    ['I\u00adX', 'IX', 'a soft hyphen is left out'],
    ['user', 'user', 'no change'],
    ['USER', 'USER', 'case is kept'],
    ['\u00aa', 'a', 'NFKC'],
    ['\u2168', 'IX', 'NFKC'],
    ['a\u00a0b', 'a b', 'a space of another kind becomes a space'],
    ['a\u0301', 'á', 'composed'],
  ])('makes %j into %j: %s', (password, prepared) => {
    expect(saslPrep(password)).toBe(prepared);
  });

  it.each([
    ['\u0007\u2168', 'a control character'],
    ['\u06271\u2168', 'right-to-left text that does not end so'],
    ['\u0627a\u2168\u0627', 'both directions'],
    ['\u{1f995}\u2168', 'a character that Unicode 3.2 does not have'],
    ['\ud800\u2168', 'half a surrogate pair'],
    ['\u00ad', 'nothing left'],
  ])('leaves %j as it is: %s', (password) => {
    expect(saslPrep(password)).toBe(password);
  });

  it('takes ASCII as it is, with control characters, as PostgreSQL does', () => {
    expect(saslPrep('a\u0007b')).toBe('a\u0007b');
  });

  it('takes sound right-to-left text', () => {
    expect(saslPrep('\u0627\u00a01\u0628')).toBe('\u0627 1\u0628');
  });
});

describe.each(Object.entries(tables))('table %s', (_, table) => {
  it('holds ascending ranges', () => {
    expect(table.length % 2).toBe(0);
    for (let i = 1; i < table.length; i++) {
      const [before, here] = [table[i - 1]!, table[i]!];
      // Only the ends of a range of one may be equal.
      expect(i % 2 === 1 ? before <= here : before < here).toBe(true);
    }
  });
});
