import { LRUCache } from 'lru-cache';

/** Texts that no session has prepared any more, kept because server connections still have them. */
const unusedMax = 5_000;
const unusedBytesMax = 8 * 1024 * 1024;

/** What clients were told of a statement, as far as later preparations must not change it. */
export interface StatementDescription {
  /** Type OIDs. */
  readonly parameters: readonly number[];
  readonly result: string;
}

/**
 * A prepared statement as text: what a Parse message says besides its name. Sessions that prepare
 * the same text in the same scope share one, and with it one prepared statement on each server
 * connection.
 */
export class PreparedText {
  /** Its name on every server connection, unlike any name a client would choose. */
  readonly name: string;
  /** Query text with its zero byte, parameter type count and types. */
  readonly body: Buffer;
  /** What it means depends on this, too. */
  readonly scope: string;
  /** Null: no client has asked. */
  description: StatementDescription | null = null;

  constructor(name: string, body: Buffer, scope = '') {
    this.name = name;
    this.body = body;
    this.scope = scope;
  }
}

const keyOf = (body: Buffer, scope: string) => `${scope.length} ${scope}${body.toString('latin1')}`;

/**
 * The prepared texts of all sessions. A text keeps its name for a while after its last session has
 * gone: the statement is still on the server connections, ready for the next one.
 */
export class PreparedTexts {
  readonly #byBody = new Map<string, { text: PreparedText; users: number }>();
  readonly #unused = new LRUCache<string, PreparedText>({
    max: unusedMax,
    maxSize: unusedBytesMax,
    sizeCalculation: (_, key) => 2 * key.length + 1,
  });
  /** By database, once its catalog has changed. */
  readonly #catalogVersions = new Map<string, number>();
  #sequence = 0;
  #versions = 0;

  /** How many are in use. */
  get size(): number {
    return this.#byBody.size;
  }

  /** Finds or makes the text; every `use` is to be matched by a `drop`. */
  use(body: Buffer, scope = ''): PreparedText {
    const key = keyOf(body, scope);
    const known = this.#byBody.get(key);
    if (known !== undefined) {
      known.users += 1;
      return known.text;
    }
    const text = this.#unused.get(key) ?? this.#make(body, scope);
    this.#unused.delete(key);
    this.#byBody.set(key, { text, users: 1 });
    return text;
  }

  #make(body: Buffer, scope: string): PreparedText {
    this.#sequence += 1;
    // A copy: `body` is part of a chunk that may be a thousand times as large. And not in a slab of
    // Node's pool, 8 KB that every text which outlives its neighbours would keep.
    const own = Buffer.allocUnsafeSlow(body.length);
    body.copy(own);
    return new PreparedText(`tidemark_${this.#sequence}`, own, scope);
  }

  drop(text: PreparedText): void {
    const key = keyOf(text.body, text.scope);
    const known = this.#byBody.get(key);
    if (known === undefined || known.text !== text) return;
    known.users -= 1;
    if (known.users > 0) return;
    this.#byBody.delete(key);
    this.#unused.set(key, text);
  }

  /** A part of scopes: texts that were prepared before a change mean what they meant then. */
  catalogVersion(database: string): number {
    return this.#catalogVersions.get(database) ?? 0;
  }

  catalogChanged(database: string): void {
    this.#catalogVersions.set(database, this.newVersion());
  }

  /** Unlike any other. */
  newVersion(): number {
    this.#versions += 1;
    return this.#versions;
  }
}

interface Kept {
  readonly text: PreparedText;
  /** Larger is later. */
  usedAt: number;
}

const noTexts: readonly PreparedText[] = [];

/** What is prepared on one server connection. */
export class PreparedOnServer {
  /** Whose text the unnamed statement holds; null: none, or not known. */
  unnamed: PreparedText | null = null;
  #named = new Map<string, Kept>();
  #uses = 0;
  /** DEALLOCATE ALL or DISCARD ALL is under way: what it takes away, unless it fails. */
  #clearing: Map<string, Kept> | null = null;
  /** Under names that clients gave, for SQL EXECUTE: by what they were made. */
  readonly #byClientName = new Map<string, string>();
  /** How many are being closed. */
  #leaving = 0;
  /** Those of them whose Parse has not been answered. */
  readonly #announced = new Set<PreparedText>();

  /** Nothing is under way that could come out otherwise than it looks now. */
  get isSettled(): boolean {
    return this.#announced.size === 0 && this.#leaving === 0 && this.#clearing === null;
  }

  /** Whether it is there for the messages that are sent now; counts as a use. */
  has(text: PreparedText): boolean {
    const kept = this.#named.get(text.name);
    if (kept === undefined) return false;
    // Not by its place in the Map: to take it out and put it in again costs more than all else here.
    this.#uses += 1;
    kept.usedAt = this.#uses;
    return true;
  }

  /** Its Parse goes out now, so that what follows can name it. */
  announce(text: PreparedText): void {
    this.#keep(text);
    this.#announced.add(text);
  }

  /** Its Parse was answered. */
  confirm(text: PreparedText): void {
    const isToGo = this.#clearing?.has(text.name) === true && !this.#named.has(text.name);
    if (!isToGo && !this.#named.has(text.name)) this.#keep(text);
    this.#announced.delete(text);
  }

  #keep(text: PreparedText): void {
    this.#uses += 1;
    this.#named.set(text.name, { text, usedAt: this.#uses });
  }

  /** No reply is expected any more: a Parse without an answer has failed, or was ignored. */
  settle(): void {
    this.#keepAll();
    this.#leaving = 0;
    if (this.#announced.size === 0) return;
    for (const text of this.#announced) this.#named.delete(text.name);
    this.#announced.clear();
  }

  /** The least recently used ones beyond the newest `keep`. They stay until `remove`. */
  oldestBeyond(keep: number): readonly PreparedText[] {
    const excess = this.#named.size - Math.max(0, keep);
    if (excess <= 0) return noTexts;
    if (excess === 1) return [this.#oldest()];
    const byUse = [...this.#named.values()].sort((one, other) => one.usedAt - other.usedAt);
    return byUse.slice(0, excess).map(({ text }) => text);
  }

  #oldest(): PreparedText {
    let oldest: Kept | null = null;
    for (const kept of this.#named.values()) {
      if (oldest === null || kept.usedAt < oldest.usedAt) oldest = kept;
    }
    return oldest!.text;
  }

  remove(text: PreparedText): void {
    this.#named.delete(text.name);
  }

  /** Its Close goes out now, and `remove` follows if that is not ignored. */
  announceClose(): void {
    this.#leaving += 1;
  }

  /** What was made there under a client's name for SQL to use, as told by `madeAs`. */
  clientNamed(name: string): string | undefined {
    return this.#clearing === null ? this.#byClientName.get(name) : undefined;
  }

  madeAs(name: string, origin: string): void {
    this.#byClientName.set(name, origin);
  }

  /** DEALLOCATE of a client's name. */
  unmake(name: string): void {
    this.#byClientName.delete(name);
  }

  get hasClientNames(): boolean {
    return this.#byClientName.size > 0;
  }

  get clientNames(): Iterable<string> {
    return this.#byClientName.keys();
  }

  /** DEALLOCATE ALL or DISCARD ALL goes out now, and `clear` follows if it completes. */
  announceClear(): void {
    if (this.#clearing !== null) return;
    this.#clearing = this.#named;
    this.#named = new Map();
  }

  /** It was not executed. */
  #keepAll(): void {
    if (this.#clearing === null) return;
    this.#named = new Map([...this.#clearing, ...this.#named]);
    this.#clearing = null;
  }

  /** After DISCARD ALL or DEALLOCATE ALL. What was announced since `announceClear` stays. */
  clear(): void {
    this.unnamed = null;
    if (this.#clearing === null) {
      this.#named.clear();
      this.#announced.clear();
    }
    this.#clearing = null;
    this.#byClientName.clear();
  }
}
