import { firstUserOid } from '../router/catalog-rows.ts';

/** chr(31): nameSeparator. */
const names = (column: string) => `string_agg(${column}::text, chr(31))`;
const oids = (...columns: string[]) =>
  `concat_ws(' ', ${columns.map((column) => `NULLIF(${column}::oid, 0)`).join(', ')})`;
const summary = (table: string, where = 'true') =>
  `(SELECT concat(count(*), '/', sum(xmin::text::int8)) FROM pg_catalog.pg_${table} WHERE ${where})`;

/** Temporary objects are of no interest: their sessions are pinned. */
const isShared = "relpersistence <> 't'";

/**
 * Changes with every row that is added, changed or removed in what the queries below read. Cheap:
 * nothing is sent, and no row leaves its table.
 */
export const fingerprintSql = `
  SELECT concat_ws(' ', ${[
    summary('proc'),
    summary('class', isShared),
    summary('namespace', "nspname !~ '^pg_(toast_)?temp_'"),
    summary('type', "typtype <> 'c' AND typelem = 0"),
    summary('rewrite'),
    summary('policy'),
    summary('constraint', 'contypid <> 0'),
    summary('cast'),
    summary('operator'),
    summary('aggregate'),
    summary('amproc'),
    summary('inherits'),
  ].join(', ')})`;

/** OID of set_config() (pg_proc.dat). */
const setConfigOid = 2078;

/**
 * What a function may do whatever it says of itself: one that is not volatile must not execute SET
 * (CommandIsReadOnly, utility.c), but may call set_config(). The body of a function in SQL may be a
 * tree (prosqlbody), which servers before PostgreSQL 14 do not have.
 */
const volatility = `
  CASE WHEN p.oid >= ${firstUserOid} AND p.provolatile <> 'v'
            AND (p.prosrc ~* 'set_config'
                 OR to_jsonb(p) ->> 'prosqlbody' LIKE '%:funcid ${setConfigOid} %')
       THEN 'v' ELSE p.provolatile END`;

/** All candidates of a name are wanted: which one is meant depends on types and search_path. */
const functions = `
  SELECT p.oid, n.nspname, p.proname, ${volatility},
         CASE WHEN p.oid >= ${firstUserOid}
              THEN concat_ws(' ', p.prorettype::text,
                             coalesce(array_to_string(p.proallargtypes, ' '), p.proargtypes::text))
         END,
         p.oid >= ${firstUserOid} AND p.pronargs > 0 AND p.pronargs - p.pronargdefaults <= 1
         AND (t.typtype IN ('c', 'd') OR t.typname IN ('record', 'any', 'anyelement', 'anynonarray',
                                                       'anycompatible', 'anycompatiblenonarray'))
  FROM pg_proc p
  JOIN pg_namespace n ON n.oid = p.pronamespace
  LEFT JOIN pg_type t ON t.oid = p.proargtypes[0]`;

const aggregates = `
  SELECT aggfnoid::oid, ${oids(
    'aggtransfn',
    'aggfinalfn',
    'aggcombinefn',
    'aggserialfn',
    'aggdeserialfn',
    'aggmtransfn',
    'aggminvtransfn',
    'aggmfinalfn',
  )}
  FROM pg_aggregate WHERE aggfnoid::oid >= ${firstUserOid}`;

/** The row types of relations are known by the relations' names. */
const typeNames = `
  SELECT n.nspname, ${names('t.typname')}
  FROM pg_type t
  JOIN pg_namespace n ON n.oid = t.typnamespace
  LEFT JOIN pg_type e ON e.oid = t.typelem
  LEFT JOIN pg_class c
    ON c.oid = CASE WHEN t.typrelid <> 0 THEN t.typrelid ELSE e.typrelid END
  WHERE c.oid IS NULL OR c.relkind = 'c'
  GROUP BY 1`;

const types = `
  SELECT t.oid, n.nspname, t.typname, t.typarray,
         CASE WHEN t.typtype = 'd' THEN t.typbasetype WHEN t.typtype IN ('r', 'm') THEN r.rngsubtype
              ELSE t.typelem END,
         ${oids(
           't.typinput',
           't.typoutput',
           't.typreceive',
           't.typsend',
           't.typmodin',
           't.typmodout',
           'r.rngcanonical',
           'r.rngsubdiff',
         )}
  FROM pg_type t
  JOIN pg_namespace n ON n.oid = t.typnamespace
  LEFT JOIN pg_range r ON t.oid IN (r.rngtypid, r.rngmultitypid)
  WHERE t.oid >= ${firstUserOid} AND t.typtype <> 'c' AND t.typcategory <> 'A'`;

const casts = `
  SELECT castsource, casttarget, castfunc, castcontext = 'i'
  FROM pg_cast WHERE oid >= ${firstUserOid} AND castfunc <> 0`;

const operatorNames = `
  SELECT n.nspname, ${names('o.oprname')}
  FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
  GROUP BY 1`;

const operators = `
  SELECT n.nspname, o.oprname, o.oprleft, o.oprright,
         ${oids('o.oprcode', 'o.oprrest', 'o.oprjoin')}, o.oid,
         EXISTS (SELECT FROM pg_operator c WHERE c.oprname = o.oprname AND c.oid < ${firstUserOid})
  FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
  WHERE o.oid >= ${firstUserOid}`;

const support = `
  SELECT amproclefttype, amprocrighttype, amproc::oid
  FROM pg_amproc WHERE amproc::oid >= ${firstUserOid}`;

const relationNames = `
  SELECT n.nspname, ${names('c.relname')}
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S', 't') AND c.${isShared}
  GROUP BY 1`;

/** A query of a parent reads its children. */
const relations = `
  WITH RECURSIVE special(oid, kind) AS (
    SELECT oid, CASE WHEN relpersistence = 'u' THEN 'unlogged' WHEN relkind = 'f' THEN 'foreign'
                     ELSE 'server-fact' END
    FROM pg_class
    WHERE relkind IN ('r', 'p', 'm', 'f', 'S')
      AND (relpersistence = 'u' OR relkind IN ('f', 'S') AND ${isShared})
    UNION
    SELECT i.inhparent, s.kind FROM special s JOIN pg_inherits i ON i.inhrelid = s.oid
  )
  SELECT c.oid, n.nspname, c.relname, s.kind
  FROM special s
  JOIN pg_class c ON c.oid = s.oid
  JOIN pg_namespace n ON n.oid = c.relnamespace`;

/** The tags of TreeRow are beginnings of the fields' names in outfuncs.c. */
const references = `
  SELECT string_agg(DISTINCT m[1] || m[2], ' ')
  FROM regexp_matches(tree,
    ':(fu|ag|wi|op|rel|res|has)(?:ncid|gfnoid|nfnoid|no|id|ulttype|ForUpdate) (\\w+)', 'g') m`;

const trees = (firstOid: number) => `
  SELECT owner, kind, nspname, relname, coalesce((${references}), '')
  FROM (
    SELECT r.ev_class AS owner, 'view' AS kind, n.nspname, c.relname, r.ev_action::text AS tree
    FROM pg_rewrite r
    JOIN pg_class c ON c.oid = r.ev_class
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE r.ev_type = '1' AND c.relkind <> 'm' AND c.${isShared}
    UNION ALL
    SELECT p.polrelid, 'policy', n.nspname, c.relname, p.polqual::text
    FROM pg_policy p
    JOIN pg_class c ON c.oid = p.polrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE p.polcmd IN ('r', '*') AND p.polqual IS NOT NULL
    UNION ALL
    SELECT contypid, 'domain', '', '', conbin::text
    FROM pg_constraint WHERE contypid <> 0 AND conbin IS NOT NULL
  ) AS expressions
  WHERE owner >= ${firstOid}`;

const settings = `
  SELECT lower(name) FROM pg_settings WHERE context NOT IN ('user', 'superuser')`;

/** In the order of `catalogParts`, in one snapshot. `firstTree`: older views are known already. */
export function catalogSql(firstTree: number): string {
  return [
    'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY',
    'SET LOCAL search_path = pg_catalog',
    functions,
    aggregates,
    typeNames,
    types,
    casts,
    operatorNames,
    operators,
    support,
    relationNames,
    relations,
    trees(firstTree),
    settings,
    'COMMIT',
  ].join(';');
}

/** The names of what catalogSql() returns; null: nothing. */
export const catalogParts = [
  null,
  null,
  'functions',
  'aggregates',
  'typeNames',
  'types',
  'casts',
  'operatorNames',
  'operators',
  'support',
  'relationNames',
  'relations',
  'trees',
  'settings',
  null,
] as const;

/** $1: an array of types, of which a relation may have columns, or be rows. */
export const columnsSql = `
  SELECT c.oid, n.nspname, c.relname, c.relkind <> 'c', c.reltype, coalesce(t.typarray, 0)
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_type t ON t.oid = c.reltype
  WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p', 'c') AND c.${isShared}
    AND (c.reltype = ANY($1::oid[])
         OR EXISTS (SELECT FROM pg_catalog.pg_attribute a
                    WHERE a.attrelid = c.oid AND a.atttypid = ANY($1::oid[])
                      AND NOT a.attisdropped))`;
