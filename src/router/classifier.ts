import { isUtf8 } from 'node:buffer';

import { LRUCache } from 'lru-cache';

import { write } from './classes.ts';
import { decide } from './decide.ts';
import {
  isExecute,
  mayChangeSession,
  NESTING_MAX,
  namesSession,
  nestingBound,
  obviousWrite,
  plainStart,
} from './form.ts';
import { parseHint } from './hint.ts';
import { KnownTexts } from './known-texts.ts';
import { parse } from './parser.ts';
import { FORM_BYTES_MAX, formBytes, formOf, scan, scanned, TEXT_BYTES_MAX } from './scanner.ts';
import { readsSessionSettingsOnly, readsSettings } from './setting-names.ts';
import type {
  Catalog,
  Classified,
  Effect,
  Hint,
  StatementClass,
  WriteReason,
} from './statement.ts';
import { summary } from './summary.ts';
import { Templates } from './templates.ts';

export interface ClassifierOptions {
  readonly catalog: Catalog;
  /** Statements remembered, 2 to 3 entries for some. */
  readonly entriesMax?: number;
}

const ENTRIES_MAX = 10_000;
/** Of all keys with what hangs on them, in one cache. */
const CACHE_BYTES_MAX = 16 * 1024 * 1024;
/** What an entry costs beside its key: the objects of the class and of the cache. */
const ENTRY_BYTES = 512;
/** Longer keys are not kept: they are rarely seen twice, and would push hundreds of others out. */
const KEY_BYTES_MAX = 16 * 1024;
const HINTS_MAX = 1_000;
/** Of a text too long to be parsed, enough to tell it apart in logs and measured times. */
const LONG_KEY_BYTES = 256;

/** The class of statements of this form depends on their literals: look under the exact text. */
const EXACT = 'exact';
/** It depends on the names of the settings that they read: look under the form, marked, or the text. */
const BY_SETTING = 'by-setting';
type Marker = typeof EXACT | typeof BY_SETTING;
/** In front of a form: its settings are of the session. No form begins with this control byte. */
const SESSION_SETTINGS = '\x05';

/**
 * Classifies query strings for one database.
 *
 * The cache has two kinds of keys. A literal-free form is the key of single SELECT, INSERT, UPDATE,
 * DELETE, MERGE, WITH, VALUES and TABLE statements without effect: their class follows from names
 * and clauses, never from a constant. Everything else is kept under its exact text with `=` in
 * front (no form begins so), and its form leads to the marker EXACT: the value of a SET, the name in
 * set_config('role', ...), the key of an advisory lock are what those statements mean. Calls of
 * current_setting() are in between: common ones share a key, and current_setting('port') does not.
 *
 * In front of it are texts seen before, which need no key: those that come again but for their
 * literals, where the form is the key, and those that come again byte for byte.
 */
export class Classifier {
  readonly #catalog: Catalog;
  readonly #cache: LRUCache<string, Classified | Marker>;
  readonly #texts = new KnownTexts();
  readonly #forms = new KnownTexts();
  readonly #templates = new Templates();
  readonly #hints = new LRUCache<string, { hint: Hint | null }>({ max: HINTS_MAX });

  constructor({ catalog, entriesMax = ENTRIES_MAX }: ClassifierOptions) {
    this.#catalog = catalog;
    this.#cache = new LRUCache({
      max: entriesMax,
      maxSize: CACHE_BYTES_MAX,
      sizeCalculation: (_, key) => key.length + ENTRY_BYTES,
    });
  }

  /**
   * The class of `text[start..end)`, SQL without its terminator. Never throws. `backslashEscapes` is
   * standard_conforming_strings = off in the session: texts with a backslash are then not understood.
   */
  classify(text: Buffer, start: number, end: number, backslashEscapes = false): Classified {
    if (backslashEscapes) return this.#scanAndClassify(text, start, end, true);
    const known = this.#templates.find(text, start, end) ?? this.#texts.find(text, start, end);
    if (known !== null) return known;
    const classified = this.#scanAndClassify(text, start, end, false);
    // Each time it comes the catalog is to hear of what it does not know.
    if (!classified.namesUnknown) this.#texts.add(text, start, end, classified);
    return classified;
  }

  #scanAndClassify(
    text: Buffer,
    start: number,
    end: number,
    backslashEscapes: boolean,
  ): Classified {
    scan(text, start, end);
    const hint = scanned.hintRanges.length === 0 ? null : this.#hintOf(text);
    const classified = this.#classify(text, start, end, backslashEscapes);
    if (classified.namesUnknown) this.#catalog.missed();
    return hint === null ? classified : { ...classified, hint };
  }

  /** A replica refused the statement as a write: from now on statements of its key are writes. */
  learnWrite(classified: Classified): void {
    this.#forget();
    if (classified.key.length > KEY_BYTES_MAX) return;
    const statements = classified.statements.map((statement) => {
      const { access, tag, effect, ddl } = statement;
      return access === 'write' ? statement : write(tag, 'learned-write', { effect, ddl });
    });
    this.#cache.set(classified.key, {
      ...classified,
      access: 'write',
      reason: 'learned-write',
      forcible: false,
      namesUnknown: false,
      statements,
      hint: null,
    });
  }

  /** The catalog was loaded or loaded again: every class may differ, also those learned. */
  catalogChanged(): void {
    this.#forget();
    this.#cache.clear();
  }

  #forget(): void {
    this.#texts.clear();
    this.#forms.clear();
    this.#templates.clear();
  }

  #classify(text: Buffer, start: number, end: number, backslashEscapes: boolean): Classified {
    if (end - start > TEXT_BYTES_MAX) return classifyLong();
    // Before it is made a string.
    const same = backslashEscapes ? null : this.#forms.find(formBytes(), 0, scanned.formLength);
    if (same !== null) {
      if (!same.namesUnknown) this.#templates.add(text, start, end, same);
      return same;
    }
    const form = formOf();
    if (backslashEscapes && text.subarray(start, end).includes('\\')) {
      return notUnderstood(form, exactKey(text, start, end), 'unparsable');
    }
    const known = this.#cache.get(form);
    if (known === BY_SETTING) return this.#bySetting(text, start, end, form);
    if (known !== undefined && known !== EXACT) {
      if (!backslashEscapes) this.#forms.add(formBytes(), 0, scanned.formLength, known);
      return known;
    }
    const exact = exactKey(text, start, end);
    const cached = this.#cached(exact);
    if (cached !== null) return cached;
    const classified = this.#decide(text, start, end, form);
    if (classified.key.startsWith(SESSION_SETTINGS)) this.#remember(form, BY_SETTING);
    else if (classified.key === exact && isUnderstood(classified)) {
      const mayShare = readsSettings(form) && isFree(form, classified.statements);
      this.#remember(form, mayShare ? BY_SETTING : EXACT);
    }
    this.#remember(classified.key, classified);
    return classified;
  }

  #bySetting(text: Buffer, start: number, end: number, form: string): Classified {
    const isOfSession = this.#readsSessionSettingsOnly(text, start, end);
    const key = isOfSession ? SESSION_SETTINGS + form : exactKey(text, start, end);
    const known = this.#cached(key);
    if (known !== null) return known;
    const classified = this.#decide(text, start, end, form);
    this.#remember(classified.key, classified);
    return classified;
  }

  #cached(key: string): Classified | null {
    const known = this.#cache.get(key);
    return known === undefined || known === EXACT || known === BY_SETTING ? null : known;
  }

  #readsSessionSettingsOnly(text: Buffer, start: number, end: number): boolean {
    return readsSessionSettingsOnly(text.toString('latin1', start, end), this.#catalog);
  }

  #decide(text: Buffer, start: number, end: number, form: string): Classified {
    if (form === '') return EMPTY;
    const tag = obviousWrite(form, scanned.severalStatements);
    if (tag !== null) return obvious(tag, form);
    const exact = exactKey(text, start, end);
    if (!isReadable(text.subarray(start, end), form))
      return notUnderstood(form, exact, 'unparsable');
    if (nestingBound(form) > NESTING_MAX) return notUnderstood(form, exact, 'too-long');
    const parsed = parse(text.toString('utf8', start, end));
    if (parsed === null) return notUnderstood(form, exact, 'unparsable');
    const statements = parsed.map(({ node, start: at, length }) =>
      decide(node, this.#catalog, () => {
        // All of it, as pg_prepared_statements shows it.
        if (parsed.length === 1) return text.toString('utf8', start, end);
        const from = start + at;
        return text.toString('utf8', from, length === 0 ? end : from + length);
      }),
    );
    if (!isFree(form, statements)) return summary(statements, exact);
    if (!readsSettings(form)) return summary(statements, form);
    const isOfSession = this.#readsSessionSettingsOnly(text, start, end);
    return summary(statements, isOfSession ? SESSION_SETTINGS + form : exact);
  }

  #remember(key: string, value: Classified | Marker): void {
    if (key.length <= KEY_BYTES_MAX) this.#cache.set(key, value);
  }

  #hintOf(text: Buffer): Hint | null {
    const comments: string[] = [];
    const ranges = scanned.hintRanges;
    for (let index = 0; index < ranges.length; index += 2) {
      comments.push(text.toString('utf8', ranges[index], ranges[index + 1]));
    }
    const key = comments.join('\n');
    let entry = this.#hints.get(key);
    if (entry === undefined) {
      entry = { hint: parseHint(comments) };
      if (key.length <= KEY_BYTES_MAX) this.#hints.set(key, entry);
    }
    return entry.hint;
  }
}

/** Effects that no literal of their statement has a part in. */
const literalFree: ReadonlySet<Effect['kind']> = new Set<Effect['kind']>([
  'execute',
  'review',
  'notify',
  'backend-pid',
  'list-channels',
  'list-statements',
  'sequence-state',
]);

const EMPTY: Classified = summary([], '');

/** A modification alone needs no grammar: whatever it holds, only the primary may run it. */
function obvious(tag: string, key: string): Classified {
  return summary([write(tag, 'write', { replicaSafe: true })], key);
}

function classifyLong(): Classified {
  const form = formOf();
  const complete = scanned.formLength <= FORM_BYTES_MAX;
  const key = `#${form.slice(0, LONG_KEY_BYTES)}`;
  const tag = complete ? obviousWrite(form, scanned.severalStatements) : null;
  return tag === null ? notUnderstood(form, key, 'too-long', complete) : obvious(tag, key);
}

/** No literal but the name of a setting can change the class of the text scanned last. */
function isFree(form: string, statements: readonly StatementClass[]): boolean {
  return (
    !scanned.severalStatements &&
    (plainStart(form) !== null || isExecute(form)) &&
    !namesSession(form) &&
    statements.every(({ effect }) => effect === null || literalFree.has(effect.kind))
  );
}

/** A text whose bytes the scanner and the grammar read as the server does. */
function isReadable(text: Buffer, form: string): boolean {
  if (text.includes(0)) return false;
  // Encodings that are not UTF-8 may hide a backslash or an operator in the second byte of a
  // character (SJIS, BIG5, GBK, ...): harmless in plain strings, not in E'' strings and names.
  return isUtf8(text) || !(scanned.escapes || /[\x80-\xff]/.test(form));
}

function notUnderstood(
  form: string,
  key: string,
  reason: WriteReason,
  complete = true,
): Classified {
  const pinned = !complete || mayChangeSession(form, scanned.severalStatements);
  const effect = pinned ? ({ kind: 'pin', reason: 'unparsed' } as const) : null;
  // A server that cannot read it either says so, wherever it runs.
  const replicaSafe = reason === 'unparsable';
  return summary(
    [write(plainStart(form) ?? '', reason, { effect, ddl: pinned, replicaSafe })],
    key,
  );
}

function isUnderstood({ reason }: Classified): boolean {
  return reason !== 'unparsable' && reason !== 'too-long';
}

function exactKey(text: Buffer, start: number, end: number): string {
  return `=${text.toString('latin1', start, end)}`;
}
