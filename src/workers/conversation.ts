/** Questions by their names: what each is asked with, and what it is answered with. */
type Questions<Q> = { readonly [K in keyof Q]: (...asked: never[]) => unknown };
type Asked<Q extends Questions<Q>, K extends keyof Q> = Parameters<Q[K]>;
type Answered<Q extends Questions<Q>, K extends keyof Q> = ReturnType<Q[K]>;

/** Who answers them. What it throws is the asker's to see, by its message. */
export type Answerer<Q extends Questions<Q>> = {
  readonly [K in keyof Q]: (...asked: Asked<Q, K>) => Answered<Q, K> | Promise<Answered<Q, K>>;
};

type Message =
  | { readonly kind: 'question'; readonly id: number; readonly name: string; readonly asked: [] }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly problem: string };

interface Pending {
  resolve(value: unknown): void;
  reject(problem: Error): void;
}

/** Questions and answers between two processes, in both directions over one channel. */
export class Conversation<Mine extends Questions<Mine>, Theirs extends Questions<Theirs>> {
  readonly #send: (message: unknown) => void;
  readonly #answerer: Answerer<Theirs>;
  readonly #pending = new Map<number, Pending>();
  #asked = 0;
  #ended: Error | null = null;

  /** `send`: what it is given comes out of `heard` on the other side, in order, as a copy. */
  constructor(send: (message: unknown) => void, answerer: Answerer<Theirs>) {
    this.#send = send;
    this.#answerer = answerer;
  }

  /** Rejects when the other side fails to answer, or is gone. */
  ask<K extends keyof Mine & string>(
    name: K,
    ...asked: Asked<Mine, K>
  ): Promise<Answered<Mine, K>> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    this.#asked += 1;
    const id = this.#asked;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve: resolve as Pending['resolve'], reject });
      this.#send({ kind: 'question', id, name, asked });
    });
  }

  /** The other side has sent something. */
  heard(something: unknown): void {
    const message = something as Message;
    if (message.kind === 'question') {
      void this.#answer(message.id, message.name as keyof Theirs & string, message.asked);
      return;
    }
    const pending = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if (message.kind === 'answer') pending?.resolve(message.value);
    else pending?.reject(new Error(message.problem));
  }

  /** The other side is gone. */
  end(reason: string): void {
    this.#ended = new Error(reason);
    for (const { reject } of this.#pending.values()) reject(this.#ended);
    this.#pending.clear();
  }

  async #answer(id: number, name: keyof Theirs & string, asked: []): Promise<void> {
    try {
      const answerer = this.#answerer as Record<string, (...asked: unknown[]) => unknown>;
      const value = await answerer[name]!(...asked);
      this.#send({ kind: 'answer', id, value });
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      this.#send({ kind: 'failure', id, problem });
    }
  }
}
