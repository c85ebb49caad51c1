import { performance } from 'node:perf_hooks';
import { Backend, frameHeaderBytes } from '../../src/protocol/codes.ts';
import { commandTag, errorField, parameterStatusFields } from '../../src/protocol/fields.ts';
import * as frontend from '../../src/protocol/frontend.ts';
import { type Frame, RawClient, type RawTarget, sqlstateOf } from '../support/raw-client.ts';

/** What came back for one Query or one Sync. */
export interface Answer {
  /** Rows of all statements, as text. */
  readonly rows: readonly (readonly string[])[];
  readonly tags: readonly string[];
  /** Of the first error; null if there was none. */
  readonly sqlstate: string | null;
  /** The connection ended before the answer did. */
  readonly isLost: boolean;
}

/** Longer than everything that the proxy may wait for. */
const hungAfterMs = 60_000;

/** A client that is cheap enough for thousands of statements a second beside the servers. */
export class RegisterClient {
  readonly #raw: RawClient;
  readonly #prepared = new Set<string>();
  #reportedToken: string | null = null;
  /** When the client was last told that what it has written may be lost. */
  warnedMs = Number.NEGATIVE_INFINITY;

  private constructor(raw: RawClient) {
    this.#raw = raw;
  }

  static async connect(target: RawTarget, options: string): Promise<RegisterClient> {
    const raw = await RawClient.logIn(target, options === '' ? {} : { options });
    if (raw.isClosed) throw new Error('the login was refused');
    return new RegisterClient(raw);
  }

  get isClosed(): boolean {
    return this.#raw.isClosed;
  }

  simple(sql: string): Promise<Answer> {
    return this.#ask(frontend.query(sql));
  }

  /** A named statement, parsed where it is used first. */
  named(name: string, sql: string, values: readonly number[]): Promise<Answer> {
    const pieces = [
      frontend.bind({ statement: name, params: values.map(String) }),
      frontend.execute(),
      frontend.sync,
    ];
    if (!this.#prepared.has(name)) {
      // After an error nobody knows whether it is there.
      const close = frontend.close(frontend.TargetKind.Statement, name);
      pieces.unshift(close, frontend.parse(name, sql));
      this.#prepared.add(name);
    }
    return this.#ask(...pieces);
  }

  /** The token that came with a commit since the last call (tidemark.report_lsn), or null. */
  takeReportedToken(): string | null {
    const token = this.#reportedToken;
    this.#reportedToken = null;
    return token;
  }

  /** DISCARD ALL and DEALLOCATE ALL have forgotten them. */
  forgetPrepared(): void {
    this.#prepared.clear();
  }

  end(): void {
    if (this.#raw.isClosed) return;
    this.#raw.send(frontend.terminate);
    this.#raw.end();
  }

  async #ask(...pieces: readonly Uint8Array[]): Promise<Answer> {
    this.#raw.send(...pieces);
    const isOver = () => this.#raw.isClosed || this.#raw.frames.at(-1)?.type === 'Z';
    await this.#raw.when(isOver, 'the end of an answer', hungAfterMs);
    const frames = this.#raw.take();
    const answer = read(frames);
    if (frames.some(isLossWarning)) this.warnedMs = performance.now();
    for (const { bytes } of frames) {
      if (bytes[0] !== Backend.ParameterStatus) continue;
      const { name, value } = parameterStatusFields(bytes, 0, bytes.length);
      if (name === 'tidemark.lsn') this.#reportedToken = value;
    }
    // A statement whose Parse has failed, or was not looked at any more, is not there.
    if (answer.sqlstate !== null) this.#prepared.clear();
    return answer;
  }
}

function isLossWarning({ bytes }: Frame): boolean {
  if (bytes[0] !== Backend.NoticeResponse) return false;
  const message = errorField(bytes, 0, bytes.length, 'M') ?? '';
  return message.startsWith('what this session has written') && message.includes('lost');
}

function read(frames: readonly Frame[]): Answer {
  const rows: string[][] = [];
  const tags: string[] = [];
  let sqlstate: string | null = null;
  for (const frame of frames) {
    const { bytes } = frame;
    if (bytes[0] === Backend.DataRow) rows.push(fields(bytes));
    else if (bytes[0] === Backend.CommandComplete) tags.push(commandTag(bytes, 0, bytes.length));
    else if (bytes[0] === Backend.ErrorResponse) sqlstate ??= sqlstateOf(frame) ?? 'XX000';
  }
  return { rows, tags, sqlstate, isLost: frames.at(-1)?.type !== 'Z' };
}

function fields(row: Buffer): string[] {
  const count = row.readUInt16BE(frameHeaderBytes);
  const values: string[] = [];
  let at = frameHeaderBytes + 2;
  for (let i = 0; i < count; i++) {
    const length = row.readInt32BE(at);
    at += 4;
    values.push(length < 0 ? '' : row.toString('latin1', at, at + length));
    at += Math.max(0, length);
  }
  return values;
}
