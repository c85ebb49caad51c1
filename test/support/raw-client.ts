import { connect, type Socket } from 'node:net';
import { Backend, Frontend, frameHeaderBytes } from '../../src/protocol/codes.ts';
import { errorField } from '../../src/protocol/fields.ts';
import * as frontend from '../../src/protocol/frontend.ts';
import { ScramClient } from '../../src/protocol/scram-client.ts';

/** What to connect to, and as whom. */
export interface RawTarget {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/** One message of a server: its type as a letter, and its bytes with type and length. */
export interface Frame {
  readonly type: string;
  readonly bytes: Buffer;
}

/** Any frontend message, well-formed or not. */
export function rawMessage(type: string, body: Uint8Array | string = ''): Buffer {
  const bytes = typeof body === 'string' ? Buffer.from(body, 'latin1') : body;
  return Buffer.concat([rawHeader(type, bytes.length + 4), bytes]);
}

/** Only the beginning of a message: type and length word. */
export function rawHeader(type: string, length: number): Buffer {
  const header = Buffer.alloc(frameHeaderBytes);
  header.write(type, 'latin1');
  header.writeInt32BE(length, 1);
  return header;
}

/**
 * A client on a bare socket: sends what it is told to, byte for byte, and keeps what comes back as
 * frames. It never throws for what the other side does.
 */
export class RawClient {
  readonly socket: Socket;
  /** All that has come since the last `take`. */
  frames: Frame[] = [];
  /** The other side has closed, or the connection broke. */
  isClosed = false;
  bytesRead = 0;
  /** What a cancel request of it is sent to, once it has logged in: BackendKeyData. */
  #key: { readonly target: RawTarget; readonly pid: number; readonly secret: Buffer } | null = null;
  #unread: Buffer[] = [];
  #unreadBytes = 0;
  /** Bytes are counted and thrown away instead of being kept as frames. */
  #isCounting = false;
  readonly #changed = new Set<() => void>();

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('error', () => this.#close());
    socket.on('end', () => this.#close());
    socket.on('close', () => this.#close());
  }

  /** A TCP connection on which nothing has been sent. */
  static async dial({ host, port }: Pick<RawTarget, 'host' | 'port'>): Promise<RawClient> {
    const socket = connect({ host, port, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new RawClient(socket);
  }

  /** Logged in, with the greeting read. */
  static async logIn(
    target: RawTarget,
    params: Readonly<Record<string, string>> = {},
  ): Promise<RawClient> {
    const client = await RawClient.dial(target);
    const { user, password, database } = target;
    client.send(frontend.startup(Object.entries({ user, database, ...params })));
    const scram = new ScramClient(password);
    await client.challenge();
    client.send(frontend.saslInitialResponse('SCRAM-SHA-256', scram.firstMessage));
    client.send(frontend.saslResponse(await scram.respond(await client.challenge())));
    await client.until('Z');
    const data = client.take().find(({ type }) => type === 'K')?.bytes;
    if (data !== undefined) {
      const [pidAt, secretAt] = [frameHeaderBytes, frameHeaderBytes + 4];
      client.#key = { target, pid: data.readInt32BE(pidAt), secret: data.subarray(secretAt) };
    }
    return client;
  }

  /** Sends a cancel request; resolves when its connection has been closed. */
  async cancel(): Promise<void> {
    const { target, pid, secret } = this.#key!;
    const canceller = await RawClient.dial(target);
    canceller.send(frontend.cancelRequest(pid, secret));
    await canceller.closed();
    canceller.destroy();
  }

  /** The text of the next Authentication message, which is taken out. */
  async challenge(): Promise<string> {
    await this.when(() => this.frames.length > 0, 'an Authentication message');
    const frame = this.frames.shift();
    if (frame?.type !== 'R') throw new Error(`no challenge: ${describeFrame(frame)}`);
    return frame.bytes.toString('utf8', frameHeaderBytes + 4);
  }

  send(...pieces: readonly Uint8Array[]): void {
    if (!this.socket.destroyed) this.socket.write(Buffer.concat(pieces));
  }

  /** Sends, and waits while the other side does not read. */
  async sendSlowly(bytes: Uint8Array): Promise<void> {
    if (this.isClosed || this.socket.write(bytes)) return;
    const { socket } = this;
    await new Promise<void>((resolve) => {
      const taken = () => {
        socket.off('drain', taken).off('close', taken);
        resolve();
      };
      socket.on('drain', taken).on('close', taken);
    });
  }

  /** The frames so far; the next ones start a new list. */
  take(): Frame[] {
    const { frames } = this;
    this.frames = [];
    return frames;
  }

  /** Waits for the `count`th frame of a type, or for the end of the connection. */
  async until(type: string, count = 1): Promise<void> {
    await this.when(
      () => this.isClosed || this.frames.filter((frame) => frame.type === type).length >= count,
      `${count} of ${type}`,
    );
  }

  /** Sends, waits for ReadyForQuery or the end, and returns what came. */
  async ask(...pieces: readonly Uint8Array[]): Promise<Frame[]> {
    this.send(...pieces);
    await this.until('Z');
    return this.take();
  }

  async closed(): Promise<void> {
    await this.when(() => this.isClosed, 'the end of the connection');
  }

  /** Reads on without keeping what comes. */
  count(): void {
    this.#isCounting = true;
    this.frames = [];
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** Sends FIN behind what has been sent, and reads on. */
  end(): void {
    this.socket.end();
  }

  /** Goes without a word; with RST where something has not been read. */
  destroy(): void {
    this.socket.destroy();
    this.#close();
  }

  /** Goes with RST. */
  reset(): void {
    this.socket.resetAndDestroy();
    this.#close();
  }

  async when(condition: () => boolean, what: string, limitMs = 30_000): Promise<void> {
    if (condition()) return;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#changed.delete(look);
        const seen = this.frames.map(describeFrame).slice(-20).join(' ');
        reject(new Error(`never came: ${what}; closed: ${this.isClosed}; frames: ${seen}`));
      }, limitMs);
      const look = () => {
        if (!condition()) return;
        clearTimeout(timer);
        this.#changed.delete(look);
        resolve();
      };
      this.#changed.add(look);
    });
  }

  #close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#notify();
  }

  #notify(): void {
    for (const look of [...this.#changed]) look();
  }

  #read(chunk: Buffer): void {
    this.bytesRead += chunk.length;
    if (!this.#isCounting) {
      this.#unread.push(chunk);
      this.#unreadBytes += chunk.length;
      this.#cut();
    }
    this.#notify();
  }

  #cut(): void {
    if (this.#unreadBytes < frameHeaderBytes) return;
    let bytes = this.#unread.length === 1 ? this.#unread[0]! : Buffer.concat(this.#unread);
    while (bytes.length >= frameHeaderBytes) {
      const end = 1 + bytes.readInt32BE(1);
      if (bytes.length < end) break;
      const type = String.fromCharCode(bytes[0]!);
      this.frames.push({ type, bytes: bytes.subarray(0, end) });
      bytes = bytes.subarray(end);
    }
    this.#unread = [bytes];
    this.#unreadBytes = bytes.length;
  }
}

/** `E:42601`, `Z:I`, `C:SELECT 1`, or the type alone. */
export function describeFrame(frame: Frame | undefined): string {
  if (frame === undefined) return 'nothing';
  const { type, bytes } = frame;
  switch (bytes[0]) {
    case Backend.ErrorResponse:
    case Backend.NoticeResponse:
      return `${type}:${errorField(bytes, 0, bytes.length, 'V')}:${sqlstateOf(frame)}`;
    case Backend.ReadyForQuery:
      return `${type}:${bytes.toString('latin1', frameHeaderBytes)}`;
    case Backend.CommandComplete:
      return `${type}:${bytes.toString('latin1', frameHeaderBytes, bytes.length - 1)}`;
    default:
      return type;
  }
}

export const describeFrames = (frames: readonly Frame[]): string[] => frames.map(describeFrame);

export function sqlstateOf({ bytes }: Frame): string | undefined {
  return errorField(bytes, 0, bytes.length, 'C');
}

/** Every type that a logged-in client may send, by name. */
export const frontendTypes = Object.values(Frontend).map((byte) => String.fromCharCode(byte));
