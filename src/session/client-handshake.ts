import type { Socket } from 'node:net';
import { ProxyError } from '../errors.ts';
import { parseBool } from '../parse-bool.ts';
import { LoginAborted, LoginSocket } from '../pool/login-socket.ts';
import { authenticationOk, errorResponse, negotiateProtocolVersion } from '../protocol/backend.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import {
  type CancelPacket,
  parseStartupPacket,
  type StartupMessage,
  type StartupPacket,
  startupPacketBytes,
} from '../protocol/startup.ts';
import { authenticateClient, type ClientAuthentication } from './client-auth.ts';

/** The newest minor version of protocol 3 that is spoken with clients. */
const newestMinor = 2;
/** How long a refused client may take to read why. */
const refusalLingerMs = 1000;
/** One byte, not a message: there is no encryption of this kind. */
const encryptionRefused = Buffer.from('N');

export interface ClientLogin {
  readonly user: string;
  /** Defaults to the user's name. */
  readonly database: string;
  /** Of the startup parameter of that name: null is an ordinary session. */
  readonly replication: 'physical' | 'logical' | null;
  /** Startup parameters other than user, database and replication: settings and `options`. */
  readonly params: ReadonlyMap<string, string>;
  /** Since 2 the client takes cancel keys of up to 256 bytes; before, of exactly 4. */
  readonly protocolMinor: number;
  /** What the client sent behind its last message of the login. */
  readonly rest: Buffer;
}

export interface ClientHandshakeOptions {
  readonly authentication: ClientAuthentication;
  /** For the whole login, from the call on. */
  readonly loginTimeoutMs: number;
  /** A cancel request; the connection closes when it is done, which is what the client waits for. */
  readonly onCancel: (pid: number, secret: Buffer) => void | Promise<void>;
  /** Told why a login failed; a client that just leaves is told as LoginAborted. */
  readonly onFailure?: (error: Error) => void;
}

async function readStartupPacket(login: LoginSocket): Promise<StartupPacket> {
  const lengthWord = await login.read(4);
  const bytes = startupPacketBytes(lengthWord);
  return parseStartupPacket(Buffer.concat([lengthWord, await login.read(bytes - 4)]));
}

/**
 * Answers requests for encryption, each kind once at most, until a packet of another kind comes.
 * This is where TLS will take the socket over.
 */
async function readPastEncryptionRequests(
  login: LoginSocket,
): Promise<CancelPacket | StartupMessage> {
  const asked = new Set<'ssl' | 'gssenc'>();
  for (;;) {
    const packet = await readStartupPacket(login);
    switch (packet.kind) {
      case 'cancel':
      case 'startup':
        return packet;
      case 'unsupported':
        throw new ProxyError('unsupportedProtocol', `${packet.major}.${packet.minor}`);
    }
    if (asked.has(packet.kind)) {
      // PostgreSQL reads a repeated request as a version: the codes are chosen to look like one.
      throw new ProxyError(
        'unsupportedProtocol',
        packet.kind === 'ssl' ? '1234.5679' : '1234.5680',
      );
    }
    asked.add(packet.kind);
    // Bytes sent before the answer were not encrypted, whoever sent them (CVE-2021-23222).
    if (login.heldBytes > 0) {
      throw new ProxyError(
        'protocolViolation',
        `received unencrypted data after ${packet.kind === 'ssl' ? 'SSL' : 'GSSAPI encryption'} request`,
      ).withDetail(
        'This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.',
      );
    }
    login.write(encryptionRefused);
  }
}

/** As ProcessStartupPacket reads it (backend_startup.c). */
function replicationOf(params: ReadonlyMap<string, string>): ClientLogin['replication'] {
  const replication = params.get('replication');
  if (replication === 'database') return 'logical';
  const wanted = parseBool(replication ?? 'off');
  if (wanted !== null) return wanted ? 'physical' : null;
  throw new ProxyError(
    'invalidSetting',
    'replication',
    replication ?? '',
    'Valid values are: "false", 0, "true", 1, "database".',
  );
}

/** Settles version and options, then who wants in; what is not supported is refused here. */
function negotiate(login: LoginSocket, startup: StartupMessage): Omit<ClientLogin, 'rest'> {
  const { params, protocolOptions } = startup;
  const replication = replicationOf(params);
  const protocolMinor = Math.min(startup.minor, newestMinor);
  // As in ProcessStartupPacket, 3.1 is taken at its word: an answer with a version above the one
  // asked for is an error to libpq.
  if (startup.minor > newestMinor || protocolOptions.length > 0) {
    login.write(negotiateProtocolVersion(protocolMinor, protocolOptions));
  }
  const user = params.get('user') ?? '';
  if (user === '') throw new ProxyError('noUserName');
  const database = params.get('database') || user;
  for (const name of ['user', 'database', 'replication']) params.delete(name);
  return { user, database, replication, params, protocolMinor };
}

async function logIn(
  login: LoginSocket,
  options: ClientHandshakeOptions,
): Promise<Omit<ClientLogin, 'rest'> | null> {
  const packet = await readPastEncryptionRequests(login);
  if (packet.kind === 'cancel') {
    await login.during(options.onCancel(packet.pid, packet.secret));
    return null;
  }
  const client = negotiate(login, packet);
  await authenticateClient(login, client.user, options.authentication);
  login.write(authenticationOk);
  return client;
}

/** What the client is told: always FATAL, since the connection ends with it. */
function farewell(error: unknown): Buffer | null {
  let told: ProxyError;
  if (error instanceof ProxyError) told = error;
  else if (error instanceof ProtocolError)
    told = new ProxyError('protocolViolation', error.message);
  else if (error instanceof LoginAborted && error.reason === 'timeout') {
    told = new ProxyError('loginTimeout');
  } else return null;
  const { sqlstate, message, detail, hint } = told;
  return errorResponse({ severity: 'FATAL', sqlstate, message, detail, hint });
}

/**
 * Takes a freshly accepted connection up to AuthenticationOk, which it sends; ParameterStatus,
 * BackendKeyData and ReadyForQuery are the session's to send. Returns null when the connection
 * was a cancel request or the login failed: then the client has been told and the socket closes
 * by itself. Otherwise the socket is paused and without listeners (see LoginSocket.release).
 * Never rejects.
 */
export async function clientHandshake(
  socket: Socket,
  options: ClientHandshakeOptions,
): Promise<ClientLogin | null> {
  const login = new LoginSocket(socket, options.loginTimeoutMs);
  try {
    const client = await logIn(login, options);
    if (client !== null) return { ...client, rest: login.release() };
    login.discard(null, refusalLingerMs);
  } catch (error) {
    login.discard(farewell(error), refusalLingerMs);
    options.onFailure?.(error instanceof Error ? error : new Error(String(error)));
  }
  return null;
}
