import { within } from './within.ts';

interface Stoppable {
  stop(graceful: boolean): Promise<void>;
}

/** What of the process is needed here; a plain emitter in tests. */
interface SignalSource {
  on(signal: 'SIGINT' | 'SIGTERM', listener: () => void): unknown;
  off(signal: 'SIGINT' | 'SIGTERM', listener: () => void): unknown;
}

export const stopLimits = {
  /** Clients may finish for this long; below the 30 s after which orchestrators kill. */
  gracefulMs: 20_000,
  /** An immediate stop ends its servers and closes its sockets; it waits for no client. */
  immediateMs: 8_000,
  /** One Ctrl-C arrives twice under npm: from the terminal, and passed on by npm. */
  echoMs: 500,
} as const;

type StopLimits = { readonly [K in keyof typeof stopLimits]: number };

/**
 * Starts something and stops it at the first SIGINT or SIGTERM: gracefully, but at once from the
 * second signal on or when `gracefulMs` are over. A first signal during the start takes effect
 * when the start is done, because half a start cannot be stopped cleanly; a second one gives it up.
 * @returns when it is stopped or given up
 * @throws what `start` or `stop` throws
 */
export async function runUntilSignal(
  source: SignalSource,
  start: () => Promise<Stoppable>,
  limits: StopLimits = stopLimits,
): Promise<void> {
  const signals = listenForTwo(source, limits.echoMs);
  try {
    const running = await Promise.race([start(), signals.second]);
    if (running === 'second') {
      return;
    }
    await signals.first;
    const graceful = running.stop(true).then(() => 'stopped' as const);
    // Its failure is seen by the race, or overtaken by the immediate stop.
    graceful.catch(() => undefined);
    const outcome = await within(limits.gracefulMs, Promise.race([graceful, signals.second]));
    if (outcome !== 'stopped') {
      await within(limits.immediateMs, running.stop(false));
    }
  } finally {
    signals.close();
  }
}

interface TwoSignals {
  readonly first: Promise<void>;
  readonly second: Promise<'second'>;
  close(): void;
}

function listenForTwo(source: SignalSource, echoMs: number): TwoSignals {
  let onFirst!: () => void;
  let onSecond!: () => void;
  const first = new Promise<void>((resolve) => {
    onFirst = resolve;
  });
  const second = new Promise<'second'>((resolve) => {
    onSecond = () => resolve('second');
  });
  let firstAt: number | null = null;
  const listener = () => {
    const now = performance.now();
    if (firstAt === null) {
      firstAt = now;
      onFirst();
    } else if (now - firstAt >= echoMs) {
      onSecond();
    }
  };
  source.on('SIGINT', listener);
  source.on('SIGTERM', listener);
  return {
    first,
    second,
    close: () => {
      source.off('SIGINT', listener);
      source.off('SIGTERM', listener);
    },
  };
}
