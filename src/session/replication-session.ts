import type { Socket } from 'node:net';
import { ProxyError } from '../errors.ts';
import { type CancelTarget, sendCancelRequest } from '../pool/cancel-request.ts';
import { closeSocket } from '../pool/close-socket.ts';
import { connectServer } from '../pool/server-handshake.ts';
import { backendKeyData, parameterStatus, readyForQueryIdle } from '../protocol/backend.ts';
import type { CancelKey } from './cancel-keys.ts';
import type { ClientLogin } from './client-handshake.ts';
import type { KeyHolder } from './key-holder.ts';
import type { SessionContext } from './session-context.ts';

/** A replication connection to the primary that belongs to one client, from login to close. */
export interface ReplicationServer extends CancelTarget {
  readonly node: number;
  readonly socket: Socket;
  readonly params: ReadonlyMap<string, string>;
  /** What came behind ReadyForQuery. */
  readonly rest: Buffer;
}

/** Rejects with ProxyError, ServerConnectError or ServerLoginError. */
export async function connectReplication(
  { user, database, replication, params }: ClientLogin,
  context: SessionContext,
): Promise<ReplicationServer> {
  const node = await primaryOf(context);
  const { host, port } = context.cluster.nodes[node]!;
  const server = await connectServer({
    host,
    port,
    user,
    password: context.serverPassword(user),
    database,
    params: [...params, ['replication', replication === 'logical' ? 'database' : 'true']],
    connectTimeoutMs: context.config.pool.connectTimeoutMs,
  });
  return { ...server, node, cancelsInFlight: 0 };
}

function primaryOf({ gate, monitor, config }: SessionContext): Promise<number> {
  const { primaryWaitTimeoutMs } = config.freshness;
  return new Promise((resolve, reject) => {
    gate.waitForPrimary(monitor.now() + primaryWaitTimeoutMs, (node) => {
      if (node === -1) reject(new ProxyError('noPrimary', primaryWaitTimeoutMs));
      else resolve(node);
    });
  });
}

export interface ReplicationSessionOptions {
  readonly socket: Socket;
  readonly server: ReplicationServer;
  readonly address: { readonly host: string; readonly port: number };
  readonly closed: (session: ReplicationSession) => void;
}

/**
 * A client that replicates: a walsender of the primary speaks to it for as long as it stays, and what
 * they say is nobody else's business. Nothing of it is pooled, parsed or routed.
 */
export class ReplicationSession implements KeyHolder {
  readonly peer = null;
  readonly node: number;
  readonly #client: Socket;
  readonly #server: ReplicationServer;
  readonly #address: { readonly host: string; readonly port: number };

  constructor({ socket, server, address, closed }: ReplicationSessionOptions) {
    this.node = server.node;
    this.#client = socket;
    this.#server = server;
    this.#address = address;
    socket.on('error', () => {});
    server.socket.on('error', () => {});
    socket.once('close', () => {
      server.socket.destroy();
      closed(this);
    });
    // What it said last, such as why it closes, is still passed on.
    server.socket.once('close', () => closeSocket(socket, null));
  }

  /** Tells the client of its login, and lets the two speak. `rest`: what the client sent ahead. */
  start(key: CancelKey, rest: Buffer): void {
    const { params, socket, rest: ahead } = this.#server;
    const greeting = [...params].map(([name, value]) => parameterStatus(name, value));
    greeting.push(backendKeyData(key.pid, key.secret), readyForQueryIdle, ahead);
    this.#client.write(Buffer.concat(greeting));
    if (rest.length > 0) socket.write(rest);
    this.#client.pipe(socket);
    socket.pipe(this.#client);
  }

  cancel(): void {
    sendCancelRequest(this.#address, this.#server, () => {});
  }

  /** The client continues where it was, at this proxy or another, as after any lost connection. */
  end(): void {
    closeSocket(this.#client, null);
  }
}
