import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Outgoing } from '../../../src/pool/outgoing.ts';
import { FakeSocket } from './fake-server.ts';

function outgoing() {
  const socket = new FakeSocket();
  const sending = new Outgoing(socket as unknown as Socket);
  const writes = () => socket.written.splice(0).map(String);
  return { socket, sending, writes };
}

describe('what is sent in one turn of the event loop', () => {
  it('leaves as one write at its end, in order', async () => {
    const { sending, writes } = outgoing();
    for (const piece of ['one ', 'two ', 'three']) sending.send(Buffer.from(piece));
    expect(writes()).toEqual([]);
    await setImmediate();
    expect(writes()).toEqual(['one two three']);
    sending.send(Buffer.from('the next'));
    await setImmediate();
    expect(writes()).toEqual(['the next']);
  });

  it('leaves earlier when it is much', async () => {
    const { sending, writes } = outgoing();
    const large = 'x'.repeat(20_000);
    sending.send(Buffer.from('small '));
    sending.send(Buffer.from(large));
    expect(writes().join('')).toBe(`small ${large}`);
    sending.send(Buffer.from('rest'));
    await setImmediate();
    expect(writes()).toEqual(['rest']);
  });
});

describe('what a session sends by itself', () => {
  it('leaves as one write, then and there', async () => {
    const { sending, writes } = outgoing();
    sending.hold();
    sending.send(Buffer.from('BEGIN '));
    sending.send(Buffer.from('SELECT'));
    expect(writes()).toEqual([]);
    sending.flush();
    expect(writes()).toEqual(['BEGIN SELECT']);
    await setImmediate();
    expect(writes()).toEqual([]);
  });

  it('follows what was gathered before it', async () => {
    const { sending, writes } = outgoing();
    sending.send(Buffer.from('first '));
    sending.hold();
    sending.send(Buffer.from('second'));
    sending.flush();
    expect(writes()).toEqual(['first second']);
    sending.send(Buffer.from('third'));
    await setImmediate();
    expect(writes()).toEqual(['third']);
  });
});

describe('a socket that takes no more', () => {
  it('is told of, whether its bytes were gathered or written', async () => {
    const { socket, sending, writes } = outgoing();
    expect(sending.send(Buffer.from('a'))).toBe(true);
    socket.takesMore = false;
    expect(sending.send(Buffer.from('b'))).toBe(false);
    expect(sending.flush()).toBe(false);
    expect(sending.send(Buffer.alloc(20_000))).toBe(false);
    expect(sending.flush()).toBe(false);
    socket.takesMore = true;
    expect(sending.flush()).toBe(true);
    await setImmediate();
    expect(writes().join('').length).toBe(20_002);
  });
});
