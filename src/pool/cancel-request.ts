import { connect } from 'node:net';
import { cancelRequest } from '../protocol/frontend.ts';

/** How long a cancel request may take before it is given up. */
const cancelTimeoutMs = 5_000;

/** A backend with its key. */
export interface CancelTarget {
  readonly pid: number;
  readonly secret: Buffer;
  cancelsInFlight: number;
}

/**
 * Asks a server to cancel what a backend of its runs. Calls back when the server has closed the
 * cancel connection (it does so after signalling the backend: processCancelRequest,
 * backend_startup.c) or when the request failed. Until then, and until a round trip has gone
 * through afterwards, the backend may not be given to another session: the signal could hit it.
 */
export function sendCancelRequest(
  address: { readonly host: string; readonly port: number },
  target: CancelTarget,
  finished: () => void,
): void {
  target.cancelsInFlight += 1;
  let ended = false;
  const end = () => {
    if (ended) return;
    ended = true;
    socket.destroy();
    target.cancelsInFlight -= 1;
    finished();
  };
  const socket = connect(address, () => socket.end(cancelRequest(target.pid, target.secret)));
  socket.setTimeout(cancelTimeoutMs, end);
  socket.resume();
  socket.on('error', end);
  socket.on('close', end);
}
