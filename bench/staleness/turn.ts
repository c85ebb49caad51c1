import { setTimeout as sleep } from 'node:timers/promises';
import type { RowHistory } from './row-history.ts';
import { type Phase, Session, type Traffic } from './session.ts';
import type { Tally } from './tally.ts';
import type { Target } from './target.ts';

/** Connections, plans and caches are warm by then. */
const warmUpMs = 400;

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
  const { target, rows, traffic, measureMs, tally } = options;
  const links = await Promise.all(rows.map((_, index) => target.connect(index)));
  const phase: Phase = { tally: null, over: false };
  const running = rows.map((row, index) =>
    new Session(links[index]!, row, rows, traffic, phase).run(),
  );
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
  await Promise.all(links.map((link) => link.close()));
}
