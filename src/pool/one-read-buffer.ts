import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';

/** As much as Node reads at a time. */
const bytesMax = 64 * 1024;
/** What has been read into it is taken out before anything else is read. */
const buffer = Buffer.allocUnsafeSlow(bytesMax);

/** A longer chunk has memory of its own. */
const slicedBytesMax = 4 * 1024;
/**
 * What chunks are cut from. Not from Node's pool, from which small things are cut that stay: each of
 * them would keep 8 KB of what has been read around it.
 */
let slab = Buffer.allocUnsafeSlow(bytesMax);
let slabUsed = 0;

function chunkOf(bytes: number): Buffer {
  if (bytes > slicedBytesMax) return Buffer.allocUnsafeSlow(bytes);
  if (slabUsed + bytes > slab.length) {
    slab = Buffer.allocUnsafeSlow(bytesMax);
    slabUsed = 0;
  }
  slabUsed += bytes;
  return slab.subarray(slabUsed - bytes, slabUsed);
}

/** The binding of a TCP connection, which Node's types do not speak of (`_handle`, net.js). */
interface Handle {
  useUserBuffer?(buffer: Buffer): void;
}
interface Handled {
  _handle: Handle | null;
}

/**
 * For a socket that reads into one buffer with all others, and emits copies of what has come as
 * `data`. Otherwise Node allocates 64 KB for each read, shrinks it to what has come, and hands it to
 * the garbage collector: more work than everything else about reading a short message. While the
 * socket is paused it does not hear of its peer's end either.
 *
 * @param socket known when the first bytes come
 */
export function oneReadBuffer(socket: () => Socket): OnReadOpts {
  return {
    buffer,
    callback: (bytes) => {
      const chunk = chunkOf(bytes);
      buffer.copy(chunk, 0, 0, bytes);
      socket().emit('data', chunk);
      return true;
    },
  };
}

/**
 * The same for a connection that was accepted. Node has it for sockets that connect, so the socket
 * is made anew, on the handle of the first, which is not to be used any more.
 *
 * @param accepted nothing has been read from it (`pauseOnConnect`, or handed over by another process)
 * @returns a paused socket; where Node has no such thing, `accepted` itself
 */
export function readIntoOneBuffer(accepted: Socket): Socket {
  const handle = (accepted as unknown as Handled)._handle;
  if (accepted.destroyed || typeof handle?.useUserBuffer !== 'function') return accepted;
  const options = { handle, pauseOnCreate: true, onread: oneReadBuffer(() => socket) };
  const socket: Socket = new Socket(options as SocketConstructorOpts);
  (accepted as unknown as Handled)._handle = null;
  // Whoever counts the accepted ones (net.Server, a worker's supervisor) hears of its end.
  socket.once('close', () => accepted.destroy());
  return socket;
}
