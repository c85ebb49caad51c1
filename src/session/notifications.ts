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

  /** All of them; null: none. */
  take(): Buffer | null {
    if (this.#bytes === 0) return null;
    const messages = Buffer.concat(this.#messages);
    this.#messages = [];
    this.#bytes = 0;
    return messages;
  }
}
