import {
  blockCommentEnd,
  dollarStringEnd,
  escapedStringEnd,
  lineEnd,
  stringEnd,
} from '../../../src/router/lexemes.ts';

/**
 * The statements of a script that psql would run, such as those of PostgreSQL's regression suite.
 * Commands of psql are left out, but for \set and \getenv, whose variables are put in. The data of
 * COPY FROM stdin becomes an INSERT. One character is one byte: scripts are read as latin1.
 */
export function statementsOf(script: string, environment: Record<string, string>): string[] {
  return new Script(script, environment).statements();
}

const backslash = 0x5c;
const quote = 0x27;
const doubleQuote = 0x22;

class Script {
  readonly #text: string;
  readonly #bytes: Buffer;
  readonly #variables = new Map<string, string>();
  readonly #environment: Record<string, string>;
  readonly #statements: string[] = [];
  #at = 0;
  #pending = '';
  #depth = 0;

  constructor(text: string, environment: Record<string, string>) {
    this.#text = text;
    this.#bytes = Buffer.from(text, 'latin1');
    this.#environment = environment;
  }

  statements(): string[] {
    while (this.#at < this.#text.length) this.#token();
    this.#end();
    return this.#statements;
  }

  #token(): void {
    const { length } = this.#text;
    const byte = this.#bytes[this.#at]!;
    const pair = this.#text.slice(this.#at, this.#at + 2);
    if (pair === '--') this.#at = lineEnd(this.#bytes, this.#at, length);
    else if (pair === '/*') this.#take(blockCommentEnd(this.#bytes, this.#at, length));
    else if (/^[eE]'$/.test(pair)) {
      this.#take(escapedStringEnd(this.#bytes, this.#at + 2, length));
    } else if (byte === quote) this.#take(stringEnd(this.#bytes, this.#at + 1, length));
    else if (byte === doubleQuote) this.#quotedName();
    else if (byte === backslash) this.#command();
    else if (pair[0] === '$') {
      this.#take(dollarStringEnd(this.#bytes, this.#at, length) || this.#at + 1);
    } else if (pair[0] === ';' && this.#depth <= 0 && !this.#isInBody()) {
      this.#at += 1;
      this.#end();
    } else if (pair === '::') this.#take(this.#at + 2);
    else if (pair[0] === ':') this.#variable();
    else {
      if (pair[0] === '(') this.#depth += 1;
      if (pair[0] === ')') this.#depth -= 1;
      this.#word();
    }
  }

  #take(end: number): void {
    this.#pending += this.#text.slice(this.#at, end);
    this.#at = Math.min(end, this.#text.length);
  }

  #word(): void {
    const word = /[a-zA-Z_\x80-\xff][\w\x80-\xff$]*|[\s\S]/y;
    word.lastIndex = this.#at;
    this.#take(this.#at + word.exec(this.#text)![0].length);
  }

  #quotedName(): void {
    const close = this.#text.indexOf('"', this.#at + 1);
    this.#take(close === -1 ? this.#text.length : close + 1);
  }

  /** A function in SQL syntax: semicolons stand between BEGIN ATOMIC and END. */
  #isInBody(): boolean {
    if (!/\bbegin\s+atomic\b/i.test(this.#pending)) return false;
    const opened = this.#pending.match(/\b(begin\s+atomic|case)\b/gi)?.length ?? 0;
    const closed = this.#pending.match(/\bend\b/gi)?.length ?? 0;
    return closed < opened;
  }

  #variable(): void {
    const pattern = /:(?:'(\w+)'|"(\w+)"|(\w+))/y;
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    const name = match?.[1] ?? match?.[2] ?? match?.[3] ?? '';
    const value = this.#variables.get(name);
    if (match === null || value === undefined) {
      this.#take(this.#at + 1);
      return;
    }
    if (match[1] !== undefined) this.#pending += `'${value.replaceAll("'", "''")}'`;
    else this.#pending += match[2] !== undefined ? `"${value}"` : value;
    this.#at = pattern.lastIndex;
  }

  #command(): void {
    const end = lineEnd(this.#bytes, this.#at, this.#text.length);
    const line = this.#text.slice(this.#at, end);
    const [command = '', ...words] = line.slice(1).trim().split(/\s+/);
    this.#at = end;
    if (command === 'set') this.#variables.set(words[0] ?? '', this.#valueOf(words.slice(1)));
    if (command === 'getenv') {
      this.#variables.set(words[0] ?? '', this.#environment[words[1] ?? ''] ?? '');
    }
    if (/^(g|gset|gexec|gdesc|gx|crosstabview|;)$/.test(command)) this.#end();
    if (command === 'r') this.#pending = '';
  }

  #valueOf(words: readonly string[]): string {
    return words
      .map((word) => {
        const variable = /^:'?(\w+)'?$/.exec(word)?.[1];
        if (variable !== undefined) return this.#variables.get(variable) ?? '';
        return word.replaceAll("'", '');
      })
      .join('');
  }

  #end(): void {
    const statement = this.#pending.trim();
    this.#pending = '';
    this.#depth = 0;
    if (statement === '') return;
    const copy = /^copy\s+(\S+)\s*(\([^)]*\))?\s+from\s+stdin\s*$/i.exec(statement);
    if (/^copy\s[\s\S]*\sfrom\s+stdin\b/i.test(statement)) this.#copy(copy);
    else this.#statements.push(Buffer.from(statement, 'latin1').toString('utf8'));
  }

  /** The data is in the lines up to `\.`; with options of COPY nothing comes of it. */
  #copy(copy: RegExpExecArray | null): void {
    const close = this.#text.indexOf('\n\\.', this.#at);
    if (close === -1) return;
    const lines = this.#text.slice(this.#at, close).split('\n').slice(1);
    this.#at = close + 3;
    if (copy === null || lines.length === 0) return;
    const rows = lines.map((line) => `(${line.split('\t').map(literal).join(', ')})`);
    this.#statements.push(`INSERT INTO ${copy[1]} ${copy[2] ?? ''} VALUES ${rows.join(', ')}`);
  }
}

function literal(field: string): string {
  if (field === '\\N') return 'NULL';
  const text = field.replace(/\\(.)/g, (_, letter) =>
    letter === 'n' ? '\n' : letter === 't' ? '\t' : letter,
  );
  return `'${text.replaceAll("'", "''")}'`;
}
