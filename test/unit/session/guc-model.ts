/** What a backend does with its settings, as simply as can be (guc.c without sources and hooks). */
export class GucModel {
  status: 'idle' | 'transaction' | 'failed' = 'idle';
  readonly #defaults: ReadonlyMap<string, string>;
  /** What stays after COMMIT. */
  #session: Map<string, string>;
  /** SET LOCAL. */
  #local = new Map<string, string>();
  #atBegin: { session: Map<string, string> } | null = null;
  #savepoints: { name: string; session: Map<string, string>; local: Map<string, string> }[] = [];

  /** `defaults`: what RESET goes back to; names that are missing have no value. */
  constructor(defaults: ReadonlyMap<string, string>) {
    this.#defaults = defaults;
    this.#session = new Map(defaults);
  }

  /** As statements see them, in order of name. */
  get values(): Record<string, string> {
    return Object.fromEntries([...new Map([...this.#session, ...this.#local])].sort());
  }

  /** Statements of one Query; an error undoes all of them. Returns the tags, and null for ERROR. */
  query(statements: readonly string[]): (string | null)[] {
    const isImplicit = this.status === 'idle' && statements.length > 1;
    const before = new Map(this.#session);
    const tags: (string | null)[] = [];
    for (const statement of statements) {
      const tag = this.#statement(statement, isImplicit);
      tags.push(tag);
      if (tag !== null) continue;
      if (this.status !== 'idle') this.status = 'failed';
      else if (isImplicit) this.#session = before;
      break;
    }
    if (this.status === 'idle') this.#local.clear();
    return tags;
  }

  #statement(sql: string, isImplicit: boolean): string | null {
    const [verb = '', ...words] = sql.split(' ');
    if (this.status === 'failed' && !['ROLLBACK', 'COMMIT'].includes(verb)) return null;
    if (verb === 'ERROR') return null;
    const set = /^SET "(\w+)" TO '(\w*)'$/.exec(sql) ?? /set_config\('(\w+)', '(\w*)'/.exec(sql);
    if (set !== null) {
      this.#session.set(set[1]!, set[2]!);
      this.#local.delete(set[1]!);
      return 'SET';
    }
    const local = /^SET LOCAL "(\w+)" TO '(\w*)'$/.exec(sql);
    if (local !== null) {
      if (this.status === 'transaction' || isImplicit) this.#local.set(local[1]!, local[2]!);
      return 'SET';
    }
    switch (verb) {
      case 'RESET':
        this.#reset(words[0]!.replaceAll('"', ''));
        return 'RESET';
      case 'DISCARD':
        if (this.status !== 'idle' || isImplicit) return null;
        for (const name of [...this.#session.keys()]) this.#resetOne(name);
        return 'DISCARD ALL';
      case 'BEGIN':
        if (this.status === 'transaction') return 'BEGIN';
        this.#begin();
        return 'BEGIN';
      case 'SAVEPOINT':
        if (this.status !== 'transaction') return null;
        this.#savepoints.push({
          name: words[0]!,
          session: new Map(this.#session),
          local: new Map(this.#local),
        });
        return 'SAVEPOINT';
      case 'RELEASE': {
        if (this.status !== 'transaction') return null;
        const index = this.#savepoints.findLastIndex(({ name }) => name === words[0]);
        if (index < 0) return null;
        this.#savepoints.length = index;
        return 'RELEASE';
      }
      case 'COMMIT':
      case 'ROLLBACK':
        return words[0] === 'TO' ? this.#rollbackTo(words[1]!) : this.#end(verb, words.length > 0);
      default:
        return 'SELECT 1';
    }
  }

  #begin(): void {
    this.status = 'transaction';
    this.#atBegin = { session: new Map(this.#session) };
    this.#savepoints = [];
  }

  #end(verb: string, chain: boolean): string | null {
    if (this.status === 'idle') return chain ? null : verb;
    this.#savepoints = [];
    const commits = verb === 'COMMIT' && this.status === 'transaction';
    if (!commits) this.#session = this.#atBegin!.session;
    this.#local.clear();
    this.status = 'idle';
    if (chain) this.#begin();
    return commits ? 'COMMIT' : 'ROLLBACK';
  }

  #rollbackTo(wanted: string): string | null {
    if (this.status === 'idle') return null;
    const index = this.#savepoints.findLastIndex(({ name }) => name === wanted);
    if (index < 0) return null;
    const { session, local } = this.#savepoints[index]!;
    this.#savepoints.length = index + 1;
    this.#session = new Map(session);
    this.#local = new Map(local);
    this.status = 'transaction';
    return 'ROLLBACK';
  }

  #reset(what: string): void {
    if (what === 'ALL') {
      for (const name of [...this.#session.keys(), ...this.#local.keys()]) {
        if (name !== 'role') this.#resetOne(name);
      }
    } else {
      this.#resetOne(what === 'ROLE' ? 'role' : what);
    }
  }

  #resetOne(name: string): void {
    const initial = this.#defaults.get(name);
    if (initial === undefined) this.#session.delete(name);
    else this.#session.set(name, initial);
    this.#local.delete(name);
  }
}
