import { notifiedChannel } from '../protocol/fields.ts';
import type { Channels } from './channels.ts';

/** Of a session in a long transaction; PostgreSQL keeps them in a queue of its own. */
const keptBytesMax = 16 * 1024 * 1024;

/** Notifications that a session is told of when it is idle: as PostgreSQL, only between transactions. */
export class KeptNotifications {
  #messages: Buffer[] = [];
  #bytes = 0;

  get isEmpty(): boolean {
    return this.#bytes === 0;
  }

  /** False: there are too many to be kept. */
  keep(message: Buffer): boolean {
    this.#messages.push(message);
    this.#bytes += message.length;
    return this.#bytes <= keptBytesMax;
  }

  /**
   * All of them but those of channels that the session has left meanwhile, which PostgreSQL too
   * looks at last (IsListeningOn, async.c); null: none.
   */
  take(channels: Channels): Buffer | null {
    if (this.#bytes === 0) return null;
    const heard = this.#messages.filter((message) => channels.has(notifiedChannel(message)));
    this.#messages = [];
    this.#bytes = 0;
    return heard.length === 0 ? null : Buffer.concat(heard);
  }
}
