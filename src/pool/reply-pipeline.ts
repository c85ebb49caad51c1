import { Backend, frameHeaderBytes } from '../protocol/codes.ts';
import { errorField, parameterStatusFields, readyStatus } from '../protocol/fields.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import type { DisconnectReason } from './disconnect-reason.ts';
import type { ConnectionOwner, Exchange, LastWord } from './exchange.ts';
import type { PreparedOnServer } from './prepared.ts';
import { Op, type Step, steps } from './step.ts';

/** A frame kept until it is whole may have at most this many bytes; others are streamed. */
const wholeFrameBytesMax = 16 * 1024 * 1024;

const forwardFrame = 0;
const skipFrame = 1;

/** Frames whose body is passed on as it arrives: 1 = streamed, the rest is inspected whole. */
const streamed = new Uint8Array(256);
for (const type of [
  Backend.DataRow,
  Backend.CopyData,
  Backend.RowDescription,
  Backend.ParameterDescription,
  Backend.FunctionCallResponse,
]) {
  streamed[type] = 1;
}

/** The step that a reply completes; other types complete more than one kind, or none. */
const completedOp = new Uint8Array(256);
completedOp[Backend.ParseComplete] = Op.Parse;
completedOp[Backend.BindComplete] = Op.Bind;
completedOp[Backend.CloseComplete] = Op.Close;
completedOp[Backend.NoData] = Op.Describe;

/** The server connection that a pipeline belongs to. */
export interface PipelineOwner {
  readonly params: Map<string, string>;
  readonly prepared: PreparedOnServer;
  /** Whom the connection is checked out to. */
  readonly owner: ConnectionOwner | null;
  readonly closedFor: DisconnectReason | null;
  /** As the last ReadyForQuery said. */
  txStatus: number;
  pause(): void;
  close(reason: DisconnectReason): void;
  /** No reply is expected any more. */
  quiet(): void;
}

/**
 * The replies that a server connection expects:
 *
 *     exchanges:  [ head: steps done | steps expected ] [ next ] [ next ] ...
 *
 * Frames from the server belong to the head exchange. Runs of frames for its sink leave as one
 * slice of the chunk they came in; skipped frames cut the run, faked replies are put between.
 */
export class ReplyPipeline {
  readonly #owner: PipelineOwner;
  readonly #exchanges: Exchange[] = [];
  /** Chunks of a frame that is inspected whole and has not arrived whole. */
  #stash: Buffer[] = [];
  #stashBytes = 0;
  /** With fewer bytes there is nothing to be done. */
  #wantedBytes = 0;
  /** Bytes still to come of a streamed frame, and what happens to them. */
  #remaining = 0;
  #remainingAction = forwardFrame;
  /** The sink has a frame in part. */
  #isMidFrame = false;
  /** The proxy's wording of an error, to go out behind the frames before it. */
  #replacement: Buffer | null = null;
  /** What the server said in a FATAL before it went away. */
  lastWord: LastWord | null = null;

  constructor(owner: PipelineOwner) {
    this.#owner = owner;
  }

  get isEmpty(): boolean {
    return this.#exchanges.length === 0;
  }

  /** The client of the head exchange has a frame in part. */
  get isMidFrame(): boolean {
    return this.#isMidFrame;
  }

  /** Appends; the caller sends the bytes in the same turn. */
  expect(exchange: Exchange): void {
    this.#exchanges.push(exchange);
    if (this.#exchanges.length === 1) this.#emitFakes(exchange);
  }

  /** Steps were added to `exchange`, which is already in the pipeline. */
  expectMore(exchange: Exchange): void {
    if (exchange.isSkipping) exchange.skipToSync();
    const isNext = this.#exchanges[0] === exchange && this.#remaining === 0;
    if (isNext) this.#emitFakes(exchange);
  }

  /** Calls back when the server is at this exchange: at once, later, or never if it is not there. */
  whenNext(exchange: Exchange, reached: () => void): void {
    if (this.#exchanges[0] === exchange) reached();
    else if (this.#exchanges.includes(exchange)) exchange.reached = reached;
  }

  /** Takes all exchanges out: the connection is gone. */
  abandon(): readonly Exchange[] {
    return this.#exchanges.splice(0);
  }

  /** Bytes from the server. Raises nothing: what no server may say closes the connection. */
  read(arrived: Buffer): void {
    try {
      this.#take(arrived);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#owner.close('protocol-violation');
    }
  }

  #take(arrived: Buffer): void {
    let chunk = arrived;
    if (this.#stash.length > 0) {
      this.#stash.push(arrived);
      this.#stashBytes += arrived.length;
      if (this.#stashBytes < this.#wantedBytes) return;
      chunk = Buffer.concat(this.#stash, this.#stashBytes);
      this.#stash = [];
    }
    let at = 0;
    /** Start of the run of frames that leaves as one slice; -1: none. */
    let runStart = -1;
    while (at < chunk.length && this.#owner.closedFor === null) {
      if (this.#remaining > 0) {
        const taken = Math.min(this.#remaining, chunk.length - at);
        if (this.#remainingAction === forwardFrame && runStart < 0) runStart = at;
        this.#remaining -= taken;
        at += taken;
        if (this.#remaining === 0) runStart = this.#putFakes(chunk, runStart, at);
        continue;
      }
      if (chunk.length - at < frameHeaderBytes) break;
      const type = chunk[at]!;
      const end = at + 1 + chunk.readUInt32BE(at + 1);
      if (end < at + frameHeaderBytes) {
        this.#owner.close('protocol-violation');
        return;
      }
      if (end > chunk.length && streamed[type] === 0) {
        if (end - at > wholeFrameBytesMax) this.#owner.close('protocol-violation');
        break;
      }
      const here = Math.min(end, chunk.length);
      this.#remaining = end - here;
      runStart = this.#takeFrame(chunk, type, at, here, runStart);
      at = here;
    }
    if (this.#owner.closedFor !== null) return;
    if (runStart >= 0) {
      this.#forward(chunk, runStart, at);
      this.#isMidFrame = this.#remaining > 0 && this.#exchanges[0]?.holding === false;
    }
    if (at < chunk.length) this.#keep(chunk.subarray(at));
  }

  #keep(rest: Buffer): void {
    this.#stash.push(rest);
    this.#stashBytes = rest.length;
    this.#wantedBytes =
      rest.length < frameHeaderBytes ? frameHeaderBytes : 1 + rest.readUInt32BE(1);
  }

  /** Deals with the frame at [start,end); returns the new start of the run (-1: none). */
  #takeFrame(chunk: Buffer, type: number, start: number, end: number, runStart: number): number {
    const exchange = this.#exchanges[0];
    if ((type === Backend.DataRow || type === Backend.CopyData) && exchange !== undefined) {
      return this.#takeRow(exchange, chunk, start, runStart);
    }
    const action = this.#inspect(exchange, chunk, type, start, end);
    if (this.#owner.closedFor !== null) return -1;
    this.#remainingAction = action;
    let run = runStart;
    if (action === skipFrame) {
      if (run >= 0 && exchange?.dropped !== true) this.#forward(chunk, run, start);
      run = -1;
      this.#emitReplacement(exchange);
    } else if (run < 0) {
      run = start;
    }
    if (exchange === undefined) {
      if (run >= 0 && this.#owner.owner?.forward(chunk.subarray(run, end)) === false)
        this.#owner.pause();
      return -1;
    }
    if (type === Backend.ReadyForQuery && exchange.isComplete) {
      const status = chunk[start + frameHeaderBytes]!;
      if (run >= 0) this.#forwardReady(exchange, chunk, run, start, end);
      this.#finish(exchange, status);
      return -1;
    }
    return this.#remaining > 0 ? run : this.#putFakes(chunk, run, end);
  }

  /** The frames from `run` on, with what the sink has to say around the ReadyForQuery at [start,end). */
  #forwardReady(exchange: Exchange, chunk: Buffer, run: number, start: number, end: number): void {
    const status = chunk[start + frameHeaderBytes]!;
    const said = exchange.sink?.lastWords(status) ?? null;
    const until = exchange.sink?.keepsReady(status) === true ? start : end;
    if (said === null) {
      this.#forward(chunk, run, until);
    } else {
      this.#forward(chunk, run, start);
      this.#emit(exchange, said);
      this.#forward(chunk, start, until);
    }
  }

  /** Faked replies go between whole frames: here the one that ends at `end` is over. */
  #putFakes(chunk: Buffer, runStart: number, end: number): number {
    const exchange = this.#exchanges[0];
    if (exchange === undefined || exchange.steps[exchange.head]?.op !== Op.Fake) return runStart;
    if (runStart >= 0) this.#forward(chunk, runStart, end);
    this.#emitFakes(exchange);
    return -1;
  }

  #takeRow(exchange: Exchange, chunk: Buffer, start: number, runStart: number): number {
    if (!this.#isForwarded(exchange)) {
      if (runStart >= 0) this.#forward(chunk, runStart, start);
      this.#remainingAction = skipFrame;
      return -1;
    }
    this.#remainingAction = forwardFrame;
    if (exchange.holding) this.#release(exchange);
    return runStart < 0 ? start : runStart;
  }

  /** What a frame means for the pipeline; says whether the client gets it. */
  #inspect(
    exchange: Exchange | undefined,
    chunk: Buffer,
    type: number,
    start: number,
    end: number,
  ): number {
    if (type === Backend.ParameterStatus) return this.#parameterStatus(exchange, chunk, start, end);
    if (type === Backend.ErrorResponse) return this.#error(exchange, chunk, start, end);
    if (type === Backend.NotificationResponse) {
      return this.#notification(exchange, chunk.subarray(start, end));
    }
    if (type === Backend.NoticeResponse) {
      const forOwner = exchange === undefined && this.#owner.owner !== null;
      return forOwner || this.#isForwarded(exchange) ? forwardFrame : skipFrame;
    }
    if (exchange === undefined) {
      this.#owner.close('protocol-violation');
      return skipFrame;
    }
    const action = this.#isForwarded(exchange) ? forwardFrame : skipFrame;
    if (type === Backend.ReadyForQuery && exchange.ignoredSync && exchange.isComplete) {
      exchange.ignoredSync = false;
      exchange.steps.push(steps.sync);
    }
    const step = exchange.steps[exchange.head];
    if (step === undefined) {
      this.#owner.close('protocol-violation');
      return skipFrame;
    }
    this.#advance(exchange, step, chunk, type, start, end);
    return exchange.dropped || exchange.sink === null ? skipFrame : action;
  }

  #notification(exchange: Exchange | undefined, frame: Buffer): number {
    const { owner } = this.#owner;
    const told = owner?.notification(frame) ?? null;
    if (told === null) return skipFrame;
    if (this.#isForwarded(exchange)) this.#replacement = told;
    // It is the session's, though it came while the proxy asked something of its own, or nothing.
    else if (!owner!.forward(told)) this.#owner.pause();
    return skipFrame;
  }

  /** Completes the head step when `type` is its last reply. */
  #advance(
    exchange: Exchange,
    step: Step,
    chunk: Buffer,
    type: number,
    start: number,
    end: number,
  ): void {
    switch (type) {
      case Backend.ParseComplete:
      case Backend.BindComplete:
      case Backend.CloseComplete:
      case Backend.NoData:
        if (step.op !== completedOp[type]) throw new ProtocolError(`unexpected reply ${type}`);
        this.#complete(exchange, step, chunk, start, end);
        return;
      case Backend.RowDescription:
        if (step.op === Op.Describe) this.#complete(exchange, step, chunk, start, end);
        return;
      case Backend.CommandComplete:
      case Backend.EmptyQueryResponse:
      case Backend.PortalSuspended:
        if (exchange.holding) this.#release(exchange);
        if (step.op === Op.Execute || step.op === Op.Statement)
          this.#complete(exchange, step, chunk, start, end);
        else if (step.op === Op.Query) step.done?.(chunk, start, end);
        else throw new ProtocolError(`unexpected reply ${type}`);
        return;
      case Backend.ReadyForQuery:
        readyStatus(chunk, start, end);
        if (exchange.holding) this.#release(exchange);
        this.#advanceToReady(exchange);
        return;
      case Backend.CopyInResponse:
      case Backend.CopyBothResponse:
        if (exchange.holding) this.#release(exchange);
        // Nobody is left who could say what, or whether the Sync behind it will be ignored.
        if (exchange.sink === null) this.#owner.close('client-left');
        else exchange.sink.copyIn(exchange);
        return;
      case Backend.CopyOutResponse:
      case Backend.FunctionCallResponse:
        if (exchange.holding) this.#release(exchange);
        return;
      case Backend.ParameterDescription:
        step.parameters?.(chunk, start, end);
        return;
      case Backend.CopyDone:
        return;
      default:
        throw new ProtocolError(`unexpected message type ${type}`);
    }
  }

  #complete(exchange: Exchange, step: Step, chunk: Buffer, start: number, end: number): void {
    exchange.head += 1;
    step.done?.(chunk, start, end);
  }

  #advanceToReady(exchange: Exchange): void {
    const { steps: expected } = exchange;
    while (exchange.head < expected.length && expected[exchange.head]!.op < Op.Sync) {
      exchange.head += 1;
    }
    if (exchange.isComplete) throw new ProtocolError('ReadyForQuery without a Sync');
    exchange.head += 1;
  }

  #parameterStatus(
    exchange: Exchange | undefined,
    chunk: Buffer,
    start: number,
    end: number,
  ): number {
    const { name, value } = parameterStatusFields(chunk, start, end);
    this.#owner.params.set(name, value);
    if (!this.#isForwarded(exchange)) return skipFrame;
    return exchange?.sink?.reports(name, value) === false ? skipFrame : forwardFrame;
  }

  #error(exchange: Exchange | undefined, chunk: Buffer, start: number, end: number): number {
    const severity = errorField(chunk, start, end, 'V') ?? errorField(chunk, start, end, 'S');
    if (severity === 'FATAL' || severity === 'PANIC') {
      // The server closes next; the sink hears of it by `lost`, with this message.
      this.lastWord = {
        sqlstate: errorField(chunk, start, end, 'C') ?? '',
        message: errorField(chunk, start, end, 'M') ?? '',
      };
      return skipFrame;
    }
    if (exchange === undefined) return skipFrame;
    const step = exchange.steps[exchange.head];
    // Without a step it was a Flush that was refused.
    if (step === undefined || step.op < Op.Statement) exchange.skipToSync();
    if (exchange.sink === null) {
      exchange.error ??= Buffer.from(chunk.subarray(start, end));
      return skipFrame;
    }
    if (exchange.dropped) return skipFrame;
    if (exchange.holding) {
      // Only what ends with a ReadyForQuery can be dropped.
      const endsHere = !exchange.isComplete;
      if (endsHere && exchange.sink.retries(exchange, chunk, start, end)) {
        exchange.dropped = true;
        exchange.held = [];
        return skipFrame;
      }
      this.#release(exchange);
    }
    step?.failed?.(chunk, start, end);
    exchange.sink.refused(chunk, start, end);
    const worded = step === undefined ? null : wordedFor(step, chunk.subarray(start, end));
    const replacement = substituteFor(exchange, chunk, start, end) ?? worded;
    if (replacement === null) return forwardFrame;
    exchange.substitute = null;
    this.#replacement = replacement;
    return skipFrame;
  }

  #emitReplacement(exchange: Exchange | undefined): void {
    if (this.#replacement === null) return;
    const bytes = this.#replacement;
    this.#replacement = null;
    if (exchange !== undefined) this.#emit(exchange, bytes);
  }

  #isForwarded(exchange: Exchange | undefined): boolean {
    if (exchange === undefined || exchange.sink === null || exchange.dropped) return false;
    return exchange.steps[exchange.head]?.skip !== true;
  }

  #emitFakes(exchange: Exchange): void {
    let step = exchange.steps[exchange.head];
    while (step !== undefined && step.op === Op.Fake) {
      exchange.head += 1;
      if (step.replacement !== null) this.#emit(exchange, step.replacement);
      step.done?.(empty, 0, 0);
      step = exchange.steps[exchange.head];
    }
  }

  #forward(chunk: Buffer, start: number, end: number): void {
    this.#isMidFrame = false;
    const exchange = this.#exchanges[0];
    if (exchange !== undefined && end > start) this.#emit(exchange, chunk.subarray(start, end));
  }

  #emit(exchange: Exchange, bytes: Buffer): void {
    if (!exchange.emit(bytes)) this.#owner.pause();
  }

  #release(exchange: Exchange): void {
    if (!exchange.release()) this.#owner.pause();
  }

  #begin(exchange: Exchange): void {
    const { reached } = exchange;
    exchange.reached = null;
    reached?.();
    this.#emitFakes(exchange);
  }

  #finish(exchange: Exchange, status: number): void {
    this.#exchanges.shift();
    this.#owner.txStatus = status;
    const next = this.#exchanges[0];
    if (next === undefined) this.#owner.prepared.settle();
    else this.#begin(next);
    if (exchange.sink !== null) exchange.sink.ready(exchange, status);
    else exchange.finished?.(exchange, status);
    if (this.#exchanges.length === 0) this.#owner.quiet();
  }
}

const empty = Buffer.alloc(0);

/** That a statement is missing, or its transaction has failed, is not why, where putting it in front failed. */
const consequences: ReadonlySet<string> = new Set(['26000', '25P02']);

function substituteFor(
  { substitute }: Exchange,
  chunk: Buffer,
  start: number,
  end: number,
): Buffer | null {
  if (substitute === null) return null;
  return consequences.has(errorField(chunk, start, end, 'C') ?? '') ? substitute : null;
}

/** What the client is told in place of this error; null: the error as it is. */
function wordedFor({ replacement, reworded }: Step, frame: Buffer): Buffer | null {
  return replacement ?? reworded?.(frame) ?? null;
}
