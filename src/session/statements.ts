import type { PreparedText, PreparedTexts } from '../pool/prepared.ts';
import type { Classified } from '../router/statement.ts';

/** A prepared statement as a client made it. */
export interface ClientStatement {
  readonly text: PreparedText;
  readonly classified: Classified;
}

/** The prepared statements and portals of one session. Names are latin1 strings. */
export class ClientStatements {
  unnamed: ClientStatement | null = null;
  readonly #texts: PreparedTexts;
  readonly #named = new Map<string, ClientStatement>();
  /** What each open portal executes. Portals end with their transaction. */
  readonly #portals = new Map<string, ClientStatement>();
  #unnamedPortal: ClientStatement | null = null;
  #isClosed = false;

  constructor(texts: PreparedTexts) {
    this.#texts = texts;
  }

  get size(): number {
    return this.#named.size;
  }

  get(name: string): ClientStatement | undefined {
    return name === '' ? (this.unnamed ?? undefined) : this.#named.get(name);
  }

  /** The server confirmed a named statement. */
  add(name: string, statement: ClientStatement): void {
    if (this.#isClosed) return;
    this.remove(name);
    this.#texts.use(statement.text.body);
    this.#named.set(name, statement);
  }

  remove(name: string): boolean {
    const statement = this.#named.get(name);
    if (statement === undefined) return false;
    this.#named.delete(name);
    this.#texts.drop(statement.text);
    return true;
  }

  removeAll(): void {
    for (const name of [...this.#named.keys()]) this.remove(name);
  }

  /** The session is over; what a server still confirms is nobody's. */
  close(): void {
    this.removeAll();
    this.#isClosed = true;
  }

  portal(name: string): ClientStatement | undefined {
    return name === '' ? (this.#unnamedPortal ?? undefined) : this.#portals.get(name);
  }

  bindPortal(name: string, statement: ClientStatement | undefined): void {
    if (name === '') this.#unnamedPortal = statement ?? null;
    else if (statement === undefined) this.#portals.delete(name);
    else this.#portals.set(name, statement);
  }

  endTransaction(): void {
    this.#unnamedPortal = null;
    if (this.#portals.size > 0) this.#portals.clear();
  }
}
