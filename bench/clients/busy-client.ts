import { Backend } from '../../src/protocol/codes.ts';
import { anyLengthMax, FrameScanner, Scan } from '../../src/protocol/frames.ts';
import { query } from '../../src/protocol/frontend.ts';
import { describeFrame, type RawClient } from '../../test/support/raw-client.ts';
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
  /** The first error that it was told, or null. */
  failure: string | null = null;
  readonly #client: RawClient;
  readonly #index: number;
  readonly #statement: (client: number) => string;
  readonly #waits: Latencies;
  readonly #scanner = new FrameScanner({
    lengthMax: anyLengthMax,
    assembledBytesMax: 64 * 1024,
    headBytesMin: 1024,
  });
  #sentAtMs = 0;
  #hasEnded = false;

  constructor(client: RawClient, index: number, load: LoadName, waits: Latencies) {
    this.#client = client;
    this.#index = index;
    this.#statement = statementOf[load];
    this.#waits = waits;
    client.count();
    client.socket.on('data', (chunk: Buffer) => this.#read(chunk));
  }

  start(): void {
    this.#sentAtMs = performance.now();
    this.#client.socket.write(query(this.#statement(this.#index)));
  }

  end(): void {
    this.#hasEnded = true;
    this.#client.destroy();
  }

  #read(chunk: Buffer): void {
    const scanner = this.#scanner;
    scanner.feed(chunk);
    while (scanner.next() !== Scan.NeedMore) {
      if (scanner.type === Backend.ErrorResponse) this.#fail();
      if (scanner.type === Backend.ReadyForQuery) this.#answered();
    }
  }

  #fail(): void {
    const { buffer, start, end } = this.#scanner;
    this.failure ??= describeFrame({ type: 'E', bytes: buffer.subarray(start, end) });
  }

  #answered(): void {
    if (this.#hasEnded) return;
    this.#waits.record(performance.now() - this.#sentAtMs);
    this.statements += 1;
    this.start();
  }
}
