import { expect, vi } from 'vitest';
import { Gate } from '../../../src/lag/gate.ts';
import { Monitor, type MonitorOptions } from '../../../src/lag/monitor.ts';
import type { MonitorEvent } from '../../../src/lag/monitor-event.ts';
import { noRequirement, type ReadRequirement } from '../../../src/lag/read-requirement.ts';
import { LATENCY_MS, ScriptedServer } from './scripted-server.ts';

export const SAMPLE_INTERVAL_MS = 100;
export const PROBE_TIMEOUT_MS = 500;
export const MAX_STALENESS_MS = 1000;
/** From a server's answer to the monitor that takes it in. */
const PROMISE_HOPS_MAX = 5;

export interface Harness {
  readonly servers: readonly ScriptedServer[];
  readonly monitor: Monitor;
  readonly gate: Gate;
  readonly events: MonitorEvent[];
  eventsOf<T extends MonitorEvent['type']>(type: T): Extract<MonitorEvent, { type: T }>[];
}

/** Faked timers and clock: call vi.useFakeTimers() before, and stopHarness() after each test, which finds timers left behind. */
export async function startHarness(
  servers: readonly ScriptedServer[],
  options: Partial<MonitorOptions> = {},
): Promise<Harness> {
  const events: MonitorEvent[] = [];
  const monitor = new Monitor({
    probes: servers,
    now: () => performance.now(),
    sampleIntervalMs: SAMPLE_INTERVAL_MS,
    probeTimeoutMs: PROBE_TIMEOUT_MS,
    maxStalenessMs: MAX_STALENESS_MS,
    onEvent: (event) => events.push(event),
    ...options,
  });
  const gate = new Gate(monitor);
  let started = false;
  void monitor.start().then(() => {
    started = true;
  });
  while (!started) await pass(1);
  const eventsOf = <T extends MonitorEvent['type']>(type: T) =>
    events.filter((event): event is Extract<MonitorEvent, { type: T }> => event.type === type);
  return { servers, monitor, gate, events, eventsOf };
}

/** A primary at position 1000000 (node 0) and replicas that have all of it. */
export function startCluster(replicas: number): Promise<Harness> {
  const position = 1_000_000;
  return startHarness([
    new ScriptedServer('primary', position),
    ...Array.from({ length: replicas }, () => new ScriptedServer('replica', position)),
  ]);
}

/**
 * Lets `ms` whole milliseconds pass. Not vi.advanceTimersByTimeAsync(), which spends real time on
 * every timer: here only promises have to settle between two milliseconds.
 */
export async function pass(ms: number): Promise<void> {
  for (let i = 0; i < ms; i++) {
    vi.advanceTimersByTime(1);
    for (let hops = 0; hops < PROMISE_HOPS_MAX; hops++) await null;
  }
}

export async function stopHarness(harness: Harness): Promise<void> {
  harness.gate.close();
  await harness.monitor.stop();
  // Answers that were still on their way.
  await pass(2 * LATENCY_MS);
  expect(vi.getTimerCount()).toBe(0);
}

export function asOf(freshAsOfMs: number): ReadRequirement {
  return { ...noRequirement, freshAsOfMs };
}
