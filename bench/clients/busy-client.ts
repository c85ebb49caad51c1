import { query } from '../../src/protocol/frontend.ts';
import type { LockstepClient } from '../../test/support/lockstep-client.ts';
import type { Latencies } from '../support/latencies.ts';
import { schema, sessionsTable } from '../throughput/bench-tables.ts';
import type { LoadName } from './crowd-command.ts';

/** Of the tables at scale 1. */
const accounts = 100_000;

/** What a busy client sends. Reads may share a server connection, writes need one each. */
const statementOf: Record<LoadName, (client: number) => string> = {
  reads: () =>
    `SELECT abalance FROM ${schema}.pgbench_accounts WHERE aid = ${1 + Math.floor(Math.random() * accounts)}`,
  writes: (client) => `UPDATE ${sessionsTable} SET version = version + 1 WHERE id = ${client}`,
};

/** Sends a statement when the one before has been answered, as fast as it goes. */
export class BusyClient {
  /** Answered so far. */
  statements = 0;
  /** The error that has ended it, or null. */
  failure: string | null = null;
  readonly #client: LockstepClient;
  readonly #index: number;
  readonly #statement: (client: number) => string;
  readonly #waits: Latencies;

  constructor(client: LockstepClient, index: number, load: LoadName, waits: Latencies) {
    this.#client = client;
    this.#index = index;
    this.#statement = statementOf[load];
    this.#waits = waits;
  }

  async run(isOver: () => boolean): Promise<void> {
    try {
      while (!isOver()) {
        const sentAtMs = performance.now();
        await this.#client.ask(query(this.#statement(this.#index)));
        this.#waits.record(performance.now() - sentAtMs);
        this.statements += 1;
      }
    } catch (error) {
      this.failure = (error as Error).message;
    }
    this.#client.close();
  }
}
