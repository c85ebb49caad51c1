import type { Socket } from 'node:net';
import { beforeEach, expect, it } from 'vitest';
import { Reception } from '../../../src/workers/reception.ts';

class FakeWorker {
  isServing = true;
  clients = 0;
  give(): void {
    this.clients += 1;
  }
}

let workers: FakeWorker[];
let reception: Reception;
let turnedAway: number;

beforeEach(() => {
  workers = [new FakeWorker(), new FakeWorker(), new FakeWorker()];
  reception = new Reception(workers);
  turnedAway = 0;
});

function receive(count: number): void {
  const destroy = () => {
    turnedAway += 1;
  };
  for (let i = 0; i < count; i++) reception.receive({ destroy } as unknown as Socket);
}

const clients = () => workers.map((worker) => worker.clients);

it('gives clients to equals in turn', () => {
  const seen: number[] = [];
  for (let i = 0; i < 6; i++) {
    receive(1);
    const index = workers.findIndex((worker) => worker.clients === 1);
    seen.push(index);
    // It has left before the next one comes.
    workers[index]!.clients = 0;
  }
  expect(seen).toEqual([0, 1, 2, 0, 1, 2]);
});

it('fills up the one that has the fewest', () => {
  workers[0]!.clients = 5;
  workers[2]!.clients = 3;
  receive(7);
  expect(clients()).toEqual([5, 5, 5]);
  receive(3);
  expect(clients()).toEqual([6, 6, 6]);
});

it('passes over those that do not serve, and lets clients wait while none does', () => {
  workers[1]!.isServing = false;
  receive(4);
  expect(clients()).toEqual([2, 0, 2]);
  for (const worker of workers) worker.isServing = false;
  receive(3);
  expect(clients()).toEqual([2, 0, 2]);
  workers[1]!.isServing = true;
  reception.hostCame();
  expect(clients()).toEqual([2, 3, 2]);
  expect(turnedAway).toBe(0);
});

it('lets so many wait, and nobody when it closes', () => {
  for (const worker of workers) worker.isServing = false;
  receive(1_002);
  expect(turnedAway).toBe(2);
  reception.close();
  expect(turnedAway).toBe(1_002);
});
