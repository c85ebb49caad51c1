/** A session that another may signal by the process id in its cancel key. */
export interface Peer {
  readonly user: string;
  /** As pg_cancel_backend() or pg_terminate_backend(). */
  signal(action: 'cancel' | 'terminate'): void;
}

/** The sessions that this proxy has, by the process ids in their cancel keys. */
export class Peers {
  readonly #peers = new Map<number, Peer>();

  add(pid: number, peer: Peer): void {
    this.#peers.set(pid, peer);
  }

  remove(pid: number): void {
    this.#peers.delete(pid);
  }

  find(pid: number): Peer | null {
    return this.#peers.get(pid) ?? null;
  }
}
