import { expect, it } from 'vitest';
import { Backend } from '../../../src/protocol/codes.ts';
import { message } from '../../../src/protocol/writer.ts';
import { hasNotRun, isStalePlan, retryFor } from '../../../src/session/retry-policy.ts';

function refusal(sqlstate: string, routine = 'someRoutine'): Buffer {
  return message(Backend.ErrorResponse, (writer) => {
    for (const field of ['SFEHLER', 'VERROR', `C${sqlstate}`, 'Mnein', `R${routine}`]) {
      writer.cstring(field);
    }
    writer.byte(0);
  });
}

it.each([
  ['25006', 'retry-refused'],
  ['0A000', 'retry-refused'],
  ['55000', 'retry-refused'],
  ['40001', 'retry-conflict'],
  ['40P01', 'retry-conflict'],
  ['XX000', null],
  ['42P01', null],
  ['57014', null],
  ['22012', null],
] as const)('%s: %s', (sqlstate, retry) => {
  const frame = refusal(sqlstate);
  expect(retryFor(frame, 0, frame.length, false)).toBe(retry);
});

it('a plan that is older than the catalog is old everywhere', () => {
  const frame = refusal('0A000', 'RevalidateCachedQuery');
  expect(isStalePlan(frame, 0, frame.length)).toBe(true);
  expect(retryFor(frame, 0, frame.length, false)).toBeNull();
  const other = refusal('0A000');
  expect(isStalePlan(other, 0, other.length)).toBe(false);
});

it.each(['GetNewTransactionId', 'AssignTransactionId', 'GetNewObjectId'])(
  'an internal error of %s',
  (routine) => {
    const frame = refusal('XX000', routine);
    const padded = Buffer.concat([Buffer.from('before'), frame, Buffer.from('behind')]);
    expect(retryFor(padded, 6, 6 + frame.length, false)).toBe('retry-refused');
  },
);

it.each([
  ['22023', 'retry-session'],
  ['42704', 'retry-session'],
  ['40001', 'retry-conflict'],
] as const)('%s of what any replica would be asked: %s', (sqlstate, retry) => {
  const frame = refusal(sqlstate);
  expect(retryFor(frame, 0, frame.length, true)).toBe(retry);
});

it.each([
  [['C42883', 'P8'], true],
  [['C42601', 'P1'], true],
  [['C42P01'], false],
  [['C42883', 'P8', 'Wfunction f() line 1'], false],
  [['C22012', 'P8'], false],
  [['P8'], false],
] as const)('%j: whether nothing has run is %s', (fields, expected) => {
  const frame = message(Backend.ErrorResponse, (writer) => {
    for (const field of ['SERROR', 'VERROR', ...fields, 'Mno']) writer.cstring(field);
    writer.byte(0);
  });
  expect(hasNotRun(frame, 0, frame.length)).toBe(expected);
});
