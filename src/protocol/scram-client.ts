import assert from 'node:assert';
import { timingSafeEqual } from 'node:crypto';
import { ProtocolError } from './protocol-error.ts';
import {
  clientKeyOf,
  decodeBase64,
  hash,
  hmac,
  isPrintable,
  iterationsMax,
  keyBytes,
  randomNonce,
  ScramAttributes,
  saltPassword,
  serverKeyOf,
  xor,
} from './scram.ts';

export interface ScramClientOptions {
  /** Name in the first message. PostgreSQL ignores it, libpq leaves it empty. */
  readonly user?: string;
  /** Given by tests only. */
  readonly nonce?: string;
}

/**
 * Client side of one SCRAM-SHA-256 exchange without channel binding (gs2 flag `n`):
 * `firstMessage`, `respond`, `verify`. Bad server messages raise ProtocolError; no password or
 * anything made of it is in the text of an error.
 */
export class ScramClient {
  readonly firstMessage: string;
  readonly #password: string;
  readonly #clientFirstBare: string;
  readonly #nonce: string;
  #serverSignature: Buffer | null = null;

  constructor(password: string, options: ScramClientOptions = {}) {
    this.#password = password;
    this.#nonce = options.nonce ?? randomNonce();
    this.#clientFirstBare = `n=${options.user ?? ''},r=${this.#nonce}`;
    this.firstMessage = `n,,${this.#clientFirstBare}`;
  }

  /** Answers the server's challenge with the proof. */
  async respond(serverFirst: string): Promise<string> {
    assert(this.#serverSignature === null, 'an exchange has one challenge');
    const attributes = new ScramAttributes(serverFirst);
    const nonce = attributes.value('r');
    // Part of the nonce is ours: a challenge recorded from another exchange does not pass.
    if (!nonce.startsWith(this.#nonce) || nonce === this.#nonce || !isPrintable(nonce)) {
      throw new ProtocolError('invalid SCRAM response (nonce mismatch)');
    }
    const salt = decodeBase64(attributes.value('s'));
    const iterationsText = attributes.value('i');
    const iterations = /^[1-9]\d{0,9}$/.test(iterationsText) ? Number(iterationsText) : 0;
    if (salt === null || salt.length === 0 || iterations === 0) {
      throw new ProtocolError('malformed SCRAM message');
    }
    if (iterations > iterationsMax) {
      throw new ProtocolError(
        `the server asks for ${iterations} SCRAM iterations, at most ${iterationsMax} are done`,
      );
    }

    const withoutProof = `c=biws,r=${nonce}`;
    const authMessage = `${this.#clientFirstBare},${serverFirst},${withoutProof}`;
    const salted = await saltPassword(this.#password, salt, iterations);
    const clientKey = clientKeyOf(salted);
    const proof = xor(clientKey, hmac(hash(clientKey), authMessage));
    this.#serverSignature = hmac(serverKeyOf(salted), authMessage);
    return `${withoutProof},p=${proof.toString('base64')}`;
  }

  /** Checks that the server knows the password too; raises ProtocolError where it does not. */
  verify(serverFinal: string): void {
    assert(this.#serverSignature !== null, 'the challenge comes first');
    const signature = decodeBase64(new ScramAttributes(serverFinal).value('v'));
    if (signature?.length !== keyBytes || !timingSafeEqual(signature, this.#serverSignature)) {
      throw new ProtocolError('incorrect server signature');
    }
  }
}
