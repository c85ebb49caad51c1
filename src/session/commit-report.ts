import type { Gate, Waiter } from '../lag/gate.ts';
import type { Lsn } from '../lag/lsn.ts';
import type { Monitor } from '../lag/monitor.ts';
import { formatToken } from '../lag/token.ts';
import { parameterStatus, readyForQueryIdle } from '../protocol/backend.ts';

/** The parameter by which clients hear of their token. */
export const tokenParameter = 'tidemark.lsn';
/** A commit is not held back for longer, ms: then its token is left out. */
const reportWaitMaxMs = 1000;

/** The token for a position of the present primary; null while it has none. */
export function tokenFor(monitor: Monitor, lsn: Lsn): string | null {
  const primary = monitor.primary();
  if (primary === -1) return null;
  const { systemId, timeline } = monitor.nodes[primary]!;
  return systemId === null || timeline === null ? null : formatToken({ systemId, timeline, lsn });
}

/** Tells a client that asked for it the token of each commit, in front of its ReadyForQuery. */
export class CommitReport {
  readonly #monitor: Monitor;
  readonly #gate: Gate;
  #waiter: Waiter | null = null;

  constructor(monitor: Monitor, gate: Gate) {
    this.#monitor = monitor;
    this.#gate = gate;
  }

  /** A commit was acknowledged: `said` gets the token, if there is one in time, and ReadyForQuery. */
  start(said: (messages: Buffer) => void): void {
    const nowMs = this.#monitor.now();
    this.#waiter = this.#gate.waitForSample(nowMs, nowMs + reportWaitMaxMs, (lsn) => {
      this.#waiter = null;
      const token = lsn === null ? null : tokenFor(this.#monitor, lsn);
      const news = token === null ? [] : [parameterStatus(tokenParameter, token)];
      said(Buffer.concat([...news, readyForQueryIdle]));
    });
  }

  cancel(): void {
    this.#waiter?.cancel();
    this.#waiter = null;
  }
}
