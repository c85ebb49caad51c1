import { copyDone, copyFail } from '../../../src/protocol/frontend.ts';
import { B, d, E, H, P, Q, q, run, S, type Script, script, send, stepwise, x } from './script.ts';

const copyIn = 'copy t from stdin';
const rows = d('200\ttwo hundred\n201\t\\N\n');
const broken = d('not a number\tx\n');

const simple: readonly Script[] = [
  script(
    'out',
    q('copy t to stdout'),
    q('copy (select 1, null) to stdout with csv'),
    q('copy t to stdout with binary'),
  ),
  script(
    'a lot out',
    q("copy (select i, repeat('x', 100) from generate_series(1, 20000) i) to stdout"),
    q('select 1'),
  ),
  script(
    'out that fails',
    q('copy (select 10 / (5 - i) from generate_series(1, 10) i) to stdout'),
    q('copy missing to stdout'),
    q('select 1'),
  ),
  script('in', send('G', Q(copyIn)), send('Z', rows, copyDone), q('select * from t order by id')),
  script('in, all at once', send('GZ', Q(copyIn), rows, copyDone), q('select count(*) from t')),
  script('nothing in', send('G', Q(copyIn)), send('Z', copyDone), q('select count(*) from t')),
  script(
    'a lot in',
    send('G', Q(copyIn)),
    send(
      '',
      d(Array.from({ length: 5000 }, (_, i) => `${i + 1000}\t${'x'.repeat(200)}\n`).join('')),
    ),
    send('', d(`9000\t${'y'.repeat(3_000_000)}\n`)),
    send('Z', copyDone),
    q('select count(*), sum(length(v)) from t'),
  ),
  script(
    'in, given up',
    send('G', Q(copyIn)),
    send('Z', rows, copyFail('changed my mind')),
    q('select count(*) from t'),
  ),
  script(
    'in, then select in the same string',
    send('G', Q(`${copyIn}; select count(*) from t`)),
    send('Z', rows, copyDone),
  ),
  script(
    'in twice in one string',
    send('G', Q(`${copyIn}; ${copyIn}`)),
    send('G', d('210\ta\n'), copyDone),
    send('Z', d('211\tb\n'), copyDone),
    q('select count(*) from t'),
  ),
  script('out in a string with others', q('select 1; copy t to stdout; select 2')),
  script(
    'in to a missing table',
    send('Z', Q('copy missing from stdin')),
    send('', rows, copyDone),
    q('select 1'),
  ),
  script(
    'in to a missing table, all at once',
    send('Z', Q('copy missing from stdin'), rows, copyDone),
    q('select 1'),
  ),
  script(
    'server fails before CopyDone',
    send('G', Q(copyIn)),
    send('EZ', broken, broken),
    send('', rows, copyDone),
    q('select count(*) from t'),
  ),
  script(
    'server fails after CopyDone',
    send('G', Q(copyIn)),
    send('Z', d('1\tduplicate\n'), copyDone),
    q('select count(*) from t'),
  ),
  script(
    'Sync and Flush while copying',
    send('G', Q(copyIn)),
    send('', rows, S, H, d('202\tx\n'), S),
    send('Z', copyDone),
    q('select count(*) from t'),
  ),
  stepwise(
    'a query while copying',
    'the server says where it stopped, which depends on what it has read',
    send('G', Q(copyIn)),
    send('Z', Q('select 1')),
    q('select 2'),
  ),
  script(
    'in inside a transaction',
    q('begin'),
    send('G', Q(copyIn)),
    send('Z', rows, copyDone),
    q('select count(*) from t'),
    q('rollback'),
    q('select count(*) from t'),
  ),
  script(
    'in as the first of a transaction, fails',
    q('begin'),
    send('G', Q(copyIn)),
    send('Z', broken, copyDone),
    q('select 1'),
    q('rollback'),
  ),
  script(
    'binary that is none',
    send('G', Q('copy t from stdin with binary')),
    send('Z', rows, copyDone),
    q('select 1'),
  ),
  script(
    'leftover messages',
    send('', d('x'), copyDone),
    q('select 1'),
    send('', copyFail('y')),
    x(run('select 1')),
  ),
];

const extended: readonly Script[] = [
  script(
    'out by extended messages',
    x(run('copy t to stdout')),
    x(P('c', 'copy t to stdout'), B('c'), E()),
    x(B('c'), E()),
  ),
  script(
    'in by extended messages, Sync sent early',
    send('G', P('', copyIn), B(), E(), S),
    send('Z', rows, copyDone, S),
    q('select count(*) from t'),
  ),
  script(
    'in by extended messages, Sync sent late',
    send('G', P('', copyIn), B(), E(), H),
    send('Z', rows, copyDone, S),
    q('select count(*) from t'),
  ),
  script(
    'in by extended messages, all at once',
    send('Z', P('', copyIn), B(), E(), rows, copyDone, S),
    q('select count(*) from t'),
  ),
  script(
    'in by a named statement',
    x(P('c', copyIn)),
    send('G', B('c'), E(), H),
    send('Z', d('220\tx\n'), copyDone, S),
    send('G', B('c'), E(), H),
    send('Z', d('221\tx\n'), copyDone, S),
    q('select count(*) from t'),
  ),
  script(
    'given up',
    send('G', P('', copyIn), B(), E(), H),
    send('EZ', rows, copyFail('no'), S),
    q('select count(*) from t'),
  ),
  script(
    'given up, Sync sent early',
    send('G', P('', copyIn), B(), E(), S),
    send('EZ', rows, copyFail('no'), S),
    q('select count(*) from t'),
  ),
  script(
    'fails at the server',
    send('G', P('', copyIn), B(), E(), H),
    send('E', broken),
    send('Z', rows, copyDone, S),
    q('select count(*) from t'),
  ),
  script(
    'fails at the server, Sync sent early',
    send('G', P('', copyIn), B(), E(), S),
    send('E', broken),
    send('Z', rows, copyDone, S),
    q('select count(*) from t'),
  ),
  script(
    'fails at its end',
    send('G', P('', copyIn), B(), E(), H),
    send('Z', d('1\tduplicate\n'), copyDone, S),
    q('select count(*) from t'),
  ),
  script(
    'in by extended messages, Sync sent early, while too many statements are prepared',
    x(...[0, 1, 2, 3, 4, 5].map((n) => P(`c${n}`, `select ${n}`)), B('missing')),
    send('G', P('', copyIn), B(), E(), S),
    send('Z', rows, copyDone, S),
    x(...[0, 1, 2, 3, 4, 5].map((n) => P(`d${n}`, `select ${n}, 'd'`)), B('missing')),
    x(P('', copyIn), B(), E(), S, rows, copyDone),
    q('select count(*) from t'),
  ),
  stepwise(
    'refused before anything is read, Sync sent early',
    'what comes behind the Sync may be read as part of the COPY',
    q('create view v as select * from t'),
    send('GEZ', P('', 'copy v from stdin'), B(), E(), S),
    q('select count(*) from t'),
    send('GEZ', P('', 'copy v from stdin'), B(), E(), S),
    x(run('select 1')),
  ),
  script(
    'more messages behind it',
    send('G', P('', copyIn), B(), E(), H),
    send('Z', rows, copyDone, run('select count(*) from t'), S),
    q('select count(*) from t'),
  ),
  script(
    'in by extended messages in a transaction',
    q('begin'),
    send('G', P('', copyIn), B(), E(), S),
    send('Z', rows, copyDone, S),
    q('select count(*) from t'),
    q('commit'),
    q('select count(*) from t'),
  ),
  script(
    'missing table',
    send('E', P('', 'copy missing from stdin'), B(), E(), H),
    send('Z', rows, copyDone, S),
    q('select 1'),
  ),
];

export const copyScripts: readonly Script[] = [...simple, ...extended];
