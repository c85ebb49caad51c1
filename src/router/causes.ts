import { functionRule, isServerFactRelation, isServerFactSetting } from './functions.ts';
import type { Catalog, RelationTrait, WriteReason } from './statement.ts';

/** Something in a query that keeps it from being a read. */
export interface Cause {
  readonly reason: WriteReason;
  /** A standby treats it as a READ ONLY transaction of the primary does. */
  readonly replicaSafe: boolean;
  /** Inside a transaction its server answers; the primary is asked where there is a choice. */
  readonly prefersPrimary: boolean;
  /** It is only doubtful, so that a client may ask for a replica. */
  readonly forcible: boolean;
}

/** Refused by a READ ONLY transaction on any server before anything of it runs. */
const refused = (reason: WriteReason): Cause => ({ ...certain(reason), replicaSafe: true });
const certain = (reason: WriteReason): Cause => ({
  reason,
  replicaSafe: false,
  prefersPrimary: false,
  forcible: false,
});
const doubtful = (reason: WriteReason): Cause => ({ ...certain(reason), forcible: true });
/** Each server answers for itself. */
const serverFact = (reason: WriteReason): Cause => ({
  reason,
  replicaSafe: true,
  prefersPrimary: true,
  forcible: true,
});
/** Known to no server, or only since a moment ago: the server that runs it says which. */
const unknown = serverFact;

export const causes = {
  lockingClause: refused('locking-clause'),
  selectInto: refused('select-into'),
  writingCte: refused('writing-cte'),
  sequence: refused('sequence-function'),
  unloggedRelation: certain('unlogged-relation'),
  writingRelation: certain('volatile-relation'),
  primaryOnlyFunction: certain('primary-only-function'),
  serverFactFunction: serverFact('primary-only-function'),
  serverFactRelation: serverFact('primary-only-relation'),
  serverFactSetting: serverFact('primary-only-setting'),
  foreignRelation: doubtful('foreign-relation'),
  volatileFunction: doubtful('volatile-function'),
  volatileRelation: doubtful('volatile-relation'),
  volatileOperator: doubtful('volatile-operator'),
  volatileType: doubtful('volatile-type'),
  unknownFunction: unknown('unknown-function'),
  unknownRelation: unknown('unknown-relation'),
  unknownOperator: unknown('unknown-operator'),
  unknownType: unknown('unknown-type'),
  notLoaded: doubtful('catalog-not-loaded'),
} as const satisfies Record<string, Cause>;

/** The clearest first: a query has the reason of the first that was found. */
const weight: readonly Cause[] = [
  causes.selectInto,
  causes.writingCte,
  causes.lockingClause,
  causes.primaryOnlyFunction,
  causes.sequence,
  causes.unloggedRelation,
  causes.serverFactFunction,
  causes.serverFactRelation,
  causes.serverFactSetting,
  causes.volatileFunction,
  causes.writingRelation,
  causes.volatileRelation,
  causes.foreignRelation,
  causes.volatileOperator,
  causes.volatileType,
  causes.unknownFunction,
  causes.unknownRelation,
  causes.unknownOperator,
  causes.unknownType,
  causes.notLoaded,
];

/** Refused at their start, so that nothing else in the query runs in a READ ONLY transaction. */
const refusedAtOnce: ReadonlySet<Cause> = new Set([
  causes.selectInto,
  causes.writingCte,
  causes.lockingClause,
]);

/** All causes found in one query as one, or null: it is a read. */
export function heaviest(found: ReadonlySet<Cause>): Cause | null {
  const first = weight.find((cause) => found.has(cause));
  if (first === undefined) return null;
  const all = [...found];
  return {
    reason: first.reason,
    replicaSafe: refusedAtOnce.has(first) || all.every(({ replicaSafe }) => replicaSafe),
    prefersPrimary: all.some(({ prefersPrimary }) => prefersPrimary),
    forcible: all.every(({ forcible }) => forcible),
  };
}

/** A name as the grammar has it: the last part, and the schema before it if there is one. */
export interface Name {
  readonly schema: string | null;
  readonly name: string;
}

export function functionCause({ schema, name }: Name, catalog: Catalog): Cause | null {
  switch (functionRule(name)) {
    case 'primary-only':
      return causes.primaryOnlyFunction;
    case 'server-fact':
      return causes.serverFactFunction;
    case 'sequence':
      return causes.sequence;
    case 'runs-text':
      return causes.volatileFunction;
    case null:
  }
  if (!catalog.loaded) return causes.notLoaded;
  const volatility = catalog.volatility(schema, name);
  if (volatility !== null) return volatility === 'volatile' ? causes.volatileFunction : null;
  // mytype(x) is a cast where there is no such function (func_get_detail).
  return catalog.type(schema, name) === null
    ? causes.unknownFunction
    : typeCause({ schema, name }, catalog);
}

const ofTrait: Readonly<Record<RelationTrait, Cause | null>> = {
  plain: null,
  'server-fact': causes.serverFactRelation,
  foreign: causes.foreignRelation,
  volatile: causes.volatileRelation,
  unlogged: causes.unloggedRelation,
  writing: causes.writingRelation,
};

/** `isLocal`: the query itself defines the name, with WITH. */
export function relationCause(
  { schema, name }: Name,
  isLocal: boolean,
  catalog: Catalog,
): Cause | null {
  if (isServerFactRelation(name)) return causes.serverFactRelation;
  if (!catalog.loaded) return isLocal ? null : causes.notLoaded;
  const trait = catalog.relation(schema, name);
  if (trait !== null) return ofTrait[trait];
  return isLocal ? null : causes.unknownRelation;
}

export function typeCause({ schema, name }: Name, catalog: Catalog): Cause | null {
  if (!catalog.loaded) return causes.notLoaded;
  const type = catalog.type(schema, name);
  if (type === null) return causes.unknownType;
  return type === 'volatile' ? causes.volatileType : null;
}

export function operatorCause({ schema, name }: Name, catalog: Catalog): Cause | null {
  if (!catalog.loaded) return causes.notLoaded;
  const operator = catalog.operator(schema, name);
  if (operator === null) return causes.unknownOperator;
  return operator === 'volatile' ? causes.volatileOperator : null;
}

/** Of SHOW and current_setting(). `name` in lower case; null: it is not known before it runs. */
export function settingCause(name: string | null, catalog: Catalog): Cause | null {
  const isFact = name === null || isServerFactSetting(name) || catalog.isServerSetting(name);
  return isFact ? causes.serverFactSetting : null;
}
