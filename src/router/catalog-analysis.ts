import type { CatalogRows, ColumnRow, TreeRow } from './catalog-rows.ts';
import { firstUserOid, nameSeparator } from './catalog-rows.ts';
import { functionRule, isHarmless } from './functions.ts';
import { KnownCatalog } from './known-catalog.ts';
import { type RelationTrait, relationTraits } from './statement.ts';

const volatilityOf = { i: 'immutable', s: 'stable', v: 'volatile' } as const;

function* numbers(list: string): Iterable<number> {
  for (const word of list.split(' ')) if (word !== '') yield Number(word);
}

/**
 * What the catalog of a database comes to for the classifier. Volatility spreads: from a function to
 * the operators, casts, types and aggregates made of it, from there to functions and columns of such
 * types, and to views and policies that use any of them, until nothing changes any more.
 *
 * Made in steps, because columns are only asked for where there are volatile types at all: while
 * takeVolatileTypes() returns some, addColumns() wants the relations that have columns of them.
 */
export class CatalogAnalysis {
  readonly catalog: KnownCatalog;
  readonly #rows: CatalogRows;
  /** What calling a function comes to in a view; only those that are not plain. */
  readonly #functionTraits = new Map<number, RelationTrait>();
  readonly #relationTraits = new Map<number, RelationTrait>();
  readonly #volatileTypes = new Set<number>();
  readonly #volatileOperators = new Set<number>();
  #newTypes: number[] = [];
  #isChanging = false;

  constructor(rows: CatalogRows) {
    this.#rows = rows;
    this.catalog = new KnownCatalog(new Set(rows.settings.map(([name]) => name)));
    this.#addNames();
    this.#judgeFunctions();
    for (const [oid, schema, name, kind] of rows.relations) {
      this.#markRelation(oid, schema, name, kind);
    }
    this.#spread();
  }

  /** Types found volatile since the last call. */
  takeVolatileTypes(): readonly number[] {
    const types = this.#newTypes;
    this.#newTypes = [];
    return types;
  }

  addColumns(rows: readonly ColumnRow[]): void {
    for (const [oid, schema, name, isRelation, rowType, rowArray] of rows) {
      this.#markType(rowType, rowArray);
      if (isRelation) this.#markRelation(oid, schema, name, 'volatile');
      else this.catalog.types.add(schema, name, 'volatile');
    }
    this.#spread();
  }

  #addNames(): void {
    const { relationNames, typeNames, operatorNames } = this.#rows;
    for (const [schema, names] of relationNames) {
      this.catalog.relations.addAll(schema, names.split(nameSeparator), 'plain');
    }
    for (const [schema, names] of typeNames) {
      this.catalog.types.addAll(schema, names.split(nameSeparator), 'plain');
    }
    for (const [schema, names] of operatorNames) {
      this.catalog.operators.addAll(schema, names.split(nameSeparator), 'plain');
    }
  }

  #judgeFunctions(): void {
    for (const [oid, schema, name, letter, , ofRow] of this.#rows.functions) {
      const isVolatile = letter === 'v' && !isHarmless(schema, name);
      const volatility = letter === 'v' && !isVolatile ? 'stable' : volatilityOf[letter];
      this.catalog.functions.add(schema, name, volatility);
      const trait = functionTrait(name, isVolatile);
      if (trait !== 'plain') this.#functionTraits.set(oid, trait);
      if (ofRow && isVolatile) this.catalog.columnFunctions.add(name);
    }
  }

  #spread(): void {
    do {
      this.#isChanging = false;
      this.#spreadToFunctions();
      this.#spreadToTypes();
      this.#spreadToOperators();
      for (const row of this.#rows.trees) this.#spreadToTree(row);
    } while (this.#isChanging);
  }

  #spreadToFunctions(): void {
    const members = new Map(this.#rows.aggregates);
    for (const [oid, schema, name, , signature, ofRow] of this.#rows.functions) {
      if (oid < firstUserOid || this.#functionTraits.has(oid)) continue;
      const parts = members.get(oid);
      const isVolatile =
        (parts !== undefined && this.#anyFunction(parts)) ||
        (signature !== null && this.#anyType(signature));
      if (!isVolatile) continue;
      this.#functionTraits.set(oid, 'volatile');
      this.catalog.functions.add(schema, name, 'volatile');
      if (ofRow) this.catalog.columnFunctions.add(name);
      this.#isChanging = true;
    }
  }

  #spreadToTypes(): void {
    for (const [oid, schema, name, array, base, functions] of this.#rows.types) {
      if (this.#volatileTypes.has(base) || this.#anyFunction(functions)) this.#markType(oid, array);
      if (this.#volatileTypes.has(oid)) this.catalog.types.add(schema, name, 'volatile');
    }
    for (const [source, target, fn, isImplicit] of this.#rows.casts) {
      if (!this.#functionTraits.has(fn)) continue;
      this.#markTypes(source, target);
      // Between types of PostgreSQL's own: where it is not asked for, nobody sees it.
      if (target < firstUserOid && source < firstUserOid) {
        this.#markType(target);
        if (isImplicit) this.#markType(source);
      }
    }
    for (const [left, right, fn] of this.#rows.support) {
      if (this.#functionTraits.has(fn)) this.#markTypes(left, right);
    }
  }

  /**
   * Operators with names of their own are found by name. Where PostgreSQL has the name too, such as
   * `=`, the types of users that it works on are marked: not every statement that compares is a write.
   */
  #spreadToOperators(): void {
    for (const [schema, name, left, right, functions, oid, isCommon] of this.#rows.operators) {
      if (!this.#anyFunction(functions)) continue;
      if (!this.#volatileOperators.has(oid)) {
        this.#volatileOperators.add(oid);
        this.#isChanging = true;
      }
      const hasUserType = left >= firstUserOid || right >= firstUserOid;
      if (isCommon && hasUserType) this.#markTypes(left, right);
      else this.catalog.operators.add(schema, name, 'volatile');
    }
  }

  #spreadToTree([owner, kind, schema, name, references]: TreeRow): void {
    const trait = this.#traitOf(references);
    if (trait === 'plain') return;
    if (kind === 'domain') this.#markType(owner);
    else this.#markRelation(owner, schema, name, trait);
  }

  /** The heaviest of what an expression refers to. */
  #traitOf(references: string): RelationTrait {
    let heaviest: RelationTrait = 'plain';
    const add = (trait: RelationTrait | undefined): void => {
      if (trait !== undefined && isHeavier(trait, heaviest)) heaviest = trait;
    };
    for (const word of references.split(' ')) {
      const [, tag, value] = /^(fu|ag|wi|op|rel|res|has)(\w+)$/.exec(word) ?? [];
      const oid = Number(value);
      if (tag === 'has' && value === 'true') add('writing');
      else if (tag === 'rel') add(this.#relationTraits.get(oid));
      else if (tag === 'op') add(this.#volatileOperators.has(oid) ? 'volatile' : undefined);
      else if (tag === 'res') add(this.#volatileTypes.has(oid) ? 'volatile' : undefined);
      else add(this.#functionTraits.get(oid));
    }
    return heaviest;
  }

  #anyFunction(list: string): boolean {
    for (const oid of numbers(list)) if (this.#functionTraits.has(oid)) return true;
    return false;
  }

  #anyType(list: string): boolean {
    if (this.#volatileTypes.size === 0) return false;
    for (const oid of numbers(list)) if (this.#volatileTypes.has(oid)) return true;
    return false;
  }

  /** Those of users among them. */
  #markTypes(...types: readonly number[]): void {
    for (const type of types) if (type >= firstUserOid) this.#markType(type);
  }

  #markType(type: number, array = 0): void {
    for (const oid of [type, array]) {
      if (oid === 0 || this.#volatileTypes.has(oid)) continue;
      this.#volatileTypes.add(oid);
      this.#newTypes.push(oid);
      this.#isChanging = true;
    }
  }

  #markRelation(oid: number, schema: string, name: string, trait: RelationTrait): void {
    const known = this.#relationTraits.get(oid) ?? 'plain';
    if (!isHeavier(trait, known)) return;
    this.#relationTraits.set(oid, trait);
    this.catalog.relations.add(schema, name, trait);
    this.#isChanging = true;
  }
}

function isHeavier(trait: RelationTrait, than: RelationTrait): boolean {
  return relationTraits.indexOf(trait) > relationTraits.indexOf(than);
}

function functionTrait(name: string, isVolatile: boolean): RelationTrait {
  switch (functionRule(name)) {
    case 'primary-only':
    case 'sequence':
      return 'writing';
    case 'server-fact':
      return 'server-fact';
    case 'runs-text':
      return 'volatile';
    case null:
      return isVolatile ? 'volatile' : 'plain';
  }
}
