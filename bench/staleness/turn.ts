import { setTimeout as sleep } from 'node:timers/promises';
import type { Link } from './links.ts';
import type { RowHistory } from './row-history.ts';
import { type Phase, Session, type Traffic } from './session.ts';
import type { Tally } from './tally.ts';
import type { Target } from './target.ts';

/** Connections, plans and caches are warm by then. */
const warmUpMs = 400;
const connectAttemptsMax = 100;
const reconnectPauseMs = 20;

export interface TurnOptions {
  readonly target: Target;
  /** One for each session. */
  readonly rows: readonly RowHistory[];
  readonly traffic: Traffic;
  readonly measureMs: number;
  readonly tally: Tally;
}

/** Connects the sessions, lets them run for a while, and adds what they saw to the tally. */
export async function playTurn(options: TurnOptions): Promise<void> {
  const { target, rows, measureMs, tally } = options;
  const phase: Phase = { tally: null, over: false };
  const links = await Promise.all(rows.map((_, index) => connect(target, index, phase)));
  const running = links.map((link, index) => keepSession(options, phase, index, link));
  await sleep(warmUpMs);
  const before = await target.requestsByReason?.();
  const startMs = performance.now();
  phase.tally = tally;
  await sleep(measureMs);
  phase.tally = null;
  tally.measuredMs += performance.now() - startMs;
  const after = await target.requestsByReason?.();
  phase.over = true;
  await Promise.all(running);
  if (before !== undefined && after !== undefined) tally.sawRequests(before, after);
}

/** A session that loses its connection takes another one, which knows nothing of what that has seen. */
async function keepSession(
  { target, rows, traffic }: TurnOptions,
  phase: Phase,
  index: number,
  first: Link | null,
): Promise<void> {
  let link = first;
  while (link !== null) {
    await new Session(link, rows[index]!, rows, traffic, phase).run();
    await link.close();
    link = phase.over ? null : await connect(target, index, phase);
  }
}

/**
 * A replica that is far behind under load refuses even logins, by recovery conflicts.
 * @returns null when the phase is over before it is connected
 * @throws what the last attempt failed with
 */
async function connect(target: Target, index: number, phase: Phase): Promise<Link | null> {
  for (let attempt = 1; !phase.over; attempt++) {
    try {
      return await target.connect(index);
    } catch (error) {
      phase.tally?.sawError(error);
      if (attempt === connectAttemptsMax) throw error;
      await sleep(reconnectPauseMs);
    }
  }
  return null;
}
