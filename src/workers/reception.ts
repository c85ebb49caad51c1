import type { Socket } from 'node:net';

/** Clients that wait while no worker serves; more of them are turned away. */
const waitingMax = 1_000;

interface Host {
  readonly isServing: boolean;
  readonly clients: number;
  give(client: Socket): void;
}

/**
 * Gives each client to the worker that has the fewest, and to equals in turn. The system, and
 * node:cluster, would give a burst of clients to whoever is quickest: most of an application's
 * connections to the same worker, for as long as they last.
 */
export class Reception {
  readonly #hosts: readonly Host[];
  #waiting: Socket[] = [];
  #next = 0;

  constructor(hosts: readonly Host[]) {
    this.#hosts = hosts;
  }

  /** `client`: nothing has been read from it. */
  receive(client: Socket): void {
    const host = this.#choose();
    if (host !== null) host.give(client);
    else if (this.#waiting.length < waitingMax) this.#waiting.push(client);
    else client.destroy();
  }

  /** One more worker serves. */
  hostCame(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const client of waiting) this.receive(client);
  }

  /** Nobody will serve those who wait. */
  close(): void {
    for (const client of this.#waiting) client.destroy();
    this.#waiting = [];
  }

  #choose(): Host | null {
    const count = this.#hosts.length;
    let best: Host | null = null;
    let at = 0;
    for (let step = 0; step < count; step++) {
      const index = (this.#next + step) % count;
      const host = this.#hosts[index]!;
      if (!host.isServing || (best !== null && best.clients <= host.clients)) continue;
      best = host;
      at = index;
    }
    if (best !== null) this.#next = (at + 1) % count;
    return best;
  }
}
