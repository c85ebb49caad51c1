import type { PreparedTexts } from '../pool/prepared.ts';
import { parsingSettings } from '../pool/settings.ts';
import type { Classified, Effect } from '../router/statement.ts';
import type { SessionState } from './session-state.ts';

/** What follows it may be parsed otherwise, before the session's own settings say so. */
function changesParsing(effect: Effect): boolean {
  switch (effect.kind) {
    case 'set':
    case 'reset':
      return parsingSettings.has(effect.name);
    case 'several':
      return effect.effects.some(changesParsing);
    default:
      return effect.kind === 'reset-all' || effect.kind === 'discard';
  }
}

/**
 * What a text that a session prepares means besides what it says: the settings that parsing looks
 * at, and the catalog. Only texts of the same scope may share a prepared statement: its constants,
 * types and columns are those of its Parse (plancache.c).
 */
export class ParseScope {
  readonly #texts: PreparedTexts;
  readonly #database: string;
  readonly #state: SessionState;
  /** Of this transaction alone: it has changed what nobody else sees yet. */
  #own: string | null = null;
  #hasChangedCatalog = false;

  constructor(texts: PreparedTexts, database: string, state: SessionState) {
    this.#texts = texts;
    this.#database = database;
    this.#state = state;
  }

  /** Of what is prepared next. */
  get key(): string {
    if (this.#own !== null) return this.#own;
    return `${this.#texts.catalogVersion(this.#database)} ${this.#state.settings.parsingKey}`;
  }

  /** A statement goes out. */
  sends({ statements }: Classified): void {
    for (const { ddl, effect } of statements) {
      if (!ddl && (effect === null || !changesParsing(effect))) continue;
      this.#own = `own ${this.#texts.newVersion()}`;
      this.#hasChangedCatalog ||= ddl;
    }
  }

  /** The transaction has ended, if there was one. */
  ended(): void {
    if (this.#hasChangedCatalog) this.#texts.catalogChanged(this.#database);
    this.#hasChangedCatalog = false;
    this.#own = null;
  }

  /** The catalog is found to have changed without the proxy having seen how. */
  outdated(): void {
    this.#texts.catalogChanged(this.#database);
  }
}
