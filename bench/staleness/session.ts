import { setTimeout as sleep } from 'node:timers/promises';
import type { Link } from './links.ts';
import type { RowHistory } from './row-history.ts';
import type { Tally } from './tally.ts';

export interface Traffic {
  /** Reads of the row just written, after each write. */
  readonly ownReads: number;
  /** Reads of other sessions' rows after those. */
  readonly otherReads: number;
  /** Mean pause after each statement, in milliseconds; 0: none. */
  readonly thinkMs: number;
}

/** Whether what the sessions see counts, and whether they are to go on. */
export interface Phase {
  tally: Tally | null;
  over: boolean;
}

/** One connection: it alone writes its own row, and remembers what it has read of every row. */
export class Session {
  readonly #link: Link;
  readonly #own: RowHistory;
  readonly #others: readonly RowHistory[];
  readonly #traffic: Traffic;
  readonly #phase: Phase;
  readonly #seen = new Map<number, number>();

  /** @param rows of all sessions of the target */
  constructor(
    link: Link,
    own: RowHistory,
    rows: readonly RowHistory[],
    traffic: Traffic,
    phase: Phase,
  ) {
    this.#link = link;
    this.#own = own;
    this.#others = rows.filter((row) => row !== own);
    this.#traffic = traffic;
    this.#phase = phase;
  }

  /** Writes and reads until the phase is over or the connection lost. What fails is tallied. */
  async run(): Promise<void> {
    while (!this.#phase.over) {
      try {
        await this.#cycle();
      } catch (error) {
        this.#phase.tally?.sawError(error);
        if (!isOfStatement(error)) return;
      }
    }
  }

  async #cycle(): Promise<void> {
    await this.#write();
    await this.#think();
    for (let read = 0; read < this.#traffic.ownReads; read++) await this.#readUnlessOver(this.#own);
    for (let read = 0; read < this.#traffic.otherReads; read++) {
      await this.#readUnlessOver(this.#others[Math.floor(Math.random() * this.#others.length)]);
    }
  }

  /** A session alone has no others to read of. */
  async #readUnlessOver(row: RowHistory | undefined): Promise<void> {
    if (this.#phase.over || row === undefined) return;
    await this.#read(row);
    await this.#think();
  }

  /** Half to one and a half of the mean, so that sessions do not march in step. */
  async #think(): Promise<void> {
    const { thinkMs } = this.#traffic;
    if (thinkMs > 0 && !this.#phase.over) await sleep(thinkMs * (0.5 + Math.random()));
  }

  async #write(): Promise<void> {
    const sentMs = performance.now();
    await this.#link.write(this.#own.id, this.#own.acknowledged + 1);
    const answeredMs = performance.now();
    this.#own.acknowledge(answeredMs);
    this.#phase.tally?.sawWrite(answeredMs - sentMs);
  }

  async #read(row: RowHistory): Promise<void> {
    const own = row === this.#own;
    const written = own ? row.acknowledged : 0;
    const seen = this.#seen.get(row.id) ?? 0;
    const sentMs = performance.now();
    const { version, onReplica } = await this.#link.read(row.id);
    const answeredMs = performance.now();
    this.#seen.set(row.id, Math.max(seen, version));
    this.#phase.tally?.sawRead({
      own,
      onReplica,
      behindOwnWrite: version < written,
      wentBack: version < seen,
      ageMs: row.ageMs(version, sentMs),
      latencyMs: answeredMs - sentMs,
    });
  }
}

/** A server's ERROR ends the statement; FATAL, and what is no answer of a server, the connection. */
function isOfStatement(error: unknown): boolean {
  return (error as { severity?: string }).severity === 'ERROR';
}
