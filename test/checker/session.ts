import { performance } from 'node:perf_hooks';
import type { Consistency } from '../../src/config.ts';
import type { Value } from './history.ts';
import type { Random } from './random.ts';
import { countError, type Recorder } from './recorder.ts';
import type { Answer, RegisterClient } from './register-client.ts';
import type { PassedToken, TokenExchange } from './token-exchange.ts';

/** What a session's reads are entitled to, by its settings. */
export interface Entitlement {
  readonly level: Consistency;
  readonly maxStalenessMs: number;
  readonly token: PassedToken | null;
}

export interface SessionOptions {
  /** Unique in the history. */
  readonly number: number;
  readonly proxy: number;
  readonly client: RegisterClient;
  readonly random: Random;
  readonly recorder: Recorder;
  readonly exchange: TokenExchange;
  /** By the startup packet and the proxy's configuration: where RESET goes back to. */
  readonly entitlement: Entitlement;
}

/** invalid_parameter_value and object_not_in_prerequisite_state: what a token can be refused with. */
const tokenErrors: ReadonlySet<string | null> = new Set(['22023', '55000']);

/** What the client of one connection knows, and how it writes down what it does. */
export class Session {
  readonly number: number;
  readonly proxy: number;
  readonly client: RegisterClient;
  readonly random: Random;
  readonly recorder: Recorder;
  readonly exchange: TokenExchange;
  readonly #initial: Entitlement;
  entitlement: Entitlement;
  /** Of the last read, whatever became of it. */
  lastLevel: Consistency;
  /** A read has failed because of the token in force: a promotion has lost it, or is not over. */
  isTokenRefused = false;

  constructor(options: SessionOptions) {
    this.number = options.number;
    this.proxy = options.proxy;
    this.client = options.client;
    this.random = options.random;
    this.recorder = options.recorder;
    this.exchange = options.exchange;
    this.#initial = options.entitlement;
    this.entitlement = options.entitlement;
    this.lastLevel = options.entitlement.level;
  }

  /** The connection broke, or the last answer left it in no state to go on. */
  get isOver(): boolean {
    return this.client.isClosed;
  }

  /** COMMIT or ROLLBACK. One that fails leaves a failed transaction, whatever has become of it. */
  async endTransaction(sql: 'commit' | 'rollback'): Promise<Answer> {
    const answer = await this.client.simple(sql);
    if (answer.sqlstate !== null && !this.isOver) await this.client.simple('rollback');
    return answer;
  }

  /** RESET ALL and DISCARD ALL. */
  resetEntitlement(): void {
    this.entitlement = this.#initial;
  }

  /** Writes a read down, or its failure. False: it has failed. */
  record(form: string, startMs: number, answer: Answer, how: ReadManner = {}): boolean {
    const { level, maxStalenessMs, token } = how.entitlement ?? this.entitlement;
    this.lastLevel = level;
    if (answer.sqlstate !== null || answer.isLost) {
      if (token !== null && tokenErrors.has(answer.sqlstate)) this.isTokenRefused = true;
      countError(this.recorder.level(level).errors, answer.sqlstate ?? 'lost');
      return false;
    }
    const [first] = answer.rows;
    if (first === undefined) throw new Error(`${form}: a read without rows`);
    const servedBy = Number(first[3]);
    this.recorder.read(
      {
        kind: 'read',
        ...this.#performed(form, startMs, Math.abs(servedBy)),
        level,
        maxStalenessMs,
        token: token?.number ?? null,
        servedByPrimary: servedBy > 0,
        warnedMs: this.client.warnedMs,
        isSnapshot: how.isSnapshot ?? false,
        values: answer.rows.map(value),
      },
      token !== null && token.proxy !== this.proxy,
    );
    return true;
  }

  /** Writes down what became of writes that commit, or not, together. */
  recordWrites(form: string, startMs: number, writes: readonly Attempt[], ended: Ended): void {
    const transaction = writes[0]?.writer ?? 0;
    for (const { writer, register, row } of writes) {
      this.recorder.write({
        kind: 'write',
        ...this.#performed(form, startMs, row === undefined ? 0 : Math.abs(Number(row[3]))),
        writer,
        register,
        version: row === undefined ? null : Number(row[1]),
        outcome: ended,
        transaction,
      });
    }
  }

  recordToken(form: string, startMs: number, text: string): void {
    const { number } = this.exchange.leave(text, this.number, this.proxy);
    this.recorder.operations.push({
      kind: 'token',
      ...this.#performed(form, startMs, 0),
      token: number,
    });
    this.recorder.tokensTaken += 1;
  }

  #performed(form: string, startMs: number, node: number) {
    const { number: session, proxy } = this;
    return { session, proxy, node, startMs, endMs: performance.now(), form };
  }
}

export interface ReadManner {
  /** Where it differs from the session's. */
  readonly entitlement?: Entitlement;
  readonly isSnapshot?: boolean;
}

/** One write of a transaction. */
export interface Attempt {
  readonly writer: number;
  readonly register: number;
  /** What RETURNING gave; undefined if nothing came. */
  readonly row: readonly string[] | undefined;
}

export type Ended = 'acknowledged' | 'failed' | 'unknown';

function value(row: readonly string[]): Value {
  return { register: Number(row[0]), version: Number(row[1]), writer: Number(row[2]) };
}
