import type { Socket } from 'node:net';

/** How long a peer may take to read what was sent before the close. */
export const lingerMs = 1_000;

function ignoreError(): void {}

/**
 * Sends what is buffered and a last message, if any, and closes. Input is read and thrown away
 * meanwhile: a close with unread input is a reset, and that would take the last message from the
 * peer. A peer that does not read, or never closes its side, is cut off.
 */
export function closeSocket(socket: Socket, lastMessage: Buffer | null): void {
  if (socket.destroyed) return;
  socket.on('error', ignoreError);
  if (!socket.writable && socket.writableLength === 0) {
    socket.destroy();
    return;
  }
  const cut = setTimeout(() => socket.destroy(), lingerMs);
  cut.unref();
  socket.once('close', () => clearTimeout(cut));
  if (lastMessage === null) socket.end();
  else socket.end(lastMessage);
  // Without a listener of its own it would not flow.
  socket.on('data', ignoreError);
  socket.resume();
}
