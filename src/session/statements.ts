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
  /** Names as the messages on their way to a server will leave them: null is closed. */
  readonly #announced = new Map<string, ClientStatement | null>();
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

  /** The statement of that name when the server reads what is sent next. */
  get(name: string): ClientStatement | undefined {
    if (name === '') return this.unnamed ?? undefined;
    const announced = this.#announced.get(name);
    return announced === undefined ? this.#named.get(name) : (announced ?? undefined);
  }

  /** A Parse (or, null, a Close) of this name goes out; its answer brings `add` or `remove`. */
  announce(name: string, statement: ClientStatement | null): void {
    this.#announced.set(name, statement);
  }

  /** A batch begins: what was announced before and not answered has failed. */
  settle(): void {
    if (this.#announced.size > 0) this.#announced.clear();
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
