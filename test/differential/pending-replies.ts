import type { MessageKind } from './message.ts';

/** The reply with which an extended message is done. */
const lastReplies: Partial<Record<MessageKind, string>> = {
  parse: '1',
  bind: '2',
  describe: 'Tn',
  execute: 'CIs',
  close: '3',
};

const extended: ReadonlySet<MessageKind> = new Set([
  'parse',
  'bind',
  'describe',
  'execute',
  'close',
] as const);

const isSync = (kind: MessageKind) => kind === 'sync' || kind === 'early-sync';

/**
 * What a client still waits for, as the protocol tells it: every message that was sent and has not
 * been answered, where the server has been asked for the answer by Sync, Flush or Query.
 */
export class PendingReplies {
  #expected: MessageKind[] = [];
  /** How many of the first must come without asking for more. */
  #asked = 0;
  /** An extended message failed: everything before the next Sync is ignored. */
  #isSkipping = false;

  sent(kind: MessageKind): void {
    if (kind === 'copy' || kind === 'terminate') return;
    if (this.#isSkipping && !isSync(kind)) return;
    if (isSync(kind)) this.#isSkipping = false;
    if (kind !== 'flush') this.#expected.push(kind);
    if (!extended.has(kind)) this.#asked = this.#expected.length;
  }

  /** One message type of the server. */
  came(type: string): void {
    const [head] = this.#expected;
    if (type === 'E') this.#failed();
    else if (type === 'Z') this.#ready();
    else if (type === 'G') this.#copies();
    else if (head !== undefined && (lastReplies[head]?.includes(type) ?? false)) this.#shift();
  }

  get isEmpty(): boolean {
    return this.#asked === 0;
  }

  toString(): string {
    return this.#expected.join(' ');
  }

  #shift(): void {
    this.#expected.shift();
    this.#asked = Math.max(0, this.#asked - 1);
  }

  #failed(): void {
    const [head] = this.#expected;
    if (head === undefined || !extended.has(head)) return;
    while (this.#expected.length > 0 && !isSync(this.#expected[0]!)) this.#shift();
    this.#isSkipping = this.#expected.length === 0;
  }

  /** Of a Sync, a Query or a call; whatever stands before it has been ignored. */
  #ready(): void {
    while (this.#expected.length > 0 && extended.has(this.#expected[0]!)) this.#shift();
    this.#shift();
  }

  /** The server ignores a Sync that it reads while it copies (CopyGetData, copyfromparse.c). */
  #copies(): void {
    if (this.#expected[1] !== 'early-sync') return;
    this.#expected.splice(1, 1);
    this.#asked -= 1;
  }
}
