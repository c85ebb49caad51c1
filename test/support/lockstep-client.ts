import { Backend } from '../../src/protocol/codes.ts';
import { anyLengthMax, FrameScanner, Scan } from '../../src/protocol/frames.ts';
import { describeFrame, RawClient, type RawTarget } from './raw-client.ts';

/** A client that sends when it is told to, and only looks for the end of the answer. */
export class LockstepClient {
  readonly #client: RawClient;
  readonly #scanner = new FrameScanner({
    lengthMax: anyLengthMax,
    assembledBytesMax: 64 * 1024,
    headBytesMin: 1024,
  });
  #answered: () => void = () => {};
  #failed: (error: Error) => void = () => {};

  /** Of one that is logged in. */
  constructor(client: RawClient) {
    this.#client = client;
    client.count();
    client.socket.on('data', (chunk: Buffer) => this.#read(chunk));
  }

  static async logIn(target: RawTarget): Promise<LockstepClient> {
    return new LockstepClient(await RawClient.logIn(target));
  }

  /** Resolves with ReadyForQuery; rejects with an ErrorResponse. */
  ask(bytes: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#answered = resolve;
      this.#failed = reject;
      this.#client.socket.write(bytes);
    });
  }

  close(): void {
    this.#client.destroy();
  }

  #read(chunk: Buffer): void {
    const scanner = this.#scanner;
    scanner.feed(chunk);
    while (scanner.next() !== Scan.NeedMore) {
      const { type, buffer, start, end } = scanner;
      if (type === Backend.ErrorResponse) {
        const frame = { type: 'E', bytes: buffer.subarray(start, end) };
        this.#failed(new Error(describeFrame(frame)));
      } else if (type === Backend.ReadyForQuery) {
        this.#answered();
      }
    }
  }
}
