import { connect, type Socket } from 'node:net';
import { Backend, frameHeaderBytes, TxStatus } from '../protocol/codes.ts';
import {
  backendKeyFields,
  errorField,
  parameterStatusFields,
  readyStatus,
} from '../protocol/fields.ts';
import { startup } from '../protocol/frontend.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import { LoginAborted, LoginSocket } from './login-socket.ts';
import { oneReadBuffer } from './one-read-buffer.ts';
import { ServerAuth } from './server-auth.ts';
import { ServerConnectError, ServerLoginError } from './server-connect-error.ts';

export {
  type ConnectFailure,
  ServerConnectError,
  ServerLoginError,
} from './server-connect-error.ts';

/** No message of a login is larger: libpq refuses errors of more than 30,000 bytes there. */
const loginLengthMax = 65_536;
/** First probe of an idle connection, so that a vanished server is noticed. */
const keepAliveDelayMs = 30_000;

export interface ServerAddress {
  /** Name, address, or a directory with the server's Unix socket, which starts with `/`. */
  readonly host: string;
  readonly port: number;
}

export interface ConnectServerOptions extends ServerAddress {
  readonly user: string;
  /** Only needed where the server asks for one. */
  readonly password?: string | undefined;
  readonly database: string;
  /** Further startup parameters, such as application_name. */
  readonly params?: Iterable<readonly [string, string]>;
  /** For all of it: name lookup, connect and login. */
  readonly connectTimeoutMs: number;
}

export interface LoggedInServer {
  /** Paused and without listeners; the new owner attaches its own in the same turn. */
  readonly socket: Socket;
  /** Key for cancel requests; 0 and an empty secret where the server gave none. */
  readonly pid: number;
  readonly secret: Buffer;
  /** What the server reported by ParameterStatus. */
  readonly params: Map<string, string>;
  /** What came behind ReadyForQuery. */
  readonly rest: Buffer;
}

async function readFrame(login: LoginSocket): Promise<Buffer> {
  const header = await login.read(frameHeaderBytes);
  const length = header.readInt32BE(1);
  if (length < 4 || length > loginLengthMax) {
    throw new ProtocolError(`message of ${length} bytes during login`);
  }
  return Buffer.concat([header, await login.read(length - 4)]);
}

function loginError(frame: Buffer): ServerLoginError {
  const sqlstate = errorField(frame, 0, frame.length, 'C') ?? 'XX000';
  const text = errorField(frame, 0, frame.length, 'M') ?? 'the server refused the login';
  return new ServerLoginError(sqlstate, text, frame);
}

/** Handles messages up to ReadyForQuery. */
async function logIn(
  login: LoginSocket,
  options: ConnectServerOptions,
): Promise<Omit<LoggedInServer, 'socket' | 'rest'>> {
  const auth = new ServerAuth(options.user, options.password);
  const params = new Map<string, string>();
  let key: { pid: number; secret: Buffer } = { pid: 0, secret: Buffer.alloc(0) };
  for (;;) {
    const frame = await readFrame(login);
    const type = frame[0];
    if (type === Backend.ErrorResponse) throw loginError(frame);
    if (type === Backend.NoticeResponse) continue;
    if (type === Backend.Authentication && !auth.isOk) {
      const answer = await login.during(auth.answer(frame.subarray(frameHeaderBytes)));
      if (answer !== null) login.write(answer);
    } else if (type === Backend.ParameterStatus && auth.isOk) {
      const { name, value } = parameterStatusFields(frame, 0, frame.length);
      params.set(name, value);
    } else if (type === Backend.BackendKeyData && auth.isOk) {
      key = backendKeyFields(frame, 0, frame.length);
    } else if (type === Backend.ReadyForQuery && auth.isOk) {
      if (readyStatus(frame, 0, frame.length) !== TxStatus.Idle) {
        throw new ProtocolError('a new connection is inside a transaction');
      }
      return { ...key, params };
    } else {
      throw new ProtocolError(`unexpected message type ${type} during login`);
    }
  }
}

/** Every way to fail as one of the two errors that callers know; a bug stays what it is. */
function connectError(error: unknown, wasConnected: boolean): Error {
  if (error instanceof ServerLoginError || error instanceof ServerConnectError) return error;
  if (error instanceof ProtocolError) return new ServerConnectError('protocol', error.message);
  if (error instanceof LoginAborted) {
    if (error.reason === 'timeout') {
      const what = wasConnected ? 'the server did not complete the login' : 'no connection';
      return new ServerConnectError('timeout', `${what} in time`);
    }
    return new ServerConnectError(wasConnected ? 'closed' : 'unreachable', error.message);
  }
  return error instanceof Error ? error : new Error(String(error));
}

/**
 * Connects and logs in with protocol 3.0 by what the server asks for: SCRAM-SHA-256, md5, a
 * cleartext password, or nothing. Rejects with ServerLoginError where the server refused, else
 * with ServerConnectError; the socket is destroyed then.
 */
export async function connectServer(options: ConnectServerOptions): Promise<LoggedInServer> {
  const { host, port } = options;
  const socket: Socket = connect({
    ...(host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port }),
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: keepAliveDelayMs,
    onread: oneReadBuffer(() => socket),
  });
  let wasConnected = false;
  socket.once('connect', () => {
    wasConnected = true;
  });
  const login = new LoginSocket(socket, options.connectTimeoutMs);
  try {
    const named = [['user', options.user] as const, ['database', options.database] as const];
    login.write(startup([...named, ...(options.params ?? [])]));
    const session = await logIn(login, options);
    return { socket, ...session, rest: login.release() };
  } catch (error) {
    login.discard(null, 0);
    throw connectError(error, wasConnected);
  }
}
