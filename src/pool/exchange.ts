import { Op, type Step } from './step.ts';

/** Replies without a result (notices, too) that are held back for a request that may run again. */
const heldBytesMax = 256 * 1024;

/** So many steps are taken out one by one. */
const stepsPopped = 16;

/** What a server said in a FATAL before it went away; without SQLSTATE: what the proxy says. */
export interface LastWord {
  readonly sqlstate: string;
  readonly message: string;
}

/** Who has a server connection checked out: told what belongs to no exchange. */
export interface ConnectionOwner {
  /** By what number its client knows itself: its own notifications bear it. Null: it has no client. */
  readonly clientPid: number | null;
  /** Whole frames. False: stop reading until `resume`. */
  forward(bytes: Buffer): boolean;
  /** Its server connection was notified: what the client is told of this frame, or null. */
  notification(frame: Buffer): Buffer | null;
  /** The connection went away while it was checked out and nothing was expected. */
  gone(word: LastWord | null): void;
  /** The server's socket takes bytes again after `send` returned false. */
  drained(): void;
}

/** Where the replies of an exchange go: the client session that asked. */
export interface ReplySink {
  /** Takes whole frames or pieces of one, in order. False: stop reading until `resume`. */
  forward(bytes: Buffer): boolean;
  /**
   * A server refused while nothing has reached the client yet. True: the session will run the
   * request again elsewhere, and the rest of this exchange is dropped.
   */
  retries(exchange: Exchange, buffer: Buffer, start: number, end: number): boolean;
  /** An ErrorResponse is being forwarded. */
  refused(buffer: Buffer, start: number, end: number): void;
  /** A ParameterStatus came. False: the client is not to hear of it. */
  reports(name: string, value: string): boolean;
  /** ReadyForQuery is about to be forwarded: what to say in front of it, or null. */
  lastWords(status: number): Buffer | null;
  /** True: the sink says ReadyForQuery with this status itself, some time after `ready`. */
  keepsReady(status: number): boolean;
  /** ReadyForQuery came (and was forwarded unless the exchange is `dropped`). */
  ready(exchange: Exchange, status: number): void;
  /** The server waits for CopyData (CopyInResponse or CopyBothResponse was forwarded). */
  copyIn(exchange: Exchange): void;
  /** The connection went away before ReadyForQuery; `message` is the last word of the
   * server; `midFrame`: a frame was forwarded in part, so nothing more can be said to the client. */
  lost(exchange: Exchange, word: LastWord | null, midFrame: boolean): void;
}

/**
 * A run of requests to one server that ends with one ReadyForQuery. Its steps are the replies
 * still expected, in order; an extended batch that was flushed without Sync grows while it runs.
 */
export class Exchange {
  /** Null: nobody listens any more, or it is the proxy's own: replies are dropped. */
  sink: ReplySink | null;
  readonly steps: Step[] = [];
  /** Index of the first step that is not complete. */
  head = 0;
  /**
   * Replies that carry no result yet (ParseComplete, RowDescription ...) are kept back, so that a
   * refusal by a replica can still be answered by running the request elsewhere.
   */
  holding = false;
  held: Buffer[] = [];
  heldBytes = 0;
  /** The server refused an extended message: it ignores everything up to Sync. */
  isSkipping = false;
  /**
   * A Sync was taken out of the steps because the server copies. Where the COPY fails before the
   * server has read it, it is answered even so.
   */
  ignoredSync = false;
  /** Everything up to ReadyForQuery is thrown away: the request runs again elsewhere. */
  dropped = false;
  /** Something was forwarded to the sink. */
  emitted = false;
  /** The first ErrorResponse of an exchange without a sink. */
  error: Buffer | null = null;
  /** What the proxy put in front of it failed with: to be told in place of what fails for that. */
  substitute: Buffer | null = null;
  /** Called once when the server is at this exchange. */
  reached: (() => void) | null = null;
  /** Called instead of a sink's `ready`, where there is none. */
  #finished: ((exchange: Exchange, status: number) => void) | null;

  constructor(
    sink: ReplySink | null,
    finished: ((exchange: Exchange, status: number) => void) | null = null,
  ) {
    this.sink = sink;
    this.#finished = finished;
  }

  /** Its ReadyForQuery came, or (status 0) its connection went away, and it has no sink. */
  get finished(): ((exchange: Exchange, status: number) => void) | null {
    return this.#finished;
  }

  /** Nobody wants its replies any more; `finished` when they have been dropped. */
  abandon(finished: () => void): void {
    this.sink = null;
    this.held = [];
    this.#finished = finished;
    for (let index = this.head; index < this.steps.length; index++) {
      const step = this.steps[index]!;
      if (step.done === null && step.failed === undefined) continue;
      const { op, skip, replacement } = step;
      this.steps[index] = { op, skip, replacement, done: null };
    }
  }

  /** Bytes for the sink, or to be held back. False: the sink takes no more for now. */
  emit(bytes: Buffer): boolean {
    if (this.dropped || this.sink === null) return true;
    if (!this.holding) {
      this.emitted = true;
      return this.sink.forward(bytes);
    }
    this.held.push(bytes);
    this.heldBytes += bytes.length;
    return this.heldBytes <= heldBytesMax || this.release();
  }

  /** From here on what arrives goes to the client: the request can no longer run elsewhere. */
  release(): boolean {
    this.holding = false;
    const { held } = this;
    if (held.length === 0) return true;
    this.held = [];
    this.heldBytes = 0;
    let flows = true;
    for (const bytes of held) if (!this.emit(bytes)) flows = false;
    return flows;
  }

  /** Makes a session's exchange ready for its next request. */
  reset(holding: boolean): void {
    this.#forgetSteps();
    this.isSkipping = false;
    this.ignoredSync = false;
    this.holding = holding;
    if (this.held.length > 0) this.held = [];
    this.heldBytes = 0;
    this.dropped = false;
    this.emitted = false;
    this.error = null;
    this.reached = null;
    this.substitute = null;
  }

  /** The replies so far were delivered, and what comes next may still run elsewhere. */
  restart(holding: boolean): void {
    this.holding = holding;
    this.emitted = false;
  }

  /**
   * What the server ignores (protocol, "Extended Query") gets no reply: only Sync ends that, not a
   * Query or FunctionCall. Called at the refusal, and when steps were added since.
   */
  skipToSync(): void {
    this.isSkipping = true;
    while (this.head < this.steps.length && this.steps[this.head]!.op !== Op.Sync) this.head += 1;
    this.forgetDone();
  }

  /** Its steps so far are not kept where all are done: a batch may go on for long, a session be idle. */
  forgetDone(): void {
    if (this.isComplete) this.#forgetSteps();
  }

  #forgetSteps(): void {
    this.head = 0;
    // To set the length is a call into the runtime, and throws away the room for the next ones.
    if (this.steps.length > stepsPopped) this.steps.length = 0;
    else while (this.steps.length > 0) this.steps.pop();
  }

  get isComplete(): boolean {
    return this.head === this.steps.length;
  }
}
