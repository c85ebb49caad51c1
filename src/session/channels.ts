import { quoteName } from '../quote.ts';

/** LISTEN of a channel, or UNLISTEN of one or (null) all. */
export interface ChannelChange {
  readonly kind: 'listen' | 'unlisten';
  readonly channel: string | null;
}

/** Most sessions listen to nothing. */
const noChannels: ReadonlySet<string> = new Set();

/** What a session listens to. LISTEN and UNLISTEN take effect when their transaction commits. */
export class Channels {
  #listening: ReadonlySet<string> = noChannels;
  #pending: ChannelChange[] = [];
  /** As somebody was told by `take`: what these are notified of comes by the shared connection. */
  #taken: ReadonlySet<string> = this.#listening;

  get size(): number {
    return this.#listening.size;
  }

  has(channel: string): boolean {
    return this.#listening.has(channel);
  }

  /** What would make a server connection listen to the same. */
  get sql(): string {
    return [...this.#listening].map((channel) => `LISTEN ${quoteName(channel)}`).join('; ');
  }

  /** The running transaction, or one that has ended, has changed something. */
  get areChanging(): boolean {
    return this.#pending.length > 0 || this.#taken !== this.#listening;
  }

  /** Those that another server connection listens to for the session. */
  get shared(): ReadonlySet<string> {
    return this.#taken;
  }

  note(change: ChannelChange): void {
    this.#pending.push(change);
  }

  /** For `goBackTo`: ROLLBACK TO undoes what came after the savepoint. */
  mark(): number {
    return this.#pending.length;
  }

  goBackTo(mark: number): void {
    this.#pending.length = mark;
  }

  rolledBack(): void {
    if (this.#pending.length > 0) this.#pending = [];
  }

  committed(): void {
    if (this.#pending.length === 0) return;
    const next = new Set(this.#listening);
    for (const { kind, channel } of this.#pending) {
      if (channel === null) next.clear();
      else if (kind === 'listen') next.add(channel);
      else next.delete(channel);
    }
    this.#pending = [];
    this.#listening = next;
  }

  /** DISCARD ALL. */
  clear(): void {
    this.#listening = new Set();
  }

  /** What has come and gone since the last call. */
  take(): { readonly come: readonly string[]; readonly gone: readonly string[] } {
    const [before, now] = [this.#taken, this.#listening];
    this.#taken = now;
    return {
      come: [...now].filter((channel) => !before.has(channel)),
      gone: [...before].filter((channel) => !now.has(channel)),
    };
  }
}
