import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto';

/** Process ids are positive 31-bit numbers. */
const pidMax = 0x7fff_ffff;
/** Protocol 3.0 has secrets of 4 bytes, 3.2 of up to 256. */
const shortSecretBytes = 4;
const longSecretBytes = 32;
const longSecretsSinceMinor = 2;

export interface CancelKey {
  readonly pid: number;
  readonly secret: Buffer;
}

/** The cancel keys that the proxy has given out, and to whom. */
export class CancelKeys<Holder> {
  readonly #holders = new Map<number, { secret: Buffer; holder: Holder }>();

  issue(holder: Holder, protocolMinor: number): CancelKey {
    let pid = randomInt(1, pidMax);
    while (this.#holders.has(pid)) pid = randomInt(1, pidMax);
    const isLong = protocolMinor >= longSecretsSinceMinor;
    const secret = randomBytes(isLong ? longSecretBytes : shortSecretBytes);
    this.#holders.set(pid, { secret, holder });
    return { pid, secret };
  }

  revoke(pid: number): void {
    this.#holders.delete(pid);
  }

  /** Whose key it is, or null. */
  find(pid: number, secret: Buffer): Holder | null {
    const known = this.#holders.get(pid);
    if (known === undefined || known.secret.length !== secret.length) return null;
    return timingSafeEqual(known.secret, secret) ? known.holder : null;
  }
}
