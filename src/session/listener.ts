import type { Socket } from 'node:net';
import { ProxyError } from '../errors.ts';
import { closeSocket } from '../pool/close-socket.ts';
import { readIntoOneBuffer } from '../pool/one-read-buffer.ts';
import { ServerConnectError, ServerLoginError } from '../pool/server-handshake.ts';
import {
  backendKeyData,
  errorResponse,
  parameterStatus,
  readyForQueryIdle,
} from '../protocol/backend.ts';
import type { ClientAuthentication } from './client-auth.ts';
import { type ClientLogin, clientHandshake } from './client-handshake.ts';
import { ClientSession } from './client-session.ts';
import { ReadSettings } from './read-settings.ts';
import { connectReplication, ReplicationSession } from './replication-session.ts';
import type { SessionContext } from './session-context.ts';
import { reportedAtLogin } from './session-login.ts';
import { SessionState } from './session-state.ts';
import { startupSettings } from './startup-settings.ts';

/** Sockets that are not logged in, beyond those of `clients.max`. */
const loginsMax = 1_000;

/** Logs clients in, and knows who is there. */
export class Listener {
  readonly sessions = new Set<ClientSession>();
  readonly #context: SessionContext;
  readonly #authentication: ClientAuthentication;
  readonly #replications = new Set<ReplicationSession>();
  readonly #sockets = new Set<Socket>();
  #isDraining = false;
  #opened: () => void = () => {};
  readonly #isOpen = new Promise<void>((resolve) => {
    this.#opened = resolve;
  });

  constructor(context: SessionContext, authentication: ClientAuthentication) {
    this.#context = context;
    this.#authentication = authentication;
  }

  /** Clients that have come so far wait for this: the nodes are known from here on. */
  open(): void {
    this.#opened();
  }

  /** Lets no more clients in; ends idle sessions now, the others with their transaction. */
  drain(): void {
    this.#isDraining = true;
    this.#opened();
    for (const session of [...this.sessions]) session.drain();
    for (const session of this.#replications) session.end();
  }

  /** The node is not the primary any more: nobody may replicate from it. */
  leaveNode(node: number): void {
    for (const session of this.#replications) if (session.node === node) session.end();
  }

  /** Ends every session now. */
  terminate(): void {
    this.drain();
    for (const session of [...this.sessions]) session.terminate(new ProxyError('shuttingDown'));
    for (const socket of this.#sockets) socket.destroySoon();
  }

  /** A client has connected, of whose socket nothing has been read. */
  accept(accepted: Socket): void {
    if (this.#sockets.size >= this.#context.config.clients.max + loginsMax) {
      accepted.destroy();
      return;
    }
    const socket = readIntoOneBuffer(accepted);
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    // Whoever owns the socket has a listener of its own; between owners an error is nobody's.
    socket.on('error', () => {});
    this.#logIn(socket).catch((error: unknown) => {
      this.#context.log.error({ err: error }, 'login failed unexpectedly');
      socket.destroy();
    });
  }

  async #logIn(socket: Socket): Promise<void> {
    const { clients } = this.#context.config;
    const login = await clientHandshake(socket, {
      authentication: this.#authentication,
      loginTimeoutMs: clients.loginTimeoutMs,
      onCancel: (pid, secret) => this.#cancel(pid, secret),
      onFailure: (error) =>
        this.#context.log.info({ problem: error.message }, 'client login failed'),
    });
    if (login === null) return;
    await this.#isOpen;
    try {
      if (this.sessions.size + this.#replications.size >= clients.max) {
        throw new ProxyError('tooManyClients', this.#clientsMaxText);
      }
      if (this.#isDraining) throw new ProxyError('shuttingDown');
      if (login.replication === null) await this.#openSession(socket, login);
      else await this.#openReplication(socket, login);
    } catch (error) {
      const refusal =
        error instanceof ServerConnectError
          ? new ProxyError('connectFailed', error.message)
          : error;
      if (!(refusal instanceof ProxyError || refusal instanceof ServerLoginError)) throw error;
      this.#refuse(socket, login, refusal);
    }
  }

  #cancel(pid: number, secret: Buffer): void | Promise<void> {
    const { cancelKeys, others } = this.#context;
    if (others.haveSession(pid)) return others.cancel(pid, secret);
    cancelKeys.find(pid, secret)?.cancel();
  }

  get #clientsMaxText(): string {
    const { clients, workers } = this.#context.config;
    const ofWorker = workers === 1 ? '' : ` for this one of ${workers} workers`;
    return `clients.max is ${clients.max}${ofWorker}`;
  }

  async #openSession(socket: Socket, login: ClientLogin): Promise<void> {
    const { user, database } = login;
    const { policies } = this.#context;
    const { settings: base, own } = startupSettings(login.params);
    const { policy, reportsLsn } = policies.withStartup(policies.of(user, database), own);
    const reported = await reportedAtLogin({ user, database, base }, this.#context);
    await this.#context.databases.ready(database);
    if (socket.destroyed) return;
    const { holder: session, key } = this.#context.cancelKeys.issue(
      login.protocolMinor,
      (pid) =>
        new ClientSession({
          socket,
          pid,
          user,
          database,
          state: new SessionState(base, new ReadSettings(policy)),
          reportsLsn,
          reported,
          context: this.#context,
          closed: (closed) => {
            this.sessions.delete(closed);
            this.#context.cancelKeys.revoke(pid);
          },
        }),
    );
    this.sessions.add(session);
    const greeting = [...reported].map(([name, value]) => parameterStatus(name, value));
    greeting.push(backendKeyData(key.pid, key.secret), readyForQueryIdle);
    socket.write(Buffer.concat(greeting));
    session.start(login.rest);
    if (this.#isDraining) session.drain();
  }

  async #openReplication(socket: Socket, login: ClientLogin): Promise<void> {
    const server = await connectReplication(login, this.#context);
    if (socket.destroyed || this.#isDraining) {
      server.socket.destroy();
      if (this.#isDraining) throw new ProxyError('shuttingDown');
      return;
    }
    const { holder: session, key } = this.#context.cancelKeys.issue(
      login.protocolMinor,
      (pid) =>
        new ReplicationSession({
          socket,
          server,
          address: this.#context.cluster.nodes[server.node]!,
          closed: (closed) => {
            this.#replications.delete(closed);
            this.#context.cancelKeys.revoke(pid);
          },
        }),
    );
    this.#replications.add(session);
    session.start(key, login.rest);
  }

  /** As PostgreSQL words it, and always fatal: the session has not begun. */
  #refuse(socket: Socket, login: ClientLogin, error: ProxyError | ServerLoginError): void {
    const { sqlstate, message } = error;
    const hint = error instanceof ProxyError ? error.hint : undefined;
    this.#context.routes.failed(sqlstate);
    this.#context.log.warn(
      { user: login.user, database: login.database, sqlstate, problem: message },
      'client refused',
    );
    closeSocket(socket, errorResponse({ severity: 'FATAL', sqlstate, message, hint }));
  }
}
