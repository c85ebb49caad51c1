import fc from 'fast-check';
import type { Command, Feature } from './command.ts';
import {
  B,
  CP,
  CS,
  copyEnd,
  copyGivenUp,
  DP,
  DS,
  d,
  E,
  earlyS,
  H,
  type Message,
  P,
  Q,
  S,
} from './message.ts';
import { anyStatement } from './statements.ts';

type Piece = readonly Command[];

const command = (feature: Feature, messages: readonly Message[]): Command => ({
  feature,
  messages,
  other: null,
});

const int4 = 23;
const textType = 25;

const names = fc.constantFrom('s1', 's2', '');
const portals = fc.constantFrom('', '', 'p', 'q');

/** Texts with parameters, and what is given for them: right, wrong, or too many. */
const withParams: fc.Arbitrary<readonly [string, readonly (string | null)[]]> = fc.constantFrom(
  ['select $1::int + 1', ['1']],
  ['select v from t where id = $1', ['2']],
  ['insert into t values ($1, $2)', ['11', 'eleven']],
  ['insert into t values ($1, $2) returning *', ['12', null]],
  ['update t set v = $1 where id = $2', ['new', '1']],
  ['select $1::text, $2::int', ['x', null]],
  ['select generate_series(1, $1::int)', ['6']],
  ['delete from t where id = $1', ['2']],
  ['select 1/$1::int', ['0']],
  ['select $1::int', ['not a number']],
  ['select $1::int', []],
  ["select set_config('my.x', $1, false)", ['given']],
  ['select set_config($1, $2, true)', ['my.x', 'local']],
  ['select * from t where v = any($1::text[]) order by id', ['{one,two}']],
) as fc.Arbitrary<readonly [string, readonly (string | null)[]]>;

const formats = fc.constantFrom<readonly number[]>([], [], [], [1], [0]);

function unnamedRun(leftOut: ReadonlySet<Feature>): fc.Arbitrary<Message[]> {
  return fc
    .tuple(anyStatement(leftOut), fc.constantFrom(0, 0, 0, 1, 2), fc.boolean(), formats)
    .map(([{ sql }, rows, describes, resultFormats]) => [
      P('', sql),
      B('', resultFormats.length > 0 ? { resultFormats } : {}),
      ...(describes ? [DP()] : []),
      E('', rows),
    ]);
}

const runWithParams: fc.Arbitrary<Message[]> = fc
  .tuple(withParams, names, formats, fc.boolean())
  .map(([[sql, params], name, resultFormats, describes]) => [
    P(name, sql),
    ...(describes ? [DS(name)] : []),
    B(name, { params, ...(resultFormats.length > 0 && { resultFormats }) }),
    E(),
  ]);

const typed: fc.Arbitrary<Message[]> = fc.constantFrom(
  [P('', 'select $1', [int4]), B('', { params: ['7'], resultFormats: [1] }), DP(), E()],
  [P('', 'select $1, $2', [textType, int4]), DS()],
  [P('', 'select $1', [int4]), B('', { params: ['\0\0\0\u0007'], paramFormats: [1] }), E()],
  [P('', 'select $1', [4_000_000_000]), DS()],
);

function parseNamed(leftOut: ReadonlySet<Feature>): fc.Arbitrary<Message[]> {
  return fc.tuple(names, anyStatement(leftOut)).map(([name, { sql }]) => [P(name, sql)]);
}

const parts: fc.Arbitrary<Message[]> = fc.oneof(
  fc.tuple(names, portals).map(([name, portal]) => [B(name, { portal })]),
  fc
    .tuple(names, portals, fc.constantFrom(0, 1, 2))
    .map(([name, portal, rows]) => [B(name, { portal }), E(portal, rows)]),
  // Not the unnamed one: PostgreSQL 18 crashes over it in a transaction that a Query has failed.
  fc
    .tuple(fc.constantFrom('p', 'q'), fc.constantFrom(0, 1, 3))
    .map(([portal, rows]) => [E(portal, rows)]),
  names.map((name) => [DS(name)]),
  fc.constantFrom('', 'p', 'c', 'd', 'h').map((name) => [DP(name)]),
  names.map((name) => [CS(name)]),
  fc.constantFrom('', 'p', 'q', 'c', 'h').map((name) => [CP(name)]),
  names.map((name) => [B(name, { params: ['1'] }), DP(), E()]),
  fc.constantFrom('c', 'd', 'h').map((name) => [E(name, 1)]),
);

function batch(without: ReadonlySet<Feature>): fc.Arbitrary<Message[]> {
  // Within one batch that is a documented difference.
  const leftOut = new Set<Feature>([...without, 'shared-names']);
  return fc
    .array(
      fc.oneof(
        { weight: 5, arbitrary: unnamedRun(leftOut) },
        { weight: 3, arbitrary: runWithParams },
        { weight: 2, arbitrary: parseNamed(leftOut) },
        { weight: 4, arbitrary: parts },
        { weight: 1, arbitrary: typed },
      ),
      { minLength: 1, maxLength: 4 },
    )
    .map((found) => found.flat());
}

/** Batches that each end with a Sync. */
export function extendedPiece(leftOut: ReadonlySet<Feature>): fc.Arbitrary<Piece> {
  return fc
    .array(batch(leftOut), { minLength: 1, maxLength: 3 })
    .map((batches) => batches.map((messages) => command('statement', [...messages, S])));
}

/** A batch that is flushed in parts, the last of which ends with Sync. */
export function flushedPiece(leftOut: ReadonlySet<Feature>): fc.Arbitrary<Piece> {
  return fc
    .array(batch(leftOut), { minLength: 1, maxLength: 3 })
    .map((batches) => [
      ...batches.map((messages) => command('flush', [...messages, H])),
      command('flush', [S]),
    ]);
}

/** Many batches and queries in one write. */
export function pipelinePiece(leftOut: ReadonlySet<Feature>): fc.Arbitrary<Piece> {
  const request = fc.oneof(
    batch(leftOut).map((messages) => [...messages, S]),
    anyStatement(leftOut).map(({ sql }) => [Q(sql)]),
  );
  return fc
    .array(request, { minLength: 2, maxLength: 6 })
    .map((requests) => [command('pipeline', requests.flat())]);
}

const copies = fc.constantFrom(
  'copy t from stdin',
  'copy t (id) from stdin with csv',
  'copy missing from stdin',
  'copy t from stdin with binary',
  'select 1; copy t from stdin; select 2',
  'copy t from stdin where id > 100',
);
const data = fc.constantFrom<readonly Message[]>(
  [d('101\tx\n102\t\\N\n')],
  [],
  [d('10'), d('3\tsp'), d('lit\n')],
  [d('1\tduplicate\n')],
  [d('not a number\tx\n')],
  [d('104\tx\n'), d('bad\n'), d('105\ty\n')],
  [d('106\n107\n')],
);
const copyEnds = fc.constantFrom(copyEnd, copyEnd, copyGivenUp);

/** COPY in both directions, with all that can go wrong on its way. */
export const copyPiece: fc.Arbitrary<Piece> = fc.oneof(
  fc
    .constantFrom(
      'copy t to stdout',
      'copy (select * from t order by id) to stdout with csv header',
      'copy t to stdout with binary',
      'copy (select 10 / (3 - i) from generate_series(1, 5) i) to stdout',
      'copy missing to stdout',
      "copy (insert into t values (21, 'x') returning id) to stdout",
      'copy t to stdout; select 1',
    )
    .map((sql) => [command('copy', [Q(sql)])]),
  fc
    .tuple(copies, data, copyEnds)
    .map(([sql, rows, end]) => [command('copy', [Q(sql), ...rows, end])]),
  fc
    .tuple(copies, data, copyEnds, fc.boolean())
    .map(([sql, rows, end, isEarly]) => [
      command('copy', [P('', sql), B(), E(), ...(isEarly ? [earlyS] : []), ...rows, end, S]),
    ]),
  fc
    .constantFrom('copy t to stdout', 'copy (select 1/0) to stdout')
    .map((sql) => [command('copy', [P('', sql), B(), DP(), E(), S])]),
);
