import {
  B,
  CP,
  CS,
  DP,
  DS,
  E,
  P,
  pinned,
  q,
  run,
  S,
  type Script,
  script,
  send,
  x,
} from './script.ts';

const int4 = 23;
const text = 25;
const bytea = 17;

const int4Bytes = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};

/** Names are the bytes of the wire. */
const green = Buffer.from('grün').toString('latin1');

const unnamed: readonly Script[] = [
  script(
    'run unnamed',
    x(run('select 1')),
    x(run('select $1::int + 1', '41')),
    x(run('select $1::text', null)),
  ),
  script(
    'writes',
    x(run('insert into t values (4, $1) returning *', 'four')),
    x(run('select v from t where id = 4')),
  ),
  script('empty text', x(run('')), x(P('', ''), DS()), x(P('e', ''), B('e'), E())),
  script('nothing but Sync', x(), x(), send('ZZZ', S, S, S)),
  script(
    'parse alone, bind later',
    x(P('', 'select $1::int')),
    x(B('', { params: ['7'] }), E()),
    x(B('', { params: ['8'] }), E()),
  ),
  script(
    'unnamed statement is gone after a query',
    x(P('', 'select 1')),
    q('select 2'),
    x(B(), E()),
  ),
  script(
    'unnamed statement replaced',
    x(P('', 'select 1'), P('', 'select 2'), B(), E()),
    x(B(), E()),
  ),
  script(
    'unnamed statement stays after a failed parse',
    x(P('', 'select 1')),
    x(P('', 'selec')),
    x(B(), E()),
  ),
  script('close unnamed', x(P('', 'select 1')), x(CS()), x(B(), E()), x(CS()), x(CP())),
  script(
    'describe',
    x(P('', 'select $1::int as a, $2 || v from t'), DS()),
    x(P('', 'insert into t values ($1, $2)'), DS()),
    x(
      P('', 'insert into t values ($1, $2) returning id'),
      DS(),
      B('', { params: ['30', 'x'] }),
      DP(),
      E(),
    ),
  ),
  script('without describe', x(P('', 'select 1'), B(), E())),
  script('bind without execute', x(P('', 'select 1'), B(), DP()), x(P('', 'select 1'), B(), CP())),
  script(
    'execute twice',
    x(P('', 'select 1'), B(), E(), E()),
    x(P('', "insert into t values (40, 'x')"), B(), E(), E()),
  ),
  script('several statements are refused', x(P('', 'select 1; select 2'), B(), E()), q('select 1')),
];

const formats: readonly Script[] = [
  script(
    'binary results',
    x(
      P('', "select 1::int, 2::int8, true, null::int, 'abc'"),
      B('', { resultFormats: [1] }),
      DP(),
      E(),
    ),
    x(P('', 'select 1, 2'), B('', { resultFormats: [0, 1] }), DP(), E()),
  ),
  script(
    'binary parameters',
    x(
      P('', 'select $1 + 1, $2', [int4, text]),
      B('', { params: [int4Bytes(41), 'two'], paramFormats: [1, 0], resultFormats: [1, 0] }),
      DP(),
      E(),
    ),
  ),
  script(
    'bytea',
    x(
      P('', 'select $1::bytea, length($1)', [bytea]),
      B('', { params: [Buffer.from([0, 1, 2, 255])], paramFormats: [1], resultFormats: [1] }),
      E(),
    ),
    x(P('', 'select $1::bytea', [bytea]), B('', { params: ['\\x00ff'] }), E()),
  ),
  script('NULLs', x(run('select $1::int, $2::text, $3::int is null', null, null, null))),
  script(
    'large parameters',
    x(run('select length($1::text)', 'x'.repeat(100_000))),
    x(run('select length($1::text), md5($2::text)', 'x'.repeat(3_000_000), 'y'.repeat(2_000_000))),
    q('select 1'),
  ),
  script(
    'large parameters of a named statement',
    x(P('s1', 'select length($1::text)')),
    x(B('s1', { params: ['x'.repeat(3_000_000)] }), DP(), E()),
    x(B('s1', { params: ['x'.repeat(1_200_000)] }), E(), B('s1', { params: ['y'] }), E()),
  ),
  script(
    'large parameters in a write',
    x(run('insert into t values (50, $1)', 'x'.repeat(3_000_000))),
    x(run('select length(v) from t where id = 50')),
  ),
  pinned(script('large parse', x(run(`select '${'x'.repeat(1_500_000)}'`)), q('select 1'))),
  pinned(
    script(
      'large parse of a named statement',
      x(P('s1', `select '${'x'.repeat(1_500_000)}', $1::int`)),
      x(B('s1', { params: ['1'] }), E()),
      x(CS('s1')),
      x(B('s1', { params: ['1'] }), E()),
    ),
  ),
  script(
    'many parameters',
    x(
      run(
        `select ${Array.from({ length: 1000 }, (_, i) => `$${i + 1}::int`).join(' + ')}`,
        ...Array.from({ length: 1000 }, (_, i) => String(i)),
      ),
    ),
  ),
];

const named: readonly Script[] = [
  script(
    'prepare and bind in later batches',
    x(P('s1', 'select $1::int * 2')),
    x(B('s1', { params: ['1'] }), E()),
    x(B('s1', { params: ['2'] }), DP(), E()),
    x(DS('s1')),
    x(B('s1', { params: ['3'] }), E()),
  ),
  script(
    'prepare, bind and execute at once',
    x(P('s1', 'select 5'), DS('s1'), B('s1'), DP(), E()),
    x(B('s1'), E()),
  ),
  script(
    'two names for one text',
    x(P('s1', 'select 1')),
    x(P('s2', 'select 1')),
    x(CS('s1')),
    x(B('s2'), E()),
    x(B('s1'), E()),
  ),
  script(
    'name taken',
    x(P('s1', 'select 1')),
    x(P('s1', 'select 2')),
    x(B('s1'), E()),
    x(P('s1', 'select 1')),
    x(P('s3', 'select 3'), P('s3', 'select 4'), B('s3'), E()),
    x(B('s3'), E()),
  ),
  script(
    'name taken, and more that is wrong',
    x(P('s1', 'select $1::int')),
    x(P('s1', 'selec')),
    x(P('s1', 'select * from missing')),
    x(P('s1', 'select 1'), B('s1'), E()),
    x(B('s1', { params: ['1'] }), E()),
    q('begin'),
    q('select 1/0'),
    x(P('s1', 'select 1')),
    x(P('s1', 'rollback')),
    x(run('rollback'), P('s1', 'select 1')),
  ),
  script(
    'wrong number of parameters',
    x(P('s1', 'select $1::int')),
    x(B('s1'), E()),
    x(B('s1', { params: ['1', '2'] }), E()),
    x(P('s2', 'select $1::int'), B('s2', { params: ['1', '2'] }), E()),
    x(P(green, 'select 1'), B(green, { params: ['1'] }), E()),
    x(B('s1', { params: ['3'] }), E()),
  ),
  script(
    'parse behind the end of a failed transaction',
    x(P('s1', 'select 1')),
    x(CS('s1')),
    q('begin'),
    q('select 1/0'),
    x(run('commit'), P('s1', 'select 1'), B('s1'), E()),
    x(B('s1'), E()),
  ),
  script(
    'unknown names',
    x(B('missing'), E()),
    x(DS('missing')),
    x(CS('missing')),
    x(DP('missing')),
    x(E('missing')),
    x(CP('missing')),
  ),
  script(
    'close and prepare other text',
    x(P('s1', 'select 1'), B('s1'), E()),
    x(CS('s1')),
    x(P('s1', "select 'other'"), B('s1'), E()),
    x(B('s1'), DP(), E()),
  ),
  script(
    'close and prepare again at once',
    x(P('s1', 'select 1')),
    x(CS('s1'), P('s1', 'select 2'), DS('s1'), B('s1'), E()),
    x(B('s1'), E()),
    x(CS('s1'), B('s1'), E()),
  ),
  script(
    'writes',
    x(P('i', 'insert into t values ($1, $2)')),
    x(B('i', { params: ['60', 'a'] }), E()),
    x(B('i', { params: ['61', 'b'] }), E(), B('i', { params: ['62', 'c'] }), E()),
    x(B('i', { params: ['60', 'again'] }), E()),
    x(run('select count(*) from t')),
  ),
  script(
    'reads and writes by turns',
    x(P('r', 'select count(*) from t')),
    x(P('w', "insert into t values ($1, 'w')")),
    x(B('r'), E()),
    x(B('w', { params: ['63'] }), E()),
    x(B('r'), E()),
    x(B('w', { params: ['64'] }), E(), B('r'), E()),
    x(B('r'), E()),
  ),
  script('statements outlive a query', x(P('s1', 'select 1')), q('select 2'), x(B('s1'), E())),
  script(
    'more than are kept',
    ...[0, 1, 2, 3, 4, 5, 6, 7].map((n) => x(P(`e${n}`, `select ${n}, $1::int`), DS(`e${n}`))),
    ...[3, 0, 7, 1, 5, 3, 3, 6, 2, 4].map((n) => x(B(`e${n}`, { params: [String(n)] }), DP(), E())),
  ),
  script(
    'more than are kept, in one batch',
    x(...[0, 1, 2, 3, 4, 5, 6].flatMap((n) => [P(`e${n}`, `select ${n}`), B(`e${n}`), E()])),
    x(...[6, 0, 5, 1, 4, 2, 3].flatMap((n) => [B(`e${n}`), E()])),
  ),
  script(
    'DEALLOCATE',
    x(P('s1', 'select 1')),
    x(P('s2', 'select 2')),
    q('deallocate s1'),
    x(B('s1'), E()),
    x(B('s2'), E()),
    q('deallocate s1'),
    q('deallocate prepare s2'),
    x(B('s2'), E()),
    q('deallocate "s2"'),
  ),
  script(
    'DEALLOCATE ALL',
    x(P('s1', 'select 1')),
    x(P('s2', 'select 2')),
    q('deallocate all'),
    x(B('s1'), E()),
    x(B('s2'), E()),
    x(P('s1', 'select 3'), B('s1'), E()),
  ),
  script(
    'DEALLOCATE by extended messages',
    x(P('s1', 'select 1')),
    x(P('', 'deallocate s1'), B(), E()),
    x(B('s1'), E()),
    x(P('s1', 'select 2')),
    x(P('', 'deallocate all'), B(), E()),
    x(B('s1'), E()),
  ),
  script(
    'DEALLOCATE in a transaction',
    x(P('s1', 'select 1')),
    q('begin'),
    q('deallocate s1'),
    x(B('s1'), E()),
    q('rollback'),
    x(B('s1'), E()),
  ),
  script(
    'DISCARD ALL',
    x(P('s1', 'select 1')),
    x(P('', 'select 2')),
    q('discard all'),
    x(B('s1'), E()),
    x(B(), E()),
    x(P('s1', 'select 3'), B('s1'), E()),
    q('discard plans'),
    x(B('s1'), E()),
  ),
  script(
    'statement of changed table',
    x(P('s1', 'select * from t where id = 1')),
    x(B('s1'), E()),
    q('alter table t add column w int'),
    x(B('s1'), E()),
    x(B('s1'), E()),
    x(CS('s1')),
    x(P('s1', 'select * from t where id = 1'), B('s1'), E()),
  ),
  script(
    'statement of a table that goes',
    q('create table going (a int)'),
    x(P('s1', 'select * from going')),
    q('drop table going'),
    x(B('s1'), E()),
    x(DS('s1')),
    q('create table going (a int)'),
    x(B('s1'), E()),
  ),
  script(
    'prepare in a transaction that fails',
    q('begin'),
    x(P('s1', 'select 1')),
    q('select 1/0'),
    x(P('s2', 'select 2')),
    x(B('s1'), E()),
    q('rollback'),
    x(B('s1'), E()),
    x(B('s2'), E()),
  ),
];

export const extendedScripts: readonly Script[] = [...unnamed, ...formats, ...named];
