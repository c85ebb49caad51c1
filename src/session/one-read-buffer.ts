import { Socket, type SocketConstructorOpts } from 'node:net';

/** As much as Node reads at a time. */
const bytesMax = 64 * 1024;
/** What has been read into it is taken out before anything else is read. */
const buffer = Buffer.allocUnsafeSlow(bytesMax);

/** The binding of a TCP connection, which Node's types do not speak of (`_handle`, net.js). */
interface Handle {
  useUserBuffer?(buffer: Buffer): void;
}
interface Handled {
  _handle: Handle | null;
}

/**
 * The same connection, read into one buffer that all connections share, from which the bytes are
 * copied. Otherwise Node allocates 64 KB for each read, shrinks it to what has come, and hands it to
 * the garbage collector: more work than everything else about reading a short message. Node offers
 * this to sockets that connect (`onread`); one that was accepted has to be made anew, on the handle
 * of the first, which is not to be used any more.
 *
 * @param accepted nothing has been read from it (`pauseOnConnect`, or handed over by another process)
 * @returns a paused socket; where Node has no such thing, `accepted` itself
 */
export function readIntoOneBuffer(accepted: Socket): Socket {
  const handle = (accepted as unknown as Handled)._handle;
  if (accepted.destroyed || typeof handle?.useUserBuffer !== 'function') return accepted;
  const options = {
    handle,
    pauseOnCreate: true,
    onread: {
      buffer,
      callback: (bytes: number) => {
        const chunk = Buffer.allocUnsafe(bytes);
        buffer.copy(chunk, 0, 0, bytes);
        socket.emit('data', chunk);
        return true;
      },
    },
  };
  const socket = new Socket(options as SocketConstructorOpts);
  (accepted as unknown as Handled)._handle = null;
  return socket;
}
