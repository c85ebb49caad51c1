import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto';

/**
 * Process ids are positive 31-bit numbers. Those of real processes end at 2^22 (PID_MAX_LIMIT of
 * Linux), so that nobody takes a session for a backend or the other way round.
 */
const pidMin = 0x40_0001;
const pidMax = 0x7fff_ffff;
/** Protocol 3.0 has secrets of 4 bytes, 3.2 of up to 256. */
const shortSecretBytes = 4;
const longSecretBytes = 32;
const longSecretsSinceMinor = 2;

/** One of the processes that give out keys: number `index` of `count`, from 0. */
export interface WorkerPlace {
  readonly index: number;
  readonly count: number;
}

/** The worker that has given out this process id, if any has; null: it is of another kind. */
export function workerOf(pid: number, count: number): number | null {
  return pid >= pidMin ? pid % count : null;
}

export interface CancelKey {
  readonly pid: number;
  readonly secret: Buffer;
}

/** The cancel keys that the proxy has given out, and to whom. */
export class CancelKeys<Holder> {
  readonly #holders = new Map<number, { secret: Buffer; holder: Holder }>();
  readonly #place: WorkerPlace;

  constructor(place: WorkerPlace) {
    this.#place = place;
  }

  /** A key for whom `open` makes of its number. */
  issue<Made extends Holder>(
    protocolMinor: number,
    open: (pid: number) => Made,
  ): { readonly holder: Made; readonly key: CancelKey } {
    let pid = this.#randomPid();
    while (this.#holders.has(pid)) pid = this.#randomPid();
    const isLong = protocolMinor >= longSecretsSinceMinor;
    const secret = randomBytes(isLong ? longSecretBytes : shortSecretBytes);
    const holder = open(pid);
    this.#holders.set(pid, { secret, holder });
    return { holder, key: { pid, secret } };
  }

  #randomPid(): number {
    const { index, count } = this.#place;
    return randomInt(Math.ceil(pidMin / count), Math.floor(pidMax / count)) * count + index;
  }

  revoke(pid: number): void {
    this.#holders.delete(pid);
  }

  /** Who goes by this process id, or null. */
  holder(pid: number): Holder | null {
    return this.#holders.get(pid)?.holder ?? null;
  }

  /** Whose key it is, or null. */
  find(pid: number, secret: Buffer): Holder | null {
    const known = this.#holders.get(pid);
    if (known === undefined || known.secret.length !== secret.length) return null;
    return timingSafeEqual(known.secret, secret) ? known.holder : null;
  }
}
