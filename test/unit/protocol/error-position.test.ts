import { describe, expect, test } from 'vitest';
import { withPositionWithout } from '../../../src/protocol/error-position.ts';
import { errorField } from '../../../src/protocol/fields.ts';
import { message } from '../../../src/protocol/writer.ts';

const refused = (...fields: string[]) =>
  message(0x45, (writer) => {
    for (const field of fields) writer.cstring(field);
    writer.byte(0);
  });

const positionIn = (frame: Buffer | null) =>
  frame === null ? null : errorField(frame, 0, frame.length, 'P');

describe('the position of an error', () => {
  const insertions = [
    { behind: 7, characters: 10 },
    { behind: 20, characters: 5 },
  ];

  test.each([
    [7, null],
    [8, null],
    [17, '8'],
    [18, '8'],
    [30, '20'],
    [31, '21'],
    [36, '21'],
    [40, '25'],
  ])('%i among what was put in is the client’s %s', (position, expected) => {
    const frame = refused('SERROR', `P${position}`, 'C42703');
    const moved = withPositionWithout(frame, insertions);
    expect(positionIn(moved)).toBe(expected);
  });

  test('leaves the other fields as they are', () => {
    const frame = refused('SERROR', 'P40', 'C42703', 'Mwhere it is');
    const moved = withPositionWithout(frame, insertions)!;
    expect(moved.equals(refused('SERROR', 'P25', 'C42703', 'Mwhere it is'))).toBe(true);
  });

  test('is not made up', () => {
    expect(withPositionWithout(refused('SERROR', 'C42703', 'p12', 'MP3'), insertions)).toBe(null);
  });
});
