import {
  type BindOptions,
  bind,
  close,
  copyData,
  describe,
  execute,
  flush,
  parse,
  query,
  sync,
  TargetKind,
} from '../../../src/protocol/frontend.ts';

/** What is sent at once, and the types of the messages that are waited for, in order. */
export interface Step {
  readonly bytes: Buffer;
  readonly until: string;
}

export interface Script {
  readonly name: string;
  readonly steps: readonly Step[];
  /** Startup parameters. */
  readonly params?: Readonly<Record<string, string>>;
  readonly minor?: number;
  /** It keeps its server connection, so others cannot be made to take turns with it. */
  readonly pins?: boolean;
  /** Why it cannot be sent all at once, or from when on the two answers may rightly differ. */
  readonly stepwiseOnly?: string;
}

export const script = (name: string, ...steps: Step[]): Script => ({ name, steps });

/** For a session that keeps its server connection. */
export const pinned = (made: Script): Script => ({ ...made, pins: true });

/** For what only makes sense when it is read step by step. */
export const stepwise = (name: string, why: string, ...steps: Step[]): Script => ({
  name,
  steps,
  stepwiseOnly: why,
});

/** Sends these messages and waits for these replies. */
export const send = (until: string, ...messages: Buffer[]): Step => ({
  bytes: Buffer.concat(messages),
  until,
});

/** One simple query each. */
export const q = (sql: string): Step => send('Z', query(sql));

/** Extended messages with their Sync. */
export const x = (...messages: Buffer[]): Step => send('Z', ...messages, sync);

export const P = parse;
export const B = (statement = '', options: BindOptions = {}): Buffer =>
  bind({ statement, ...options });
export const DS = (name = ''): Buffer => describe(TargetKind.Statement, name);
export const DP = (name = ''): Buffer => describe(TargetKind.Portal, name);
export const CS = (name = ''): Buffer => close(TargetKind.Statement, name);
export const CP = (name = ''): Buffer => close(TargetKind.Portal, name);
export const E = execute;
export const S = sync;
export const H = flush;
export const Q = query;
export const d = (text: string): Buffer => copyData(Buffer.from(text));

/** Parse, Bind, Describe, Execute of the unnamed statement. */
export const run = (sql: string, ...params: (string | null)[]): Buffer =>
  Buffer.concat([P('', sql), B('', { params }), DP(), E()]);
