import assert from 'node:assert';
import { Frontend } from '../protocol/codes.ts';

/**
 *     idle ----> waiting ----> active ----> idle
 *      |            ^           |  ^
 *      |            +-- again --+  +------> copying (the client sends CopyData)
 *      +-> idle (answered here, or more of a batch to come)         any -> closed
 */
export type Phase = 'idle' | 'waiting' | 'active' | 'copying' | 'closed';

const edges: Record<Phase, readonly Phase[]> = {
  idle: ['waiting', 'closed'],
  waiting: ['active', 'idle', 'closed'],
  active: ['idle', 'waiting', 'copying', 'closed'],
  copying: ['active', 'idle', 'closed'],
  closed: [],
};

export function checkEdge(from: Phase, to: Phase): void {
  // The message is made where it is wanted: every request comes by here.
  if (!edges[from].includes(to)) assert.fail(`session: ${from} -> ${to}`);
}

/** What a client may send while the server waits for CopyData. */
export const copyTypes: ReadonlySet<number> = new Set([
  Frontend.CopyData,
  Frontend.CopyDone,
  Frontend.CopyFail,
  Frontend.Sync,
  Frontend.Flush,
]);

/** CopyData or its end. */
export const isCopyMessage = (type: number) =>
  type === Frontend.CopyData || type === Frontend.CopyDone || type === Frontend.CopyFail;
