import assert from 'node:assert';
import { AuthenticationCode } from '../protocol/backend.ts';
import { password, saslInitialResponse, saslResponse } from '../protocol/frontend.ts';
import { md5Password } from '../protocol/md5.ts';
import { MessageReader } from '../protocol/reader.ts';
import { scramMechanism } from '../protocol/scram.ts';
import { ScramClient } from '../protocol/scram-client.ts';
import { ServerConnectError } from './server-connect-error.ts';

/** Names of requests that are not answered, for the message (protocol.h, AUTH_REQ_*). */
const unsupportedMethods: Readonly<Record<number, string>> = {
  2: 'Kerberos V5',
  7: 'GSSAPI',
  8: 'GSSAPI',
  9: 'SSPI',
};

type Phase = 'start' | 'sasl first sent' | 'sasl proof sent' | 'proven' | 'ok';

/**
 * Answers a server's Authentication messages. `answer` takes the body of each and returns what to
 * send back, null for nothing. It raises ServerConnectError 'authentication' where the method is
 * not known, no password is configured, or the server cannot prove that it knows the password;
 * ProtocolError on malformed messages. No error text holds the password or anything made of it.
 */
export class ServerAuth {
  readonly #user: string;
  readonly #password: string | undefined;
  #phase: Phase = 'start';
  #scram: ScramClient | null = null;

  constructor(user: string, secret: string | undefined) {
    this.#user = user;
    this.#password = secret;
  }

  get isOk(): boolean {
    return this.#phase === 'ok';
  }

  async answer(body: Buffer): Promise<Buffer | null> {
    const reader = new MessageReader(body, 0, body.length);
    const method = reader.int32();
    switch (method) {
      case AuthenticationCode.Ok:
        return this.#accept();
      case AuthenticationCode.CleartextPassword:
        this.#enter('start', 'proven');
        return password(this.#secret('password'));
      case AuthenticationCode.Md5Password:
        this.#enter('start', 'proven');
        return password(md5Password(this.#user, this.#secret('md5'), reader.bytes(4)));
      case AuthenticationCode.Sasl:
        this.#enter('start', 'sasl first sent');
        return this.#startScram(reader);
      case AuthenticationCode.SaslContinue: {
        this.#enter('sasl first sent', 'sasl proof sent');
        assert(this.#scram !== null);
        return saslResponse(await this.#scram.respond(reader.rest().toString('latin1')));
      }
      case AuthenticationCode.SaslFinal:
        this.#enter('sasl proof sent', 'proven');
        assert(this.#scram !== null);
        this.#scram.verify(reader.rest().toString('latin1'));
        return null;
    }
    const name = unsupportedMethods[method] ?? `number ${method}`;
    throw new ServerConnectError(
      'authentication',
      `the server asks for authentication method ${name}, which is not supported`,
    );
  }

  /** A server that says Ok in the middle of SCRAM has not proven that it knows the password. */
  #accept(): null {
    if (this.#phase !== 'start' && this.#phase !== 'proven') {
      throw new ServerConnectError('authentication', 'the server skipped its part of SCRAM');
    }
    this.#phase = 'ok';
    return null;
  }

  #startScram(reader: MessageReader): Buffer {
    const mechanisms: string[] = [];
    for (let name = reader.cstring(); name !== ''; name = reader.cstring()) mechanisms.push(name);
    if (!mechanisms.includes(scramMechanism)) {
      throw new ServerConnectError(
        'authentication',
        `the server offers SASL mechanisms ${mechanisms.join(', ')}, of which none is supported`,
      );
    }
    this.#scram = new ScramClient(this.#secret('scram-sha-256'));
    return saslInitialResponse(scramMechanism, this.#scram.firstMessage);
  }

  #secret(method: string): string {
    if (this.#password === undefined || this.#password === '') {
      throw new ServerConnectError(
        'authentication',
        `the server asks for a password (${method}) of user "${this.#user}", and none is configured`,
      );
    }
    return this.#password;
  }

  #enter(expected: Phase, next: Phase): void {
    if (this.#phase !== expected) {
      throw new ServerConnectError('protocol', 'unexpected authentication request of the server');
    }
    this.#phase = next;
  }
}
