import assert from 'node:assert';
import { timingSafeEqual } from 'node:crypto';
import { ProtocolError } from './protocol-error.ts';
import {
  decodeBase64,
  hash,
  hmac,
  isPrintable,
  keyBytes,
  randomNonce,
  ScramAttributes,
  type ScramVerifier,
  xor,
} from './scram.ts';

/**
 * Server side of one SCRAM-SHA-256 exchange without channel binding: `first`, then `final`, once
 * each. Both raise ProtocolError on a malformed message.
 */
export class ScramServer {
  readonly #verifier: ScramVerifier;
  readonly #doomed: boolean;
  readonly #serverNonce: string;
  #channelBinding = '';
  #clientFirstBare = '';
  #serverFirst = '';
  #nonce = '';

  /**
   * `doomed`: fail at the end whatever the proof is, for a mock verifier. `serverNonce` is given
   * by tests only.
   */
  constructor(verifier: ScramVerifier, doomed: boolean, serverNonce: string = randomNonce()) {
    this.#verifier = verifier;
    this.#doomed = doomed;
    this.#serverNonce = serverNonce;
  }

  /** Takes the client's first message, returns the challenge. */
  first(clientFirst: Buffer): string {
    assert(this.#nonce === '', 'an exchange has one first message');
    const text = clientFirst.toString('latin1');
    // gs2-header: the client does not do channel binding (n), or thinks that we do not (y); an
    // authorization identity between the commas is not supported (read_client_first_message).
    const header = /^([ny]),,/.exec(text);
    if (header === null) throw new ProtocolError('malformed SCRAM message');
    this.#channelBinding = Buffer.from(header[0]).toString('base64');
    this.#clientFirstBare = text.slice(header[0].length);

    const attributes = new ScramAttributes(this.#clientFirstBare);
    // The user is that of the startup packet; the name here is ignored, and libpq sends none.
    attributes.value('n');
    const clientNonce = attributes.value('r');
    if (!isPrintable(clientNonce)) {
      throw new ProtocolError('non-printable characters in SCRAM nonce');
    }
    while (!attributes.atEnd) attributes.any();

    this.#nonce = clientNonce + this.#serverNonce;
    const salt = this.#verifier.salt.toString('base64');
    this.#serverFirst = `r=${this.#nonce},s=${salt},i=${this.#verifier.iterations}`;
    return this.#serverFirst;
  }

  /** Takes the client's proof. Returns the final message, null when the password was wrong. */
  final(clientFinal: Buffer): string | null {
    assert(this.#nonce !== '', 'the first message comes first');
    const text = clientFinal.toString('latin1');
    const attributes = new ScramAttributes(text);
    if (attributes.value('c') !== this.#channelBinding) {
      throw new ProtocolError('unexpected SCRAM channel-binding attribute in client-final-message');
    }
    if (attributes.value('r') !== this.#nonce) throw new ProtocolError('invalid SCRAM response');
    let proofAt = attributes.offset;
    let attribute = attributes.any();
    while (attribute.name !== 'p') {
      proofAt = attributes.offset;
      attribute = attributes.any();
    }
    const proof = decodeBase64(attribute.value);
    if (proof?.length !== keyBytes || !attributes.atEnd) {
      throw new ProtocolError('malformed SCRAM message');
    }

    const withoutProof = text.slice(0, proofAt - 1);
    const authMessage = `${this.#clientFirstBare},${this.#serverFirst},${withoutProof}`;
    const { storedKey, serverKey } = this.#verifier;
    const clientKey = xor(proof, hmac(storedKey, authMessage));
    // Computed in a doomed exchange too: its time must not tell it apart.
    const fits = timingSafeEqual(hash(clientKey), storedKey);
    const signature = hmac(serverKey, authMessage).toString('base64');
    return fits && !this.#doomed ? `v=${signature}` : null;
  }
}
