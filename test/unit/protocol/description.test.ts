import { expect, it } from 'vitest';
import { rowDescription } from '../../../src/protocol/backend.ts';
import { Backend } from '../../../src/protocol/codes.ts';
import {
  isWhole,
  parameterDescription,
  parameterTypes,
  resultShape,
} from '../../../src/protocol/description.ts';
import { message } from '../../../src/protocol/writer.ts';

const shapeOf = (...columns: { name: string; typeOid: number }[]) => {
  const frame = rowDescription(columns);
  return resultShape(frame, 0, frame.length);
};

it('tells results apart by the names and types of their columns', () => {
  const one = { name: 'one', typeOid: 23 };
  expect(shapeOf(one)).toBe(shapeOf({ ...one }));
  expect(shapeOf(one)).not.toBe(shapeOf({ ...one, name: 'other' }));
  expect(shapeOf(one)).not.toBe(shapeOf({ ...one, typeOid: 25 }));
  expect(shapeOf(one)).not.toBe(shapeOf(one, one));
  const none = message(Backend.NoData, () => {});
  expect(resultShape(none, 0, none.length)).toBe('');
});

it('reads the types of as many parameters as there can be', () => {
  for (const count of [0, 1, 65_535]) {
    const types = Array.from({ length: count }, (_, index) => index);
    const frame = parameterDescription(types);
    expect(parameterTypes(frame, 0, frame.length)).toEqual(types);
    expect(isWhole(frame, 0, frame.length)).toBe(true);
    expect(isWhole(frame, 0, frame.length - 1)).toBe(false);
  }
});
