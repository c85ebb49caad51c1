import { Frontend } from '../../../src/protocol/codes.ts';
import { message } from '../../../src/protocol/writer.ts';
import { pinned, Q, q, type Script, script, send, stepwise } from './script.ts';

/** FunctionCall: all arguments and the result in text. */
const call = (oid: number, ...args: (string | null)[]): Buffer =>
  message(Frontend.FunctionCall, (writer) => {
    writer.uint32(oid).uint16(0).uint16(args.length);
    for (const arg of args) {
      if (arg === null) writer.int32(-1);
      else writer.int32(Buffer.byteLength(arg)).text(arg);
    }
    writer.int16(0);
  });

/** Of pg_proc.dat. */
const int4pl = 177;
const int4div = 154;

export const simpleScripts: readonly Script[] = [
  script('empty queries', q(''), q('   '), q('-- nothing'), q(';'), q(';;select 1;;'), q('/* */')),
  script(
    'reads',
    q('select 1'),
    q('select * from t order by id'),
    q('table t'),
    q('values (1, null)'),
  ),
  script(
    'writes and reads of them',
    q("insert into t values (4, 'four')"),
    q('select * from t order by id'),
    q("update t set v = 'vier' where id = 4 returning *"),
    q('select v from t where id = 4'),
    q('delete from t where id = 4'),
    q('select count(*) from t'),
  ),
  script(
    'several statements',
    q('select 1; select 2'),
    q("insert into t values (5, 'five'); select v from t where id = 5"),
    q('select 1;; select 2;'),
    q('begin; select 1; commit'),
    q('begin; select 1; rollback; select 2'),
  ),
  script(
    'several statements, an error in the middle',
    q("insert into t values (5, 'five'); select 1/0; select 2"),
    q('select count(*) from t'),
    q("begin; insert into t values (6, 'six'); commit; select 1/0"),
    q('select count(*) from t'),
    q('select 1; selec 2; select 3'),
    q('select 1; select * from missing; select 3'),
  ),
  script(
    'errors',
    q('selec 1'),
    q('select * from missing'),
    q('select 1/0'),
    q("select 'a'::int"),
    q("insert into t values (1, 'again')"),
    q('select v from t where id = 1'),
    q("select 'unterminated"),
    q('select missing_function(1)'),
    q('select id, v from t where v = 1'),
  ),
  script(
    'notices',
    q('drop table if exists missing'),
    q("do $$ begin raise notice 'one'; raise warning 'two'; end $$"),
    q(
      "do $$ begin raise notice 'before'; raise exception 'after' using detail = 'd', hint = 'h'; end $$",
    ),
    q('commit'),
    q('rollback'),
  ),
  script(
    'notices of a read',
    q(`create function noisy() returns int language plpgsql stable as
       $$ begin raise notice 'heard'; return 1; end $$`),
    q('select noisy()'),
    q('select noisy() from generate_series(1, 3)'),
  ),
  script(
    'error after rows',
    q('select 10 / (5 - i) from generate_series(1, 10) i'),
    q("select repeat('x', 5000), 10 / (5 - i) from generate_series(1, 10) i"),
  ),
  script(
    'many rows',
    q('select i, i * 2, null::int from generate_series(1, 20000) i'),
    q("select repeat('x', 100000) || i from generate_series(1, 50) i"),
    q("select repeat('x', 20000000)"),
    q('select 1'),
  ),
  script('no columns', q('select'), q('select from t')),
  script(
    'wide rows',
    q(`select ${Array.from({ length: 500 }, (_, i) => `${i} as c${i}`).join(', ')}`),
  ),
  pinned(
    script(
      'long query text',
      q(`select '${'x'.repeat(300_000)}'`),
      q(`select '${'x'.repeat(1_500_000)}'`),
    ),
  ),
  pinned(
    script(
      'long texts that fail',
      q(`select '${'x'.repeat(1_500_000)}' from missing`),
      q(`insert into t values (10, '${'x'.repeat(1_500_000)}')`),
      q('select id, length(v) from t order by id'),
    ),
  ),
  script(
    'not ASCII',
    q("select 'grüße', '日本語' as \"größe\""),
    q("insert into t values (9, '…') returning v"),
  ),
  script(
    'several queries at once',
    send(
      'ZZZZ',
      Q('select 1'),
      Q('select 1/0'),
      Q("insert into t values (7, 'x')"),
      Q('select count(*) from t'),
    ),
  ),
  script(
    'function calls',
    send('Z', call(int4pl, '2', '3')),
    send('Z', call(int4div, '1', '0')),
    send('Z', call(int4pl, null, '1')),
    send('Z', call(1)),
    q('select 1'),
  ),
  script(
    'function calls in a transaction',
    q('begin'),
    send('Z', call(int4pl, '2', '3')),
    send('Z', call(int4div, '1', '0')),
    send('Z', call(int4pl, '2', '3')),
    q('commit'),
  ),
  script(
    'explain and show',
    q('explain (costs off) select 1'),
    q('show server_version_num'),
    q('show all_missing'),
    q('show transaction_isolation'),
    q('show search_path'),
  ),
  script(
    'DDL and functions',
    q('create table more (id serial primary key, v text default 1/1)'),
    q("insert into more (v) values ('a'), ('b') returning id"),
    q(
      'create function add_more(text) returns bigint language sql as $$ insert into more (v) values ($1); select count(*) from more $$',
    ),
    q("select add_more('c')"),
    q('select count(*) from more'),
    q("select nextval('more_id_seq'), currval('more_id_seq')"),
    q('drop table more cascade'),
    q('select * from more'),
  ),
  script(
    'functions that write behind the proxy',
    q(
      "create function sly() returns int language plpgsql stable as $$ begin perform set_config('my.x', '1', false); return 1; end $$",
    ),
    q('select sly()'),
    q(
      "create procedure two() language plpgsql as $$ begin insert into t values (20, 'a'); commit; insert into t values (1, 'b'); end $$",
    ),
    q('call two()'),
    q('select count(*) from t'),
  ),
  script(
    'vacuum and the like',
    q('vacuum t'),
    q('begin'),
    q('vacuum t'),
    q('rollback'),
    q('analyze t'),
    q('checkpoint'),
  ),
  script(
    'locking reads',
    q('select * from t where id = 1 for update'),
    q('begin'),
    q('select * from t where id = 1 for share'),
    q('commit'),
  ),
  stepwise('terminate', 'it ends the connection', q('select 1'), {
    bytes: Buffer.from([0x58, 0, 0, 0, 4]),
    until: 'Z',
  }),
  stepwise(
    'terminate behind a query',
    'it ends the connection',
    send('Z', Q('select 1'), Buffer.from([0x58, 0, 0, 0, 4])),
  ),
];
