import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type YAMLError,
  type YAMLMap,
} from 'yaml';
import type { ConfigProblem } from './config-error.ts';
import { suggestKey } from './suggest.ts';

/** A place in the file: what a problem points at. */
export type Place = { readonly range?: readonly [number, number, number] | null };

export interface Entry {
  readonly key: Place;
  /** Null where the key has no value. */
  readonly value: Node | null;
}

export interface Item {
  readonly node: Node;
  /** What messages call it: `nodes[1]` is the first. */
  readonly path: string;
}

/** An entry whose key is a name that the user chose. */
export interface NamedItem extends Entry {
  readonly name: string;
  /** What messages call it: `freshness.users[1]` is the first. */
  readonly path: string;
}

/**
 * Own words for what the YAML parser finds: its messages quote the file, and what a file has
 * unquoted in the wrong place is often a password.
 */
const syntaxMessages: Readonly<Record<string, string>> = {
  BAD_ALIAS: 'text that begins with * or & must stand in quotes',
  BAD_DQ_ESCAPE: 'a backslash in "..." starts an escape: write \\\\ or use single quotes',
  BAD_INDENT:
    'the indentation does not fit the lines above, or a bracket there is not closed: indent with two spaces per level',
  BAD_SCALAR_START: 'text that begins with @, ` or % must stand in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'two keys on one line: write each key on a line of its own',
  DUPLICATE_KEY: 'this key stands here twice: keep one of them',
  MISSING_CHAR: 'a quote, bracket, comma or colon is missing (a key ends in ": ")',
  MULTILINE_IMPLICIT_KEY: 'a key without its colon: write key: value',
  MULTIPLE_DOCS: 'a second document begins here: remove the line ---',
  TAB_AS_INDENT: 'a tab in the indentation: use spaces',
  TAG_RESOLVE_FAILED: 'text that begins with ! must stand in quotes',
};

/** A YAML file with the problems found in it so far, each with its line. */
export class Source {
  readonly problems: ConfigProblem[] = [];
  readonly root: Node | null;
  private readonly document: Document.Parsed;
  private readonly lines = new LineCounter();

  constructor(text: string) {
    this.document = parseDocument(text, { lineCounter: this.lines, prettyErrors: false });
    this.root = this.document.contents;
    for (const error of [...this.document.errors, ...this.document.warnings]) {
      this.reportSyntax(error);
    }
  }

  /** True where the structure of the file is uncertain, so that looking further finds ghosts. */
  get broken(): boolean {
    return this.document.errors.some((error) => error.code !== 'DUPLICATE_KEY');
  }

  report(place: Place | null, message: string): void {
    const offset = place?.range?.[0];
    if (offset === undefined) {
      this.problems.push({ line: 1, message });
      return;
    }
    const { line, col } = this.lines.linePos(offset);
    this.problems.push({ line, column: col, message });
  }

  /** True where something at or below `path` was reported. */
  hasProblemIn(path: string): boolean {
    return this.problems.some(({ message }) => message.startsWith(path));
  }

  private reportSyntax(error: YAMLError): void {
    const known = syntaxMessages[error.code];
    this.report(
      { range: [error.pos[0], error.pos[1], error.pos[1]] },
      known ?? `this is not valid YAML (${error.code.toLowerCase().replaceAll('_', ' ')})`,
    );
  }

  /**
   * The entries of a mapping under the names of `known`; anything else in it is reported.
   * @param path what messages call it, such as `pool`; empty for the whole file
   * @param elsewhere says where a key belongs that is at home in another place of the file
   * @returns null where there is nothing or it is no mapping
   */
  entries(
    node: Node | null,
    path: string,
    known: readonly string[],
    elsewhere: (key: string) => string | undefined = () => undefined,
  ): Map<string, Entry> | null {
    const map = this.resolve(node);
    if (isNothing(map)) {
      return null;
    }
    if (!isMap(map)) {
      const where = path === '' ? 'the file' : path;
      this.report(map, `${where}: expected lines of key: value (known: ${known.join(', ')})`);
      return null;
    }
    return this.entriesOf(map, path, known, elsewhere);
  }

  private entriesOf(
    map: YAMLMap,
    path: string,
    known: readonly string[],
    elsewhere: (key: string) => string | undefined,
  ): Map<string, Entry> {
    const entries = new Map<string, Entry>();
    for (const pair of map.items) {
      const keyNode = pair.key as Node;
      const key = isScalar(keyNode) ? String(keyNode.value) : '';
      const value = this.resolve(pair.value as Node | null);
      if (known.includes(key)) {
        // The first of two: the second one is reported as such.
        if (!entries.has(key)) {
          entries.set(key, { key: keyNode, value });
        }
        continue;
      }
      const given = isScalar(value) ? value.value : undefined;
      const name = /^[A-Za-z][\w-]{0,40}$/.test(key) ? `${dotted(path, key)}: unknown key` : '';
      this.report(
        keyNode,
        `${name || `${dotted(path, 'a key')} that is not known`}: ${suggestKey(key, given, known, elsewhere)}`,
      );
    }
    return entries;
  }

  /** The items of a list; empty where there is nothing or it is no list. */
  items(entry: Entry | undefined, path: string, example: string): Item[] {
    const list = this.resolve(entry?.value ?? null);
    if (isNothing(list)) {
      return [];
    }
    if (!isSeq(list)) {
      this.report(list, `${path}: expected a list: write "- ${example}" on a line below it`);
      return [];
    }
    const items: Item[] = [];
    for (const [index, unresolved] of list.items.entries()) {
      const item = this.resolve(unresolved as Node | null);
      const itemPath = `${path}[${index + 1}]`;
      if (isNothing(item)) {
        this.report(item ?? list, `${itemPath}: nothing here: write ${example}`);
      } else {
        items.push({ node: item, path: itemPath });
      }
    }
    return items;
  }

  /**
   * The entries of a mapping under names that the user chose; a key that is no name is reported.
   * Messages count the entries, as a name may be anything.
   * @param example an entry, for messages
   */
  named(entry: Entry | undefined, path: string, example: string): NamedItem[] {
    if (entry === undefined) {
      return [];
    }
    const map = this.resolve(entry.value);
    if (!isMap(map) || map.items.length === 0) {
      const found = isNothing(map) || isMap(map) ? 'nothing here' : 'expected names';
      this.report(map ?? entry.key, `${path}: ${found}: write for example ${example}`);
      return [];
    }
    const items: NamedItem[] = [];
    for (const [index, pair] of map.items.entries()) {
      const itemPath = `${path}[${index + 1}]`;
      const place = pair.key as Node;
      const key = this.resolve(place);
      const problem = nameProblem(key);
      if (problem !== null) {
        this.report(place.range == null ? map : place, `${itemPath}: ${problem}`);
        continue;
      }
      const name = this.scalar(key) as string;
      // The first of two: the second one is reported as such.
      if (!items.some((item) => item.name === name)) {
        const value = this.resolve(pair.value as Node | null);
        items.push({ name, key: place, value, path: itemPath });
      }
    }
    return items;
  }

  /** What a scalar says; undefined for mappings and lists, null for nothing. */
  scalar(node: Node | null): unknown {
    const resolved = this.resolve(node);
    if (resolved === null) {
      return null;
    }
    return isScalar(resolved) ? resolved.value : undefined;
  }

  private resolve(node: Node | null): Node | null {
    return isAlias(node) ? (node.resolve(this.document) ?? null) : node;
  }
}

export function dotted(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`;
}

/** Why a key cannot be a name, or null. */
function nameProblem(key: Node | null): string | null {
  if (!isScalar(key) || typeof key.value !== 'string') {
    return 'the name is not text: put it in quotes';
  }
  if (key.value === '') {
    return 'the name is empty: write one before the colon';
  }
  return key.type === 'PLAIN' && key.value === '<<'
    ? 'keys are not merged with <<: write the name, and after it the alias'
    : null;
}

function isNothing(node: Node | null): node is null {
  return node === null || (isScalar(node) && node.value === null);
}
