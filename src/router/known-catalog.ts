import { NameTable } from './name-table.ts';
import { type Catalog, type RelationTrait, relationTraits, type Volatility } from './statement.ts';

type Doubt = 'plain' | 'volatile';

const volatilities: readonly Volatility[] = ['immutable', 'stable', 'volatile'];
const doubts: readonly Doubt[] = ['plain', 'volatile'];

/** What CatalogAnalysis has found out of a database, by name. */
export class KnownCatalog implements Omit<Catalog, 'loaded' | 'missed'> {
  readonly functions = new NameTable<Volatility>(volatilities);
  readonly relations = new NameTable<RelationTrait>(relationTraits);
  readonly types = new NameTable<Doubt>(doubts);
  readonly operators = new NameTable<Doubt>(doubts);
  readonly columnFunctions = new Set<string>();
  readonly #settings: ReadonlySet<string>;

  /** `settings`: in lower case, those that no session can change. */
  constructor(settings: ReadonlySet<string>) {
    this.#settings = settings;
  }

  volatility(schema: string | null, name: string): Volatility | null {
    return this.functions.get(schema, name);
  }

  relation(schema: string | null, name: string): RelationTrait | null {
    return this.relations.get(schema, name);
  }

  /** Also of rows of a relation, whose type has its name. */
  type(schema: string | null, name: string): Doubt | null {
    const type = this.types.get(schema, name);
    const rows = this.relations.get(schema, name);
    if (rows === null) return type;
    return rows === 'plain' ? (type ?? 'plain') : 'volatile';
  }

  operator(schema: string | null, name: string): Doubt | null {
    return this.operators.get(schema, name);
  }

  isColumnFunction(name: string): boolean {
    return this.columnFunctions.has(name);
  }

  isServerSetting(name: string): boolean {
    return this.#settings.has(name);
  }
}
