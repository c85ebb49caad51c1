import { B, E, H, P, Q, q, run, S, type Script, script, send, x } from './script.ts';

const shown = q(
  "select current_setting('application_name'), current_setting('search_path'), current_setting('timezone'), current_setting('datestyle')",
);
const show = (name: string) => q(`show ${name}`);
/** A name that somebody has set is known on its connection for good, with '' for a value. */
const own = q(
  "select nullif(current_setting('my.own', true), ''), nullif(current_setting('my.x', true), '')",
);

const withParams = (params: Record<string, string>, made: Script): Script => ({ ...made, params });

const roles: readonly Script[] = [
  script(
    'SET ROLE',
    q('set role reader'),
    q('select current_user, session_user'),
    q('select count(*) from t'),
    q("insert into t values (410, 'x')"),
    q('reset role'),
    q('select current_user'),
    q("insert into t values (411, 'x')"),
  ),
  script(
    'SET ROLE forms',
    q("set role 'reader'"),
    q('select current_user'),
    q('set role none'),
    q('select current_user'),
    q('set local role reader'),
    q('begin'),
    q('set local role reader'),
    q('select current_user'),
    q('commit'),
    q('select current_user'),
    q('set role missing_role'),
    q('select current_user'),
  ),
  script(
    'SET ROLE rolled back',
    q('begin'),
    q('set role reader'),
    q('select current_user'),
    q('rollback'),
    q('select current_user'),
  ),
  script(
    'RESET ALL keeps the role',
    q('set role reader'),
    q('set my.x = 1'),
    q('reset all'),
    q('select current_user'),
    own,
    q('discard all'),
    q('select current_user'),
  ),
  script(
    'SET ROLE by set_config',
    q("select set_config('role', 'reader', false)"),
    q('select current_user'),
    q("select set_config('role', 'none', false)"),
    q('select current_user'),
  ),
];

const authorization: Script = {
  ...script(
    'SET SESSION AUTHORIZATION',
    q('set session authorization reader'),
    q('select current_user, session_user'),
    q("insert into t values (412, 'x')"),
    q('reset session authorization'),
    q('select current_user, session_user'),
  ),
  pins: true,
};

const authorizationAndRole: Script = {
  ...script(
    'SET SESSION AUTHORIZATION takes no role along',
    q('set role reader'),
    q('reset session authorization'),
    q("set application_name = 'mine'; select 1/0"),
    q('select current_user, session_user'),
    q('set role reader'),
    q('begin'),
    q('set session authorization default'),
    q('select current_user'),
    q('rollback'),
    q('select current_user'),
    q('select 1/0'),
    q('select current_user'),
  ),
  pins: true,
};

const startup: readonly Script[] = [
  withParams(
    { application_name: 'from startup' },
    script(
      'application_name',
      shown,
      q("set application_name = 'other'"),
      shown,
      q('reset application_name'),
      shown,
      q("set application_name = 'third'"),
      q('reset all'),
      shown,
      q('set application_name to default'),
      shown,
    ),
  ),
  withParams(
    { search_path: 'pg_catalog, public', TimeZone: 'Asia/Tokyo', DateStyle: 'Postgres, MDY' },
    script(
      'search_path and more',
      shown,
      q('set search_path = public'),
      shown,
      q('reset search_path'),
      shown,
      q('discard all'),
      shown,
      q("select timestamptz '2024-01-01 00:00Z'"),
    ),
  ),
  withParams(
    { options: '-c my.x=optional --search_path=pg_catalog -c application_name=a\\ b' },
    script('options', shown, own, q('set my.x = 1'), own, q('reset my.x'), own),
  ),
  withParams(
    { 'my.x': 'direct', statement_timeout: '12345' },
    script(
      'custom and plain settings',
      own,
      show('statement_timeout'),
      q('reset all'),
      show('statement_timeout'),
    ),
  ),
  withParams(
    { client_encoding: 'LATIN1' },
    script(
      'client_encoding',
      show('client_encoding'),
      q('select chr(233)'),
      q("set client_encoding = 'UTF8'"),
      q('select chr(233)'),
      q('reset client_encoding'),
      q('select chr(233)'),
    ),
  ),
  ...['utf-8', 'UNICODE', 'latin1', 'iso-8859-1', 'win1252', '"utf8"', 'nonsense'].map((name) =>
    withParams(
      { client_encoding: name },
      script(
        `client_encoding ${name}`,
        show('client_encoding'),
        q("set client_encoding to 'sql_ascii'"),
        q('reset client_encoding'),
        show('client_encoding'),
      ),
    ),
  ),
  withParams(
    { default_transaction_read_only: 'on' },
    script(
      'read only by default',
      q("insert into t values (420, 'x')"),
      q('begin read write'),
      q("insert into t values (421, 'x')"),
      q('commit'),
      q('select count(*) from t'),
    ),
  ),
  withParams(
    { extra_float_digits: '3', client_min_messages: 'warning' },
    script(
      'as JDBC does',
      show('extra_float_digits'),
      q('drop table if exists missing'),
      q('select 0.1::float4'),
    ),
  ),
  withParams({ timezone: 'Nowhere/Land' }, script('bad value')),
  withParams({ missing_setting: '1' }, script('unknown setting')),
  withParams({ options: '-c missing' }, script('bad options')),
  withParams({ options: '--nonsense' }, script('bad long option')),
  withParams(
    { role: 'reader' },
    script('role', q('select current_user'), q('reset role'), q('select current_user')),
  ),
  withParams({ max_connections: '5' }, script('setting of the server')),
  { ...script('protocol 3.2', q('select 1')), minor: 2 },
  { ...withParams({ '_pq_.unknown': '1' }, script('protocol option', q('select 1'))), minor: 2 },
  { ...script('protocol 3.9', q('select 1')), minor: 9 },
];

const reset: readonly Script[] = [
  withParams(
    { search_path: 'pg_catalog, public', application_name: 'from startup', DateStyle: 'German' },
    script(
      'RESET among others',
      q("set application_name = 'other'; reset application_name; show application_name; select 1"),
      shown,
      q('set search_path = public; reset all; show search_path; show datestyle'),
      q('reset search_path; reset application_name'),
      shown,
      q("set search_path to default; select 'é', misspelt; select 2"),
      q("select 'é'; reset search_path -- a; comment\n; select 1 from t where nothing = 1"),
      q('reset all; selec'),
      q('reset all; select 1/0; reset all'),
      shown,
      q('begin; set search_path = public; reset search_path; show search_path'),
      q('savepoint a; set search_path = public; show search_path'),
      q('rollback to a; show search_path; reset search_path; show search_path; rollback'),
      shown,
      q(
        "set local application_name = 'x'; set local application_name to default; show application_name",
      ),
      shown,
      q(
        'begin; set local search_path = public; set local search_path to default; show search_path',
      ),
      q('show search_path'),
      q(
        'commit; reset all; copy (select current_setting($$search_path$$)) to stdout; reset all; show datestyle',
      ),
      shown,
    ),
  ),
  withParams(
    { search_path: 'pg_catalog, public', application_name: 'from startup', DateStyle: 'German' },
    script(
      'RESET in a batch',
      x(
        run("set application_name = 'other'"),
        run('reset application_name'),
        run('show application_name'),
      ),
      x(run('reset all'), run('show search_path'), run('select now()::text <> misspelt')),
      x(run('discard all')),
      x(P('', 'reset all'), P('kept', 'show search_path'), B(''), E(), B('kept'), E()),
      send('12C', P('', 'reset search_path'), B(''), E(), H),
      send('Z', S),
      shown,
    ),
  ),
  withParams(
    { role: 'reader' },
    script(
      'RESET ROLE among others',
      q(
        'reset role; select current_user; set role none; select current_user; reset all; select current_user',
      ),
      q('select current_user'),
    ),
  ),
  withParams(
    { client_encoding: 'LATIN1', 'my.x': 'direct' },
    script(
      'RESET in another encoding',
      send(
        'Z',
        Q(
          Buffer.from(
            "reset my.x; select '\xe9', length('\xe9'), current_setting('my.x')",
            'latin1',
          ),
        ),
      ),
      send('Z', Q(Buffer.from("reset my.x; select '\xe9', missing", 'latin1'))),
      own,
    ),
  ),
];

export const loginScripts: readonly Script[] = [
  ...roles,
  authorization,
  authorizationAndRole,
  ...startup,
  ...reset,
];
