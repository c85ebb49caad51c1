import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatDuration, parseDuration } from '../../../src/session/duration.ts';

describe('a time', () => {
  it.each([
    ['500', 500],
    [' 500 ', 500],
    ['500ms', 500],
    ['1.5s', 1500],
    ['1.5 s', 1500],
    ['.5s', 500],
    ['2min', 120_000],
    ['1h', 3_600_000],
    ['1d', 86_400_000],
    ['1500us', 2],
    ['1e3', 1000],
    ['-1', -1],
    ['0', 0],
  ])('%j is %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(['', 'ms', '1 second', '5S', '1.2.3', '1s 2ms', 'on', '0x', 'NaN', '1e400'])(
    '%j is none',
    (text) => {
      expect(parseDuration(text)).toBeNull();
    },
  );

  it.each([
    [0, '0'],
    [1, '1ms'],
    [1500, '1500ms'],
    [5000, '5s'],
    [60_000, '1min'],
    [90_000, '90s'],
    [86_400_000, '1d'],
  ])('%d ms is shown as %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it('is read back as it was shown', () => {
    fc.assert(
      fc.property(fc.nat(86_400_000), (ms) => {
        expect(parseDuration(formatDuration(ms))).toBe(ms);
      }),
    );
    fc.assert(
      fc.property(fc.string(), (text) => {
        parseDuration(text);
      }),
    );
  });
});
