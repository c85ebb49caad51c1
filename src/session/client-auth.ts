import { ProxyError } from '../errors.ts';
import type { LoginSocket } from '../pool/login-socket.ts';
import {
  authenticationSasl,
  authenticationSaslContinue,
  authenticationSaslFinal,
} from '../protocol/backend.ts';
import { Frontend, frameHeaderBytes } from '../protocol/codes.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import { MessageReader } from '../protocol/reader.ts';
import { mockScramVerifier, type ScramVerifier, scramMechanism } from '../protocol/scram.ts';
import { ScramServer } from '../protocol/scram-server.ts';

/** PG_MAX_SASL_MESSAGE_LENGTH (auth-sasl.c): the largest length word of a SASL message. */
const saslLengthMax = 1024;

/** How clients prove who they are. */
export type ClientAuthentication =
  | { readonly method: 'trust' }
  | {
      readonly method: 'scram-sha-256';
      /**
       * The user's verifier, null for an unknown user. It should take the same time for both:
       * derive verifiers of plain secrets beforehand.
       */
      readonly verifierOf: (user: string) => ScramVerifier | null | Promise<ScramVerifier | null>;
      /**
       * Key of the salts that unknown users are shown. Must not be guessable, and must stay the
       * same as long as the users' own salts do.
       */
      readonly mockSecret: Buffer;
    };

/** Body of the next SASL message; its length is checked before the body is waited for. */
async function readSaslMessage(login: LoginSocket): Promise<Buffer> {
  const header = await login.read(frameHeaderBytes);
  if (header[0] !== Frontend.Password) {
    throw new ProtocolError(`expected SASL response, got message type ${header[0]}`);
  }
  const length = header.readInt32BE(1);
  if (length < 4 || length > saslLengthMax) throw new ProtocolError('invalid message length');
  return login.read(length - 4);
}

/** SASLInitialResponse: the client may leave its first message for later. */
async function readClientFirst(login: LoginSocket): Promise<Buffer> {
  const body = await readSaslMessage(login);
  const reader = new MessageReader(body, 0, body.length);
  if (reader.cstring('latin1') !== scramMechanism) {
    throw new ProtocolError('client selected an invalid SASL authentication mechanism');
  }
  const bytes = reader.int32();
  const clientFirst = bytes === -1 ? null : reader.bytes(bytes);
  if (reader.remaining > 0) throw new ProtocolError('invalid message format');
  if (clientFirst !== null) return clientFirst;
  login.write(authenticationSaslContinue(''));
  return readSaslMessage(login);
}

/**
 * Lets the client prove its user name. Raises ProxyError passwordFailed, ProtocolError on broken
 * messages, LoginAborted when the client goes away or is too slow.
 */
export async function authenticateClient(
  login: LoginSocket,
  user: string,
  authentication: ClientAuthentication,
): Promise<void> {
  if (authentication.method === 'trust') return;
  login.write(authenticationSasl([scramMechanism]));
  const clientFirst = await readClientFirst(login);
  const known = await login.during(authentication.verifierOf(user));
  const verifier = known ?? mockScramVerifier(user, authentication.mockSecret);
  const exchange = new ScramServer(verifier, known === null);
  login.write(authenticationSaslContinue(exchange.first(clientFirst)));
  const serverFinal = exchange.final(await readSaslMessage(login));
  if (serverFinal === null) throw new ProxyError('passwordFailed', user);
  login.write(authenticationSaslFinal(serverFinal));
}
