import type { NodeConfig } from '../config.ts';
import { formatLsn, type Lsn } from '../lag/lsn.ts';
import type { ReplayWaitOutcome, ReplayWaitSession } from '../lag/node-probe.ts';
import { type ControlClient, controlClient } from './control-client.ts';

const CONNECT_TIMEOUT_MS = 5000;

/**
 * A connection on which a replica is asked to say when it has replayed a position: WAIT FOR LSN of
 * PostgreSQL 19 (https://www.postgresql.org/docs/19/sql-wait-for.html).
 */
export class PgReplayWaitSession implements ReplayWaitSession {
  readonly #control: ControlClient;
  #connected: Promise<unknown> | null = null;

  constructor(config: NodeConfig) {
    this.#control = controlClient(config, {
      // A wait must end by its own TIMEOUT, whatever the role's default for statements is.
      statement_timeout: 0,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    });
    // Whatever is under way rejects by itself.
    this.#control.client.on('error', () => undefined);
  }

  async wait(lsn: Lsn, timeoutMs: number): Promise<ReplayWaitOutcome> {
    const { client } = this.#control;
    this.#connected ??= client.connect();
    await this.#connected;
    const result = await client.query<unknown[]>({
      text: waitForLsnSql(lsn, timeoutMs),
      rowMode: 'array',
    });
    return waitOutcome(result.rows);
  }

  destroy(): void {
    this.#control.cut();
  }
}

/** The simple protocol, outside a transaction: no snapshot may be held while it waits. */
export function waitForLsnSql(lsn: Lsn, timeoutMs: number): string {
  const options = `MODE 'standby_replay', TIMEOUT '${timeoutMs}ms', NO_THROW`;
  return `WAIT FOR LSN '${formatLsn(lsn)}' WITH (${options})`;
}

/** With NO_THROW the answer is one row with one of three words. */
export function waitOutcome(rows: readonly (readonly unknown[])[]): ReplayWaitOutcome {
  if (rows.length !== 1 || rows[0]!.length !== 1) return 'unclear';
  switch (rows[0]![0]) {
    case 'success':
      return 'reached';
    case 'timeout':
      return 'timed-out';
    case 'not in recovery':
      return 'not-in-recovery';
    default:
      return 'unclear';
  }
}
