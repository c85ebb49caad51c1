import { EventEmitter } from 'node:events';
import { expect, it } from 'vitest';
import { runUntilSignal } from '../../../src/run-until-signal.ts';

const patient = { gracefulMs: 60_000, immediateMs: 60_000, echoMs: 0 };
const never = () => new Promise<never>(() => undefined);

/** Something that stops at once, or only when it is told to stop immediately. */
function startable(graceful: () => Promise<void>) {
  const stops: boolean[] = [];
  const start = async () => ({
    stop: (isGraceful: boolean) => {
      stops.push(isGraceful);
      return isGraceful ? graceful() : Promise.resolve();
    },
  });
  return { stops, start };
}

/** Lets everything that is ready run. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

it.each(['SIGINT', 'SIGTERM'])('stops gracefully at %s', async (signal) => {
  const source = new EventEmitter();
  const { stops, start } = startable(async () => undefined);
  const running = runUntilSignal(source, start, patient);
  await settle();
  expect(stops).toEqual([]);
  source.emit(signal);
  await running;
  expect(stops).toEqual([true]);
  expect(source.listenerCount(signal)).toBe(0);
});

it('stops at once at the second signal', async () => {
  const source = new EventEmitter();
  const { stops, start } = startable(never);
  const running = runUntilSignal(source, start, patient);
  await settle();
  source.emit('SIGINT');
  await settle();
  expect(stops).toEqual([true]);
  source.emit('SIGTERM');
  await running;
  expect(stops).toEqual([true, false]);
});

it('takes the echo of a signal for the same one', async () => {
  const source = new EventEmitter();
  const { stops, start } = startable(never);
  const running = runUntilSignal(source, start, { ...patient, gracefulMs: 50, echoMs: 60_000 });
  await settle();
  source.emit('SIGINT');
  source.emit('SIGINT');
  await settle();
  expect(stops).toEqual([true]);
  await running;
});

it('stops at once when stopping gracefully takes too long', async () => {
  const { stops, start } = startable(never);
  const source = new EventEmitter();
  const running = runUntilSignal(source, start, { ...patient, gracefulMs: 1 });
  await settle();
  source.emit('SIGTERM');
  await running;
  expect(stops).toEqual([true, false]);
});

it('keeps a signal that comes during the start until the start is done', async () => {
  const source = new EventEmitter();
  const { stops, start } = startable(async () => undefined);
  const running = runUntilSignal(
    source,
    async () => {
      source.emit('SIGINT');
      await settle();
      expect(stops).toEqual([]);
      return start();
    },
    patient,
  );
  await running;
  expect(stops).toEqual([true]);
});

it('gives a start up at the second signal', async () => {
  const source = new EventEmitter();
  const running = runUntilSignal(source, never, patient);
  source.emit('SIGINT');
  source.emit('SIGINT');
  await running;
});

it('passes on why a start failed, and listens no more', async () => {
  const source = new EventEmitter();
  const failing = () => Promise.reject(new Error('port in use'));
  await expect(runUntilSignal(source, failing, patient)).rejects.toThrow('port in use');
  expect(source.listenerCount('SIGINT')).toBe(0);
});
