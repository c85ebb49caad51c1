/**
 * One expected reply of a server: what completes it and whose it is. A request that the client
 * sent is forwarded; one that the proxy put in is skipped; one that the server never saw is faked.
 */
export interface Step {
  readonly op: Op;
  /** The reply is not the client's. Errors are: they take the place of what the client asked. */
  readonly skip: boolean;
  /** For Op.Fake: the reply itself. For other ops: sent in place of the server's ErrorResponse. */
  readonly replacement: Buffer | null;
  /**
   * Called when the step completes without an error: for Query and Execute with each
   * CommandComplete (`buffer[start..end)` is that frame), for others once.
   */
  readonly done: ((buffer: Buffer, start: number, end: number) => void) | null;
  /** Called with the ParameterDescription of a Describe, or the part of it that has arrived. */
  readonly parameters?: (buffer: Buffer, start: number, end: number) => void;
  /** Its ErrorResponse in the client's terms: without names or text of the proxy's own. Null: as it is. */
  readonly reworded?: (frame: Buffer) => Buffer | null;
  /** The server may read what comes behind it as part of a COPY. */
  readonly mayCopy?: true;
  /** Called with the ErrorResponse when the server refuses this step, not when it skips it. */
  readonly failed?: (buffer: Buffer, start: number, end: number) => void;
}

export const Op = {
  Parse: 1,
  Bind: 2,
  Describe: 3,
  Execute: 4,
  Close: 5,
  Fake: 6,
  /** One statement of a query string, whose end is the Query behind it. */
  Statement: 7,
  /** The three that end with ReadyForQuery. */
  Sync: 8,
  Query: 9,
  FunctionCall: 10,
} as const;
export type Op = (typeof Op)[keyof typeof Op];

const forwarded = (op: Op): Step =>
  Object.freeze({ op, skip: false, replacement: null, done: null });

/** Steps without any data of their own are shared: the hot path allocates none. */
export const steps = {
  parse: forwarded(Op.Parse),
  bind: forwarded(Op.Bind),
  describe: forwarded(Op.Describe),
  execute: forwarded(Op.Execute),
  executeCopy: Object.freeze({ ...forwarded(Op.Execute), mayCopy: true }),
  close: forwarded(Op.Close),
  sync: forwarded(Op.Sync),
  query: forwarded(Op.Query),
  functionCall: forwarded(Op.FunctionCall),
  skippedStatement: Object.freeze({ op: Op.Statement, skip: true, replacement: null, done: null }),
  skippedExecute: Object.freeze({ op: Op.Execute, skip: true, replacement: null, done: null }),
  skippedQuery: Object.freeze({ op: Op.Query, skip: true, replacement: null, done: null }),
  skippedParse: Object.freeze({ op: Op.Parse, skip: true, replacement: null, done: null }),
  skippedBind: Object.freeze({ op: Op.Bind, skip: true, replacement: null, done: null }),
  skippedSync: Object.freeze({ op: Op.Sync, skip: true, replacement: null, done: null }),
  skippedClose: Object.freeze({ op: Op.Close, skip: true, replacement: null, done: null }),
} as const satisfies Record<string, Step>;
