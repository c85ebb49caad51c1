import { expect, it } from 'vitest';
import { CancelKeys } from '../../../src/session/cancel-keys.ts';
import { othersBySupervisor } from '../../../src/workers/others-by-supervisor.ts';

const count = 3;
const others = Array.from({ length: count }, (_, index) =>
  othersBySupervisor({ ask: () => Promise.reject(new Error('was asked')) }, { index, count }),
);

it('knows by its number that a session is of another worker', () => {
  for (let index = 0; index < count; index++) {
    const { pid } = new CancelKeys<null>({ index, count }).issue(0, () => null).key;
    expect(others.map((other) => other.haveSession(pid))).toEqual(
      others.map((_, at) => at !== index),
    );
  }
});

it('leaves the numbers of server processes to the server', () => {
  for (const pid of [-5, 0, 1, 4711, 2 ** 22]) {
    for (const other of others) expect(other.haveSession(pid)).toBe(false);
  }
});
