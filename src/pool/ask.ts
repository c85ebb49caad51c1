import { Backend, frameHeaderBytes } from '../protocol/codes.ts';
import { query } from '../protocol/frontend.ts';
import { MessageReader } from '../protocol/reader.ts';
import { Exchange, type ReplySink } from './exchange.ts';
import type { ServerConnection } from './server-connection.ts';
import { steps } from './step.ts';

/** A row as text; null for NULL. */
export type TextRow = readonly (string | null)[];

/** Gathers the answer to a question of the proxy's own. */
class Answer implements ReplySink {
  readonly #pieces: Buffer[] = [];
  readonly #answered: (rows: readonly TextRow[] | null) => void;
  #wasRefused = false;

  constructor(answered: (rows: readonly TextRow[] | null) => void) {
    this.#answered = answered;
  }

  forward(bytes: Buffer): boolean {
    this.#pieces.push(bytes);
    return true;
  }

  refused(): void {
    this.#wasRefused = true;
  }

  ready(): void {
    this.#answered(this.#wasRefused ? null : rowsOf(Buffer.concat(this.#pieces)));
  }

  lost(): void {
    this.#answered(null);
  }

  retries(): boolean {
    return false;
  }

  reports(): boolean {
    return false;
  }

  lastWords(): null {
    return null;
  }

  keepsReady(): boolean {
    return false;
  }

  copyIn(): void {}
}

/**
 * Asks the server something, behind whatever is under way there. `sql` is one query whose result is
 * small. Calls back once, with null when the server refused it or went away.
 */
export function ask(
  server: ServerConnection,
  sql: string,
  answered: (rows: readonly TextRow[] | null) => void,
): void {
  const exchange = new Exchange(new Answer(answered));
  exchange.steps.push(steps.query);
  server.expect(exchange);
  // A simple Query destroys the unnamed statement (exec_simple_query, tcop/postgres.c).
  server.prepared.unnamed = null;
  server.send(query(sql));
}

function rowsOf(frames: Buffer): TextRow[] {
  const rows: TextRow[] = [];
  for (let at = 0; at < frames.length; ) {
    const end = at + 1 + frames.readInt32BE(at + 1);
    if (frames[at] === Backend.DataRow) rows.push(rowOf(frames, at, end));
    at = end;
  }
  return rows;
}

function rowOf(frames: Buffer, start: number, end: number): TextRow {
  const reader = new MessageReader(frames, start + frameHeaderBytes, end);
  const row: (string | null)[] = [];
  for (let left = reader.int16(); left > 0; left--) {
    const bytes = reader.int32();
    row.push(bytes < 0 ? null : reader.bytes(bytes).toString('utf8'));
  }
  return row;
}
