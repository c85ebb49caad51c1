import type { Consistency } from '../../src/config.ts';

/** What a register held: its version, counted up by every write, and who wrote that version. */
export interface Value {
  readonly register: number;
  readonly version: number;
  readonly writer: number;
}

/** The writer of version 0, which is there from the start. */
export const initialWriter = 0;

interface Performed {
  readonly session: number;
  readonly proxy: number;
  /** Port of the server that ran it; 0 where nobody said. */
  readonly node: number;
  /** Before the first byte was sent; of a transaction's statements, before its BEGIN was. */
  readonly startMs: number;
  /** After the last byte had come. */
  readonly endMs: number;
  /** How it was put, for reports. */
  readonly form: string;
}

/** Values that one or several statements returned. */
export interface Read extends Performed {
  readonly kind: 'read';
  readonly level: Consistency;
  readonly maxStalenessMs: number;
  /** The token in force (tidemark.min_lsn), or null. */
  readonly token: number | null;
  readonly servedByPrimary: boolean;
  /** When the session was last told that writes of its own may be lost; -Infinity: never. */
  readonly warnedMs: number;
  /** All values come from one snapshot of the database. */
  readonly isSnapshot: boolean;
  readonly values: readonly Value[];
}

/**
 * acknowledged: the client was told that it is committed. failed: the client was told that it is
 * not. unknown: the client was told neither, and it may be committed at any later time.
 */
export type Outcome = 'acknowledged' | 'failed' | 'unknown';

/** One register counted up by one. The end is that of its COMMIT. */
export interface Write extends Performed {
  readonly kind: 'write';
  /** Unique in the history, and not initialWriter. */
  readonly writer: number;
  readonly register: number;
  /** What RETURNING said; null if nothing came back. */
  readonly version: number | null;
  readonly outcome: Outcome;
  /** The same for all writes that commit together. */
  readonly transaction: number;
}

/** A token for all that the session wrote and saw before it asked. */
export interface TakenToken extends Performed {
  readonly kind: 'token';
  readonly token: number;
}

export type Operation = Read | Write | TakenToken;

/** One line of the log table: a committed write as the server knows it. */
export interface LogEntry extends Value {
  /** The server that ran it. */
  readonly port: number;
}

/** A replica became the primary. It had all that the promotion before it had kept. */
export interface Promotion {
  readonly port: number;
  /** Before it was asked for. The primary before it never ran again after this. */
  readonly requestedMs: number;
}

/** What clients did and were told, and what is left of it. */
export interface History {
  /** Complete: every read that was answered, every write that was sent. By their ends. */
  readonly operations: readonly Operation[];
  readonly firstPrimaryPort: number;
  /** Oldest first. */
  readonly promotions: readonly Promotion[];
  /** The log table of the last primary, read after the last write was over. */
  readonly log: readonly LogEntry[];
}
