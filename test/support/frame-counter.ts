import { frameHeaderBytes } from '../../src/protocol/codes.ts';
import { type Frame, RawClient, type RawTarget } from './raw-client.ts';

/** Frames up to this length are kept; of longer ones only the count and the bytes. */
const keptBytesMax = 1_000;

/**
 * A client that reads answers of any size without keeping them: it walks from frame to frame, and
 * keeps the short ones.
 */
export class FrameCounter {
  readonly client: RawClient;
  readonly #counts = new Map<string, { frames: number; bytes: number }>();
  /** Short frames, in order. */
  readonly kept: Frame[] = [];
  /** The head of a frame that has come in part, or all of a short one. */
  #partial: Buffer = Buffer.alloc(0);
  /** Bytes to come of a long frame. */
  #skipped = 0;

  private constructor(client: RawClient) {
    this.client = client;
    client.count();
    client.socket.prependListener('data', (chunk: Buffer) => this.#walk(chunk));
  }

  static async logIn(
    target: RawTarget,
    params: Readonly<Record<string, string>> = {},
  ): Promise<FrameCounter> {
    return new FrameCounter(await RawClient.logIn(target, params));
  }

  frames(type: string): number {
    return this.#counts.get(type)?.frames ?? 0;
  }

  /** Of all frames of the type, with their heads. */
  bytes(type: string): number {
    return this.#counts.get(type)?.bytes ?? 0;
  }

  /** Waits for the `count`th frame of a type. */
  until(type: string, count: number, limitMs = 300_000): Promise<void> {
    return this.client.when(
      () => this.client.isClosed || this.frames(type) >= count,
      `${count} of ${type}`,
      limitMs,
    );
  }

  #walk(chunk: Buffer): void {
    let bytes = chunk;
    if (this.#skipped > 0) {
      const taken = Math.min(this.#skipped, bytes.length);
      this.#skipped -= taken;
      bytes = bytes.subarray(taken);
    }
    if (bytes.length === 0) return;
    if (this.#partial.length > 0) bytes = Buffer.concat([this.#partial, bytes]);
    let at = 0;
    while (bytes.length - at >= frameHeaderBytes) {
      const length = 1 + bytes.readUInt32BE(at + 1);
      const isShort = length <= keptBytesMax;
      if (isShort && bytes.length - at < length) break;
      this.#count(bytes, at, length, isShort);
      at += length;
      if (at > bytes.length) this.#skipped = at - bytes.length;
    }
    this.#partial = Buffer.from(bytes.subarray(Math.min(at, bytes.length)));
  }

  #count(bytes: Buffer, at: number, length: number, isShort: boolean): void {
    const type = String.fromCharCode(bytes[at]!);
    const known = this.#counts.get(type) ?? { frames: 0, bytes: 0 };
    known.frames += 1;
    known.bytes += length;
    this.#counts.set(type, known);
    if (isShort) this.kept.push({ type, bytes: Buffer.from(bytes.subarray(at, at + length)) });
  }
}
