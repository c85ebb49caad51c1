import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { ProtocolError } from './protocol-error.ts';
import { saslPrep } from './saslprep.ts';

/*
 * What both sides of SCRAM-SHA-256 (RFC 5802, RFC 7677) share. Messages are latin1 strings, one
 * character for each byte, because the signatures are over the bytes that were sent. Nothing here
 * does I/O; the one expensive step runs in the thread pool, so that many logins at once do not
 * hold up the sessions that are at work.
 */

export const scramMechanism = 'SCRAM-SHA-256';

/** SCRAM_SHA_256_DEFAULT_ITERATIONS and SCRAM_DEFAULT_SALT_LEN of scram-common.h. */
export const defaultIterations = 4096;
const saltBytes = 16;
/** SCRAM_SHA_256_KEY_LEN. */
export const keyBytes = 32;
/** SCRAM_RAW_NONCE_LEN. */
const nonceBytes = 18;
/** A server that asks for more work than this is not answered: it takes a second and more. */
export const iterationsMax = 2_000_000;

/** What a server keeps of a password: enough to check it, not enough to log in with it. */
export interface ScramVerifier {
  readonly iterations: number;
  readonly salt: Buffer;
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
}

const pbkdf2InThreadPool = promisify(pbkdf2);

export function hmac(key: Uint8Array, data: string): Buffer {
  return createHmac('sha256', key).update(data, 'latin1').digest();
}

export function hash(data: Uint8Array): Buffer {
  return createHash('sha256').update(data).digest();
}

export function xor(left: Buffer, right: Buffer): Buffer {
  return Buffer.from(left.map((byte, i) => byte ^ (right[i] as number)));
}

export function randomNonce(): string {
  return randomBytes(nonceBytes).toString('base64');
}

/** SaltedPassword of RFC 5802: the slow step, in the thread pool. */
export function saltPassword(password: string, salt: Buffer, iterations: number): Promise<Buffer> {
  return pbkdf2InThreadPool(saslPrep(password), salt, iterations, keyBytes, 'sha256');
}

export function clientKeyOf(saltedPassword: Buffer): Buffer {
  return hmac(saltedPassword, 'Client Key');
}

export function serverKeyOf(saltedPassword: Buffer): Buffer {
  return hmac(saltedPassword, 'Server Key');
}

/** Verifier of a plain password, as `CREATE ROLE ... PASSWORD` would store it. */
export async function deriveScramVerifier(
  password: string,
  salt: Buffer = randomBytes(saltBytes),
  iterations: number = defaultIterations,
): Promise<ScramVerifier> {
  const salted = await saltPassword(password, salt, iterations);
  const storedKey = hash(clientKeyOf(salted));
  return { iterations, salt, storedKey, serverKey: serverKeyOf(salted) };
}

/** Strict base64, which Buffer.from is not; null where it is none. */
export function decodeBase64(text: string): Buffer | null {
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) return null;
  return Buffer.from(text, 'base64');
}

/**
 * Reads `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, the form of
 * pg_authid.rolpassword; null where it is anything else (parse_scram_secret, auth-scram.c).
 */
export function parseScramVerifier(text: string): ScramVerifier | null {
  const match = /^SCRAM-SHA-256\$([1-9]\d{0,9}):([^$:]+)\$([^$:]+):([^$:]+)$/.exec(text);
  if (match === null) return null;
  const [salt, storedKey, serverKey] = match.slice(2).map(decodeBase64);
  if (!salt || storedKey?.length !== keyBytes || serverKey?.length !== keyBytes) return null;
  return { iterations: Number(match[1]), salt, storedKey, serverKey };
}

export function formatScramVerifier(verifier: ScramVerifier): string {
  const [salt, storedKey, serverKey] = [verifier.salt, verifier.storedKey, verifier.serverKey].map(
    (bytes) => bytes.toString('base64'),
  );
  return `${scramMechanism}$${verifier.iterations}:${salt}$${storedKey}:${serverKey}`;
}

/**
 * Verifier for a user that does not exist, which no password fits: the exchange runs to its end
 * with the same messages and the same work, so that it does not tell which users there are. The
 * salt depends on the name and on `mockSecret` alone, so that asking twice shows nothing either
 * (mock_scram_secret, auth-scram.c).
 */
export function mockScramVerifier(user: string, mockSecret: Buffer): ScramVerifier {
  return {
    iterations: defaultIterations,
    salt: createHmac('sha256', mockSecret).update(user).digest().subarray(0, saltBytes),
    storedKey: Buffer.alloc(keyBytes),
    serverKey: Buffer.alloc(keyBytes),
  };
}

/** Cursor over `a=value,b=value`; raises ProtocolError as read_attr_value (auth-scram.c) does. */
export class ScramAttributes {
  readonly #text: string;
  #offset: number;

  constructor(text: string, offset = 0) {
    this.#text = text;
    this.#offset = offset;
  }

  get offset(): number {
    return this.#offset;
  }

  get atEnd(): boolean {
    return this.#offset >= this.#text.length;
  }

  /** Value of the attribute that must come next. */
  value(name: string): string {
    const next = this.any();
    if (next.name !== name) throw new ProtocolError('malformed SCRAM message');
    return next.value;
  }

  /** The next attribute whatever its name. */
  any(): { name: string; value: string } {
    const comma = this.#text.indexOf(',', this.#offset);
    const end = comma === -1 ? this.#text.length : comma;
    const attribute = this.#text.slice(this.#offset, end);
    if (!/^[A-Za-z]=/.test(attribute)) throw new ProtocolError('malformed SCRAM message');
    this.#offset = end + 1;
    return { name: attribute.charAt(0), value: attribute.slice(2) };
  }
}

/** `printable` of RFC 5802: ASCII without space and comma. */
export function isPrintable(text: string): boolean {
  return /^[\x21-\x2b\x2d-\x7e]*$/.test(text);
}
