import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readIntoOneBuffer } from '../../../src/pool/one-read-buffer.ts';

let server: Server;
const open: Socket[] = [];

beforeEach(async () => {
  server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterEach(() => {
  for (const socket of open.splice(0)) socket.destroy();
  server.close();
});

/** A client's socket, and the one that was accepted. */
async function connected(): Promise<{ client: Socket; accepted: Socket }> {
  const accepting = once(server, 'connection');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [accepted] = (await accepting) as [Socket];
  open.push(client, accepted);
  return { client, accepted };
}

async function pair(): Promise<{ client: Socket; socket: Socket; chunks: Buffer[] }> {
  const { client, accepted } = await connected();
  const socket = readIntoOneBuffer(accepted);
  open.push(socket);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  return { client, socket, chunks };
}

const lengthOf = (chunks: readonly Buffer[]) => chunks.reduce((sum, { length }) => sum + length, 0);

async function arrived(socket: Socket, chunks: readonly Buffer[], bytes: number): Promise<void> {
  while (lengthOf(chunks) < bytes) await once(socket, 'data');
}

describe('an accepted connection', () => {
  it('is read by another socket, without an allocation of Node for each read', async () => {
    const { accepted } = await connected();
    const socket = readIntoOneBuffer(accepted);
    open.push(socket);
    expect(socket).not.toBe(accepted);
  });

  it('keeps what it has read, whatever others read into the same buffer', async () => {
    const pairs: Awaited<ReturnType<typeof pair>>[] = [];
    while (pairs.length < 20) pairs.push(await pair());
    const sent = pairs.map(() => randomBytes(300_000));
    for (const { socket } of pairs) socket.resume();
    for (let at = 0; at < 300_000; at += 30_000) {
      for (const [index, { client }] of pairs.entries()) {
        client.write(sent[index]!.subarray(at, at + 30_000));
      }
    }
    for (const [index, { socket, chunks }] of pairs.entries()) {
      await arrived(socket, chunks, 300_000);
      expect(Buffer.concat(chunks).equals(sent[index]!)).toBe(true);
    }
  });

  it('is not read before somebody wants it to be, nor while it is paused', async () => {
    const { client, socket, chunks } = await pair();
    client.write('one');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(chunks).toEqual([]);
    socket.resume();
    await arrived(socket, chunks, 3);
    socket.pause();
    client.write('two');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(Buffer.concat(chunks).toString()).toBe('one');
    socket.resume();
    await arrived(socket, chunks, 6);
    expect(Buffer.concat(chunks).toString()).toBe('onetwo');
  });

  it('is written to, and ends on either side', async () => {
    const one = await pair();
    one.socket.resume();
    one.client.end('bye');
    await once(one.socket, 'end');
    expect(Buffer.concat(one.chunks).toString()).toBe('bye');
    await once(one.socket, 'close');

    const other = await pair();
    other.socket.end('good night');
    const [said] = (await once(other.client, 'data')) as [Buffer];
    expect(said.toString()).toBe('good night');
    await once(other.client, 'end');
  });

  it('breaks with an error, as any other', async () => {
    const { client, socket } = await pair();
    socket.resume();
    const broken = once(socket, 'error');
    const writing = setInterval(() => socket.write('x'), 1);
    client.resetAndDestroy();
    const [error] = (await broken) as [NodeJS.ErrnoException];
    clearInterval(writing);
    expect(['ECONNRESET', 'EPIPE']).toContain(error.code);
  });

  it('that has gone already is left as it is', async () => {
    const { accepted } = await connected();
    accepted.destroy();
    expect(readIntoOneBuffer(accepted)).toBe(accepted);
  });
});
