import fc from 'fast-check';
import type { Command, Feature, GeneratedScript, OtherAction } from './command.ts';
import { copyPiece, extendedPiece, flushedPiece, pipelinePiece } from './extended-pieces.ts';
import { call, type Message, Q, X } from './message.ts';
import { anyStatement, statementOf } from './statements.ts';

type Piece = readonly Command[];

const one = (feature: Feature, ...messages: Message[]): Command => ({
  feature,
  messages,
  other: null,
});

/** Mistakes come as often as they do by chance; what belongs together comes together more often. */
function simplePieces(leftOut: ReadonlySet<Feature>): fc.Arbitrary<Piece> {
  return anyStatement(leftOut).map(({ feature, sql }) => [one(feature, Q(sql))]);
}

function multiPiece(leftOut: ReadonlySet<Feature>): fc.Arbitrary<Piece> {
  return fc
    .array(anyStatement(leftOut), { minLength: 2, maxLength: 4 })
    .map((parts) => [one('multi', Q(parts.map(({ sql }) => sql).join('; ')))]);
}

/** BEGIN, what stands in the transaction, and its end. */
function transactionPiece(leftOut: ReadonlySet<Feature>): fc.Arbitrary<Piece> {
  const begin = fc.constantFrom(
    'begin',
    'begin read only',
    'begin isolation level repeatable read',
    'begin; select 1',
  );
  const end = fc.constantFrom('commit', 'rollback', 'commit and chain', 'commit; select 2');
  const inside = fc.array(
    fc.oneof(
      { weight: 4, arbitrary: simplePieces(leftOut) },
      ...(leftOut.has('statement') ? [] : [{ weight: 2, arbitrary: extendedPiece(leftOut) }]),
    ),
    { maxLength: 5 },
  );
  return fc
    .tuple(begin, inside, end)
    .map(([first, pieces, last]) => [
      one('transaction', Q(first)),
      ...pieces.flat(),
      one('transaction', Q(last)),
    ]);
}

/** Some work with one kind of object, in a row. */
function seriesPiece(leftOut: ReadonlySet<Feature>): fc.Arbitrary<Piece> {
  const kinds = (
    [
      'temp',
      'cursor',
      'held-cursor',
      'sql-prepare',
      'advisory',
      'setting',
      'savepoint',
      'ddl',
      'role',
      'two-phase',
      'listen',
    ] as const
  ).filter((feature) => !leftOut.has(feature));
  return fc
    .constantFrom(...kinds)
    .chain((feature) => fc.array(statementOf(feature), { minLength: 2, maxLength: 5 }))
    .map((parts) => parts.map(({ feature, sql }) => one(feature, Q(sql))));
}

/** Of pg_proc.dat: int4pl, int4div, setval(regclass, bigint), and one that is not there. */
const callPiece: fc.Arbitrary<Piece> = fc
  .constantFrom(
    call(177, '1', '2'),
    call(154, '1', '0'),
    call(177, '1'),
    call(177, '1', null),
    call(1576, 'sq', '5'),
    call(4_000_000_000),
  )
  .map((message) => [one('call', message)]);

const otherPiece: fc.Arbitrary<Piece> = fc
  .constantFrom<OtherAction>(
    'reads',
    'writes',
    'fails',
    'holds the primary',
    'holds a replica',
    'lets go',
  )
  .map((other) => [{ feature: 'other', messages: [], other }]);

const params: fc.Arbitrary<Record<string, string>> = fc.oneof(
  { weight: 10, arbitrary: fc.constant({}) },
  {
    weight: 3,
    arbitrary: fc.constantFrom<Record<string, string>>(
      { application_name: 'from startup' },
      { TimeZone: 'Asia/Tokyo', DateStyle: 'Postgres, MDY' },
      { search_path: 'public, pg_catalog', application_name: 'with path' },
      { options: '-c my.x=optional --statement-timeout=50s' },
      { client_encoding: 'latin1' },
      { default_transaction_read_only: 'on' },
      { options: '-c default_transaction_isolation=serializable -c geqo=off' },
      { extra_float_digits: '3', client_min_messages: 'warning' },
      { 'my.x': 'direct', statement_timeout: '54321', lock_timeout: '10s' },
    ),
  },
);

/** Parts of a script: some statements, messages, or a session that comes between. */
function pieces(leftOut: ReadonlySet<Feature>): fc.Arbitrary<Piece> {
  const parts: readonly (readonly [Feature, number, fc.Arbitrary<Piece>])[] = [
    ['read', 14, simplePieces(leftOut)],
    ['multi', 3, multiPiece(leftOut)],
    ['transaction', 4, transactionPiece(leftOut)],
    ['read', 4, seriesPiece(leftOut)],
    ['statement', 8, extendedPiece(leftOut)],
    ['flush', 2, flushedPiece(leftOut)],
    ['pipeline', 2, pipelinePiece(leftOut)],
    ['copy', 2, copyPiece],
    ['call', 1, callPiece],
    ['other', 5, otherPiece],
  ];
  return fc.oneof(
    ...parts
      .filter(([feature]) => !leftOut.has(feature))
      .map(([, weight, arbitrary]) => ({ weight, arbitrary })),
  );
}

/** Random scripts without the features that are left out. The same seed makes the same scripts. */
export function scripts(leftOut: ReadonlySet<Feature>): fc.Arbitrary<GeneratedScript> {
  return fc
    .record({
      commands: fc
        .array(pieces(leftOut), { minLength: 1, maxLength: 14, size: 'max' })
        .map((found) => found.flat()),
      delivery: fc.constantFrom<GeneratedScript['delivery']>(
        'stepwise',
        'stepwise',
        'stepwise',
        'at once',
        'shredded',
      ),
      params: leftOut.has('startup') ? fc.constant({}) : params,
      terminates: leftOut.has('terminate') ? fc.constant(false) : fc.nat(7).map((n) => n === 7),
    })
    .map(({ terminates, commands, ...rest }) => ({
      ...rest,
      commands: terminates ? [...commands, one('terminate', X)] : commands,
    }));
}
