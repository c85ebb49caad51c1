import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { Exchange, LastWord, ReplySink } from '../../../src/pool/exchange.ts';
import { ServerConnection } from '../../../src/pool/server-connection.ts';
import { Backend } from '../../../src/protocol/codes.ts';
import { anyLengthMax, FrameScanner, Scan } from '../../../src/protocol/frames.ts';
import { message } from '../../../src/protocol/writer.ts';

/** A socket without a network: what arrives and what is written are in the test's hands. */
export class FakeSocket extends EventEmitter {
  /** What is gathered for the end of the turn leaves. */
  turnEnds: () => void = () => {};
  /** What has left by now. */
  readonly left: Buffer[] = [];
  isPaused = true;
  destroyed = false;
  /** What `write` answers. */
  takesMore = true;

  /** What has left by the end of the turn. */
  get written(): Buffer[] {
    this.turnEnds();
    return this.left;
  }

  get writableNeedDrain(): boolean {
    return !this.takesMore;
  }

  write(bytes: Buffer): boolean {
    this.left.push(Buffer.from(bytes));
    return this.takesMore;
  }

  /** Bytes arrive, whether or not anybody wants them yet. */
  deliver(...bytes: Buffer[]): void {
    this.emit('data', Buffer.concat(bytes));
  }

  /** Everything written since the last call, as message types. */
  takeWritten(): string {
    const bytes = Buffer.concat(this.written.splice(0));
    return frameTypes(bytes);
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  cork(): void {}
  uncork(): void {}

  destroy(): void {
    this.destroyed = true;
  }
}

/** Whoever holds back what he sends has to let go of it himself. */
class HeldConnection extends ServerConnection {
  #isHeld = false;

  override hold(): void {
    this.#isHeld = true;
    super.hold();
  }

  override flush(): boolean {
    this.#isHeld = false;
    return super.flush();
  }

  turnEnds(): void {
    if (!this.#isHeld) super.flush();
  }
}

export interface FakeServer {
  readonly socket: FakeSocket;
  readonly connection: ServerConnection;
}

export function fakeServer(nowMs = 0): FakeServer {
  const socket = new FakeSocket();
  const connection = new HeldConnection(
    {
      socket: socket as unknown as Socket,
      pid: 1,
      secret: Buffer.alloc(4),
      params: new Map(),
      rest: Buffer.alloc(0),
    },
    nowMs,
  );
  socket.turnEnds = () => connection.turnEnds();
  return { socket, connection };
}

/** Keeps what a session would have got. */
export class RecordingSink implements ReplySink {
  readonly clientPid = null;
  /** In order: what was said, one word each; bytes are kept apart. */
  readonly events: string[] = [];
  readonly chunks: Buffer[] = [];
  takesMore = true;
  takesNotifications = true;
  /** What `retries` answers. */
  runsElsewhere = false;

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  /** What was forwarded, as a string of message types. */
  get types(): string {
    return frameTypes(this.bytes);
  }

  forward(bytes: Buffer): boolean {
    this.chunks.push(Buffer.from(bytes));
    return this.takesMore;
  }

  notification(frame: Buffer): Buffer | null {
    return this.takesNotifications ? frame : null;
  }

  retries(): boolean {
    this.events.push('retries');
    return this.runsElsewhere;
  }

  refused(): void {
    this.events.push('refused');
  }

  reports(): boolean {
    return true;
  }

  lastWords(): Buffer | null {
    return null;
  }

  /** ReadyForQuery is for the sink to say. */
  keepsReadyForQuery = false;
  keepsReady(): boolean {
    return this.keepsReadyForQuery;
  }

  ready(_exchange: Exchange, status: number): void {
    this.events.push(`ready ${String.fromCharCode(status)}`);
  }

  copyIn(): void {
    this.events.push('copyIn');
  }

  lost(_exchange: Exchange, word: LastWord | null, midFrame: boolean): void {
    this.events.push(`lost ${word?.message ?? '-'}${midFrame ? ' mid-frame' : ''}`);
  }

  gone(): void {
    this.events.push('gone');
  }

  drained(): void {
    this.events.push('drained');
  }
}

/** Message types of whole frames, `?` where the bytes end within one. */
export function frameTypes(bytes: Buffer): string {
  const scanner = new FrameScanner({
    lengthMax: anyLengthMax,
    assembledBytesMax: 1 << 28,
    headBytesMin: 6,
  });
  scanner.feed(bytes);
  let types = '';
  while (scanner.next() === Scan.Frame) types += String.fromCharCode(scanner.type);
  return scanner.atBoundary ? types : `${types}?`;
}

/** Messages of a server that the proxy never writes itself. */
export const portalSuspended = message(Backend.PortalSuspended, () => {});
export const copyInResponse = message(Backend.CopyInResponse, (w) => w.byte(0).int16(0));
export const copyOutResponse = message(Backend.CopyOutResponse, (w) => w.byte(0).int16(0));
export const parameterDescription = message(Backend.ParameterDescription, (w) => w.uint16(0));
export const functionCallResponse = message(Backend.FunctionCallResponse, (w) => w.int32(-1));
export const notification = message(Backend.NotificationResponse, (w) =>
  w.int32(7).cstring('channel').cstring('payload'),
);
