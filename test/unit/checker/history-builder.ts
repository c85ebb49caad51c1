import type { Consistency } from '../../../src/config.ts';
import type {
  History,
  LogEntry,
  Operation,
  Promotion,
  Read,
  TakenToken,
  Value,
  Write,
} from '../../checker/history.ts';

/** Ports of the first primary, of a replica, and of the replica that is promoted. */
export const primary = 1;
export const replica = 2;
export const promoted = 3;

interface When {
  readonly session?: number;
  readonly proxy?: number;
  readonly node?: number;
  /** Start and end, ms. */
  readonly at: readonly [number, number];
}

interface ReadWish extends When {
  readonly level?: Consistency;
  readonly maxStalenessMs?: number;
  readonly token?: number;
  readonly servedByPrimary?: boolean;
  /** Default: always. */
  readonly warnedMs?: number;
  readonly isSnapshot?: boolean;
}

/** A history by hand: times in milliseconds, operations in any order. */
export class HistoryBuilder {
  readonly #operations: Operation[] = [];
  readonly #promotions: Promotion[] = [];
  readonly log: LogEntry[] = [];
  #writer = 0;

  /** A write that is in the log, unless it is told to be lost. */
  write(
    register: number,
    version: number,
    when: When,
    more: Partial<Write> & { readonly isLost?: boolean } = {},
  ): Value {
    const { isLost = false, ...over } = more;
    this.#writer += 1;
    const writer = this.#writer;
    const node = when.node ?? primary;
    const outcome = 'acknowledged';
    const transaction = writer;
    const rest = { writer, register, version, outcome, transaction } as const;
    const write: Write = { kind: 'write', ...performed(when), node, ...rest, ...over };
    this.#operations.push(write);
    const value = { register, version, writer };
    if (!isLost && write.outcome !== 'failed') this.log.push({ ...value, port: node });
    return value;
  }

  read(values: Value | readonly Value[], wish: ReadWish): Read {
    const read: Read = {
      kind: 'read',
      ...performed(wish),
      node: wish.node ?? replica,
      level: wish.level ?? 'session',
      maxStalenessMs: wish.maxStalenessMs ?? 1_000_000,
      token: wish.token ?? null,
      servedByPrimary: wish.servedByPrimary ?? false,
      warnedMs: wish.warnedMs ?? Number.POSITIVE_INFINITY,
      isSnapshot: wish.isSnapshot ?? true,
      values: 'writer' in values ? [values] : values,
    };
    this.#operations.push(read);
    return read;
  }

  take(token: number, when: When): TakenToken {
    const taken: TakenToken = { kind: 'token', ...performed(when), token };
    this.#operations.push(taken);
    return taken;
  }

  promote(port: number, requestedMs: number): void {
    this.#promotions.push({ port, requestedMs });
  }

  build(): History {
    return {
      operations: [...this.#operations].sort((a, b) => a.endMs - b.endMs),
      firstPrimaryPort: primary,
      promotions: this.#promotions,
      log: this.log,
    };
  }
}

function performed({ session = 0, proxy = 0, node = primary, at: [startMs, endMs] }: When) {
  return { session, proxy, node, startMs, endMs, form: 'by hand' };
}

export const initial = (register: number): Value => ({ register, version: 0, writer: 0 });
