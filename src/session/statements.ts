import type { PreparedText, PreparedTexts } from '../pool/prepared.ts';
import type { Classified } from '../router/statement.ts';

/** A prepared statement as a client made it. */
export interface ClientStatement {
  readonly text: PreparedText;
  readonly classified: Classified;
}

/** What a portal runs. */
export type BoundStatement = Pick<ClientStatement, 'classified'>;

/** Names on the wire are bytes; the grammar has read those in SQL as UTF-8. */
export const nameOnWire = (name: string) => Buffer.from(name).toString('latin1');

/** A statement made by SQL PREPARE. */
export interface SqlStatement {
  /** PREPARE name AS ..., which makes it on any server connection. */
  readonly sql: string;
  /** Of what EXECUTE runs. */
  readonly classified: Classified;
}

/** The prepared statements and portals of one session. Names are latin1 strings. */
export class ClientStatements {
  unnamed: ClientStatement | null = null;
  readonly #texts: PreparedTexts;
  readonly #named = new Map<string, ClientStatement>();
  /** Names as the messages on their way to a server will leave them: null is closed. */
  readonly #announced = new Map<string, ClientStatement | null>();
  /** The same of the unnamed one; undefined: they do not touch it. */
  #announcedUnnamed: ClientStatement | null | undefined;
  /** DEALLOCATE ALL or DISCARD ALL is among those messages: only what was announced behind it will be left. */
  #isAllAnnounced = false;
  /** What servers confirmed of it, in order: counts when the request has ended for the client. */
  #confirmed: [string, ClientStatement | null][] = [];
  #confirmedUnnamed: ClientStatement | null | undefined;
  /** By SQL PREPARE: no name is here and in the other at a time. */
  readonly #sql = new Map<string, SqlStatement>();
  /** What each open portal executes. Portals end with their transaction. */
  readonly #portals = new Map<string, BoundStatement>();
  #unnamedPortal: BoundStatement | null = null;
  #isClosed = false;
  /** Of the named ones, where all have the same; else null. */
  #scope: string | null = null;

  constructor(texts: PreparedTexts) {
    this.#texts = texts;
  }

  /** Some were prepared in another scope than this one. */
  haveOtherScope(parsing: { readonly key: string }): boolean {
    // The key is made only where it is looked at: most sessions have named nothing.
    return this.#named.size > 0 && this.#scope !== parsing.key;
  }

  get size(): number {
    return this.#named.size;
  }

  /** The statement of that name when the server reads what is sent next. */
  get(name: string): ClientStatement | undefined {
    if (name === '') {
      const unnamed = this.#announcedUnnamed;
      return (unnamed === undefined ? this.unnamed : unnamed) ?? undefined;
    }
    const announced = this.#announced.get(name);
    if (announced !== undefined) return announced ?? undefined;
    return this.#isAllAnnounced ? undefined : this.#named.get(name);
  }

  /** The statement that SQL PREPARE made under that name. */
  sql(name: string): SqlStatement | undefined {
    const isToGo = this.#isAllAnnounced || this.#announced.has(name);
    return isToGo ? undefined : this.#sql.get(name);
  }

  get hasSql(): boolean {
    return this.#sql.size > 0;
  }

  get sqlNames(): Iterable<string> {
    return this.#sql.keys();
  }

  /** Of all named ones. */
  get names(): readonly string[] {
    return [...this.#named.keys(), ...this.#sql.keys()];
  }

  /** PREPARE has completed. Like the server's, it stays when its transaction is rolled back. */
  addSql(name: string, statement: SqlStatement): void {
    this.#sql.set(name, statement);
  }

  /** What a statement of that name runs, whoever has made it. */
  classOf(name: string): Classified | undefined {
    return this.get(name)?.classified ?? this.sql(name)?.classified;
  }

  /** A Parse (or, null, a Close) of this name goes out; its answer brings `confirm`. */
  announce(name: string, statement: ClientStatement | null): void {
    if (name === '') this.#announcedUnnamed = statement;
    else this.#announced.set(name, statement);
  }

  /** DEALLOCATE ALL or DISCARD ALL goes out: `removeAll` follows when it has completed. */
  announceRemoveAll(): void {
    this.#isAllAnnounced = true;
    this.#announced.clear();
  }

  /** The server did what was announced, or would have. */
  confirm(name: string, statement: ClientStatement | null): void {
    if (this.#isClosed) return;
    if (name === '') this.#confirmedUnnamed = statement;
    else this.#confirmed.push([name, statement]);
  }

  /** The request is over: what was announced and not confirmed has failed. */
  settle(): void {
    const confirmed = this.#confirmed;
    if (this.#confirmedUnnamed !== undefined) this.unnamed = this.#confirmedUnnamed;
    this.forget();
    for (const [name, statement] of confirmed) {
      if (statement === null) this.remove(name);
      else this.add(name, statement);
    }
  }

  /** The request runs again from its start: the client has not heard of what it did so far. */
  forget(): void {
    this.#isAllAnnounced = false;
    this.#announcedUnnamed = undefined;
    this.#confirmedUnnamed = undefined;
    if (this.#announced.size > 0) this.#announced.clear();
    if (this.#confirmed.length > 0) this.#confirmed = [];
  }

  /** A named statement exists from now on. */
  add(name: string, { text, classified }: ClientStatement): void {
    if (this.#isClosed) return;
    const shared = this.#texts.use(text.body, text.scope);
    this.remove(name);
    const isUniform = this.#named.size === 0 || this.#scope === shared.scope;
    this.#scope = isUniform ? shared.scope : null;
    this.#named.set(name, { text: shared, classified });
  }

  remove(name: string): boolean {
    if (this.#sql.delete(name)) return true;
    const statement = this.#named.get(name);
    if (statement === undefined) return false;
    this.#named.delete(name);
    this.#texts.drop(statement.text);
    return true;
  }

  /** All named ones: DEALLOCATE ALL. */
  removeAll(): void {
    this.#confirmed = [];
    for (const name of [...this.#named.keys(), ...this.#sql.keys()]) this.remove(name);
  }

  /** The session is over; what a server still confirms is nobody's. */
  close(): void {
    this.removeAll();
    this.#isClosed = true;
  }

  portal(name: string): BoundStatement | undefined {
    return name === '' ? (this.#unnamedPortal ?? undefined) : this.#portals.get(name);
  }

  bindPortal(name: string, statement: BoundStatement | undefined): void {
    if (name === '') this.#unnamedPortal = statement ?? null;
    else if (statement === undefined) this.#portals.delete(name);
    else this.#portals.set(name, statement);
  }

  endTransaction(): void {
    this.#unnamedPortal = null;
    if (this.#portals.size > 0) this.#portals.clear();
  }
}
