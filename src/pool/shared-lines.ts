import type { Pool } from './pool.ts';
import type { ServerConnection } from './server-connection.ts';
import type { Settings } from './settings.ts';
import { SharedLine } from './shared-line.ts';

/** Reads on one connection before another one is taken for them. */
const depthWanted = 16;
/** Beyond this a read waits for a connection of its own. */
const depthMax = 64;
/** A head that takes this long is left to itself. */
const slowHeadMs = 50;
const checkEveryMs = 10;

/** The connections of one pool that several sessions' reads are on at once. */
export class SharedLines {
  readonly #pool: Pool;
  readonly #now: () => number;
  readonly #lines: SharedLine[] = [];
  /** In the order in which they came. */
  readonly #waiting = new Set<(mayFind: boolean) => void>();
  #isAcquiring = false;
  #isWatching = false;
  #timer: NodeJS.Timeout | null = null;
  // Answers that have arrived while nobody could read them come first.
  readonly #look = () => setImmediate(this.#checkNow);
  readonly #checkNow = () => this.#check();

  constructor(pool: Pool, now: () => number) {
    this.#pool = pool;
    this.#now = now;
  }

  /** None is under way: the next one will hardly have company in its turn of the event loop. */
  get isQuiet(): boolean {
    for (const { depth } of this.#lines) if (depth > 0) return false;
    return true;
  }

  /** Reads under way or waiting, beyond one for each connection. */
  get excess(): number {
    let sum = this.#waiting.size;
    for (const { depth } of this.#lines) sum += Math.max(0, depth - 1);
    return sum;
  }

  /**
   * A line for a session with these settings: the least deep of those there are, or one on an idle
   * connection, which may still have other settings. Null: there is none without a wait. `nowMs`: the
   * time of the pool's clock.
   */
  find(settings: Settings, nowMs: number): SharedLine | null {
    // Whoever wants a connection of its own gets the next that is free.
    if (this.#pool.waiting > (this.#isAcquiring ? 1 : 0)) return null;
    let best: SharedLine | null = null;
    for (const line of this.#lines) {
      const fits = line.depth === 0 || isAlike(line.server.settings, settings);
      if (!fits || !line.isOpenAt(nowMs)) continue;
      if (best === null || line.depth < best.depth) best = line;
    }
    if (best !== null && best.depth < depthWanted) return best;
    const server = this.#pool.tryAcquire(nowMs);
    if (server !== null) return this.#open(server, nowMs);
    if (best === null || best.depth >= depthMax) return null;
    if (!this.#pool.isFull) this.#acquire();
    return best;
  }

  /** Calls back when a line may be found, or (false) none is to be had. Returns what takes that back. */
  wait(decided: (mayFind: boolean) => void): () => void {
    this.#waiting.add(decided);
    this.#acquire();
    return () => this.#waiting.delete(decided);
  }

  /** One connection at a time is asked for on behalf of all that could share it. */
  #acquire(): void {
    if (this.#isAcquiring) return;
    this.#isAcquiring = true;
    // With other settings, or too many on it: somebody has to make room.
    const nowMs = this.#now();
    if (this.#pool.isFull) this.#lines.find((line) => line.isOpenAt(nowMs))?.close();
    this.#pool.acquire(
      (server) => {
        this.#isAcquiring = false;
        this.#serve(this.#open(server, this.#now()));
      },
      () => {
        this.#isAcquiring = false;
        this.#callBack(this.#waiting.size, false);
      },
    );
  }

  #open(server: ServerConnection, nowMs: number): SharedLine {
    const line = new SharedLine(this.#pool, server, this.#now, nowMs);
    this.#lines.push(line);
    return line;
  }

  #serve(line: SharedLine): void {
    this.#callBack(depthMax, true);
    if (line.depth === 0) line.endIfEmpty();
    if (this.#waiting.size > 0) this.#acquire();
  }

  #callBack(count: number, mayFind: boolean): void {
    for (const decided of [...this.#waiting].slice(0, count)) {
      if (this.#waiting.delete(decided)) decided(mayFind);
    }
  }

  remove(line: SharedLine): void {
    const index = this.#lines.indexOf(line);
    if (index >= 0) this.#lines.splice(index, 1);
  }

  /** Its connections are wanted back. */
  close(): void {
    for (const line of [...this.#lines]) line.close();
  }

  /** Somebody gets on behind others: from now on the heads are watched. */
  watch(): void {
    if (this.#isWatching) return;
    this.#isWatching = true;
    if (this.#timer === null) this.#timer = setTimeout(this.#look, checkEveryMs).unref();
    else this.#timer.refresh();
  }

  #check(): void {
    this.#isWatching = false;
    const slowSinceMs = this.#now() - slowHeadMs;
    let isShared = false;
    for (const line of [...this.#lines]) {
      if (line.depth < 2) continue;
      if (line.headSinceMs < slowSinceMs) line.keepToHead();
      else isShared = true;
    }
    if (isShared) this.watch();
  }
}

function isAlike(one: Settings | null, other: Settings): boolean {
  return one === other || one?.equals(other) === true;
}
