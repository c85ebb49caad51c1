/**
 * What the catalog of a database says, as it was read: the tables that KnownCatalog is made of. Lists
 * of names are joined by `nameSeparator`, lists of oids by a space.
 */
export const nameSeparator = '\x1f';

/** Oids from here on belong to objects that are not PostgreSQL's own (FirstNormalObjectId). */
export const firstUserOid = 16384;

export interface CatalogRows {
  readonly functions: readonly FunctionRow[];
  /** Of users' aggregates the functions that they are made of. */
  readonly aggregates: readonly (readonly [oid: number, functions: string])[];
  readonly typeNames: readonly NamesRow[];
  readonly types: readonly TypeRow[];
  /** Users' casts. */
  readonly casts: readonly CastRow[];
  readonly operatorNames: readonly NamesRow[];
  readonly operators: readonly OperatorRow[];
  /** Functions of users that sort or hash values of a type. */
  readonly support: readonly (readonly [leftType: number, rightType: number, fn: number])[];
  readonly relationNames: readonly NamesRow[];
  readonly relations: readonly RelationRow[];
  readonly trees: readonly TreeRow[];
  /** Settings that no session can change. */
  readonly settings: readonly (readonly [name: string])[];
}

export type NamesRow = readonly [schema: string, names: string];

/** `signature`: of users' functions the types that go in and come out; `ofRow`: f(t) may be `t.f`. */
export type FunctionRow = readonly [
  oid: number,
  schema: string,
  name: string,
  volatility: 'i' | 's' | 'v',
  signature: string | null,
  ofRow: boolean,
];

/** Of users' types. `base`: of domains, arrays and ranges the type underneath. */
export type TypeRow = readonly [
  oid: number,
  schema: string,
  name: string,
  array: number,
  base: number,
  functions: string,
];

export type CastRow = readonly [source: number, target: number, fn: number, isImplicit: boolean];

/** Of users' operators; `left` is 0 for a prefix operator. */
export type OperatorRow = readonly [
  schema: string,
  name: string,
  left: number,
  right: number,
  functions: string,
  oid: number,
  /** PostgreSQL itself has operators of that name. */
  isCommon: boolean,
];

/** Relations, and what inherits them or is their partition, that are not plain by themselves. */
export type RelationRow = readonly [
  oid: number,
  schema: string,
  name: string,
  kind: 'unlogged' | 'foreign' | 'server-fact',
];

/**
 * What an expression of the catalog refers to, as words of a tag and an oid: `fu` function, `ag`
 * aggregate, `wi` window function, `op` operator, `rel` relation, `res` type that something is made
 * into; and `hastrue` for FOR UPDATE.
 */
export type TreeRow = readonly [
  owner: number,
  /** What of the owner it is: the query of a view, a policy for reading, a check of a domain. */
  kind: 'view' | 'policy' | 'domain',
  schema: string,
  name: string,
  references: string,
];

/** A relation that has columns of certain types, or whose rows are one of them. */
export type ColumnRow = readonly [
  relation: number,
  schema: string,
  name: string,
  isRelation: boolean,
  rowType: number,
  rowArray: number,
];
