import { connect, createServer, type Server, type Socket } from 'node:net';
import { anyLengthMax, FrameScanner, Scan } from '../../src/protocol/frames.ts';
import type { TestNode } from './cluster.ts';

/** A TCP relay in front of a server that counts what clients of the server say. */
export class CountingRelay {
  /** Frontend messages, without the startup packet. */
  messages = 0;
  /** Chunks that came: at most as many as were written. */
  chunks = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(host: string, port: number) {
    this.#server = createServer({ noDelay: true }, (client) => {
      const server = connect({ host, port, noDelay: true });
      const scan = this.#scanner();
      client.on('data', (chunk: Buffer) => {
        scan(chunk);
        server.write(chunk);
      });
      server.on('data', (chunk: Buffer) => client.write(chunk));
      for (const [socket, other] of [
        [client, server],
        [server, client],
      ] as const) {
        this.#sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => {
          this.#sockets.delete(socket);
          other.destroy();
        });
      }
    });
  }

  /** In front of a server. */
  static async listen({ host, port }: TestNode): Promise<CountingRelay> {
    const relay = new CountingRelay(host, port);
    await new Promise<void>((resolve, reject) => {
      relay.#server.once('error', reject);
      relay.#server.listen(0, '127.0.0.1', resolve);
    });
    return relay;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  /** Of one connection. Its first packet has no type: the proxy sends it whole. */
  #scanner(): (chunk: Buffer) => void {
    const scanner = new FrameScanner({
      lengthMax: anyLengthMax,
      assembledBytesMax: 64 * 1024,
      headBytesMin: 1024,
    });
    let isStarted = false;
    return (chunk) => {
      this.chunks += 1;
      scanner.feed(isStarted ? chunk : chunk.subarray(chunk.readInt32BE(0)));
      isStarted = true;
      for (let found = scanner.next(); found !== Scan.NeedMore; found = scanner.next()) {
        if (found !== Scan.Body) this.messages += 1;
      }
    };
  }
}
