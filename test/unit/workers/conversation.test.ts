import { expect, it } from 'vitest';
import { type Answerer, Conversation } from '../../../src/workers/conversation.ts';

interface Sums {
  add(a: number, b: number): number;
  later(): string;
  fail(why: string): void;
}

interface Names {
  name(index: number): string;
}

/** Two that talk to each other; what passes between them is copied. */
function pair(answerer: Answerer<Sums>) {
  const left: Conversation<Sums, Names> = new Conversation<Sums, Names>(
    (message) => queueMicrotask(() => right.heard(structuredClone(message))),
    { name: (index) => `name ${index}` },
  );
  const right: Conversation<Names, Sums> = new Conversation<Names, Sums>(
    (message) => queueMicrotask(() => left.heard(structuredClone(message))),
    answerer,
  );
  return { left, right };
}

const sums: Answerer<Sums> = {
  add: (a, b) => a + b,
  later: async () => 'done',
  fail: (why) => {
    throw new Error(why);
  },
};

it('gives every question its own answer, in both directions at once', async () => {
  const { left, right } = pair(sums);
  const answers = await Promise.all([
    left.ask('add', 1, 2),
    right.ask('name', 7),
    left.ask('later'),
    left.ask('add', 3, Number.POSITIVE_INFINITY),
  ]);
  expect(answers).toEqual([3, 'name 7', 'done', Number.POSITIVE_INFINITY]);
});

it('keeps answers apart that come out of order', async () => {
  const answers: ((value: string) => void)[] = [];
  const { left } = pair({ ...sums, later: () => new Promise((resolve) => answers.push(resolve)) });
  const [first, second] = [left.ask('later'), left.ask('later')];
  await left.ask('add', 0, 0);
  answers[1]!('b');
  answers[0]!('a');
  expect(await Promise.all([first, second])).toEqual(['a', 'b']);
});

it('tells the asker what went wrong on the other side', async () => {
  const { left } = pair(sums);
  await expect(left.ask('fail', 'no port')).rejects.toThrow('no port');
  expect(await left.ask('add', 1, 1)).toBe(2);
});

it('leaves nobody waiting for one that is gone', async () => {
  const { left } = pair({ ...sums, later: () => new Promise(() => {}) });
  const waiting = left.ask('later');
  left.end('it has crashed');
  await expect(waiting).rejects.toThrow('it has crashed');
  await expect(left.ask('add', 1, 1)).rejects.toThrow('it has crashed');
});
