import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConfigError } from '../../../src/config/config-error.ts';
import { loadConfig, parseConfig } from '../../../src/config/load.ts';
import { unreadable } from '../../../src/config/secrets.ts';

/** Every problem of a text as `line: message`. */
function problemsOf(text: string, env: Record<string, string> = {}): string[] {
  try {
    parseConfig(text, 'config.yaml', env);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).problems.map(({ line, message }) => `${line}: ${message}`);
  }
  return [];
}

const base = 'embedded: {}\nauth: trust\n';
const node = 'auth: trust\nnodes:\n  - url: postgres://app@h1/db\n';

/** A snippet after two valid lines, so that what it reports is on line 3. */
const onLine3: [name: string, snippet: string, message: string][] = [
  ['an unknown key', 'poool: {}', 'poool: unknown key: did you mean pool?'],
  [
    'an unknown key that resembles none',
    'log: { colour: red }',
    'log.colour: unknown key: known here: level, statements',
  ],
  [
    'camelCase',
    'pool: { idleTimeoutMs: 5 }',
    'pool.idleTimeoutMs: unknown key: write idle_timeout_ms: 5',
  ],
  ['a key one level too high', 'size: 5', 'size: unknown key: write it under pool:'],
  [
    'a key without its unit, one level too high',
    'max_staleness: 5s',
    'max_staleness: unknown key: write it under freshness: as max_staleness_ms',
  ],
  [
    'a key one level too deep',
    'pool: { auth: trust }',
    'pool.auth: unknown key: write it without indentation: it is a key of its own',
  ],
  [
    'a key without its unit',
    'freshness: { max_staleness: 5s }',
    'freshness.max_staleness: unknown key: write max_staleness_ms: 5000',
  ],
  [
    'a key with another unit',
    'freshness: { max_staleness_s: 5 }',
    'freshness.max_staleness_s: unknown key: write max_staleness_ms: 5000',
  ],
  [
    'a duration for milliseconds',
    'freshness: { max_staleness_ms: 5s }',
    'freshness.max_staleness_ms: "5s": write milliseconds as a number: 5000',
  ],
  [
    'minutes for milliseconds',
    'pool: { idle_timeout_ms: 1.5 min }',
    'pool.idle_timeout_ms: "1.5 min": write milliseconds as a number: 90000',
  ],
  [
    'a number in quotes',
    'pool: { size: "20" }',
    'pool.size: expected a number, found text "20": write 20',
  ],
  ['a fraction', 'pool: { size: 2.4 }', 'pool.size: expected a whole number, found 2.4: write 2'],
  [
    'no finite number',
    'pool: { size: .inf }',
    'pool.size: expected a whole number from 1 to 10000, found Infinity: write for example 20',
  ],
  [
    'text for a number',
    'pool: { size: many }',
    'pool.size: expected a whole number from 1 to 10000, found "many": write for example 20',
  ],
  ['out of range', 'pool: { size: 0 }', 'pool.size: 0 is out of range: write 1 to 10000'],
  [
    'a list for a number',
    'pool: { size: [1, 2] }',
    'pool.size: expected a whole number from 1 to 10000, found several values: write for example 20',
  ],
  ['no value', 'pool: { size: }', 'pool.size: no value: write for example 20, or remove the key'],
  [
    'a list for a section',
    'pool: [1]',
    'pool: expected lines of key: value (known: size, wait_timeout_ms, connect_timeout_ms, idle_timeout_ms, lifetime_ms, check_after_idle_ms, statements_max, sharing)',
  ],
  [
    'yes for true',
    'log: { statements: yes }',
    'log.statements: expected true or false, found "yes": write true',
  ],
  [
    'no such level',
    'freshness: { consistency: sesion }',
    'freshness.consistency: "sesion" is not one of eventual, bounded, session, global, strong: did you mean session?',
  ],
  [
    'an address without a port',
    'listen: localhost',
    'listen: "localhost": no port: write localhost:6432',
  ],
  ['an address without a host', 'listen: 7000', 'listen: 7000: no host: write 127.0.0.1:7000'],
  [
    'no host before the colon',
    'listen: ":7000"',
    'listen: ":7000": no host: write 127.0.0.1:7000 (this machine only) or 0.0.0.0:7000 (every network)',
  ],
  ['IPv6 without brackets', 'listen: "::1"', 'listen: "::1": no port: write [::1]:6432'],
  [
    'half an IPv4 address',
    'listen: 127.0.1:6432',
    'listen: "127.0.1:6432": not a host: write host:port, for example 127.0.0.1:6432',
  ],
  [
    'a port out of range',
    'http: 127.0.0.1:70000',
    'http: "127.0.0.1:70000": port 70000 is out of range: write 0 to 65535 (0: any free one)',
  ],
  [
    'http: false',
    'http: false',
    'http: write off to turn it off, or an address such as 127.0.0.1:6433',
  ],
  [
    'one address for two listeners',
    'http: 127.0.0.1:6432',
    'http: the same address as listen: write another port, or http: off',
  ],
  ['a repeated key', 'auth: trust', 'this key stands here twice: keep one of them'],
  [
    'a second source of servers',
    'nodes: [{ url: "postgres://app@h/db" }]',
    'nodes: embedded is given as well: keep embedded (Tidemark starts a cluster itself) or nodes (your servers)',
  ],
  [
    'a user without a name',
    'users: [{ password: "x" }]',
    'users[1]: no name: write name: app (as text)',
  ],
  [
    'a number for a password',
    'users: [{ name: app, password: 4711 }]',
    'users[1].password: expected text: put it in quotes',
  ],
  [
    'an md5 hash',
    `users: [{ name: app, password: md5${'0a'.repeat(16)} }]`,
    'users[1].password: an md5 hash cannot prove a SCRAM login: write the password or a SCRAM-SHA-256 verifier',
  ],
  [
    'a damaged verifier',
    'users: [{ name: app, password: "SCRAM-SHA-256$4096:abc" }]',
    'users[1].password: a damaged SCRAM-SHA-256 verifier: copy it whole from pg_authid.rolpassword',
  ],
  [
    'two passwords',
    'users: [{ name: app, password: x, password_env: Y }]',
    'users[1].password_env: password is given as well: keep one of them',
  ],
  [
    'an environment variable that is not set',
    'users: [{ name: app, password_env: APP_PASSWORD }]',
    'users[1].password_env: the environment variable APP_PASSWORD is not set: set it before the start (export NAME=...)',
  ],
  [
    'a password file that is not there',
    'users: [{ name: app, password_file: /nonexistent/secret }]',
    'users[1].password_file: no such file: check the path (looked in the folder of the configuration)',
  ],
];

describe('a problem is reported with its line and what to write instead', () => {
  it.each(onLine3)('%s', (_, snippet, message) => {
    expect(problemsOf(base + snippet)).toEqual([`3: ${message}`]);
  });

  it('an empty environment variable', () => {
    expect(problemsOf(`${base}users: [{ name: app, password_env: P }]`, { P: '' })).toEqual([
      '3: users[1].password_env: the environment variable P is empty: set it before the start (export NAME=...)',
    ]);
  });

  it('no servers', () => {
    expect(problemsOf('auth: trust\n')).toEqual([
      expect.stringMatching(/^1: no servers: write nodes:/),
    ]);
    expect(problemsOf('auth: trust\nnodes:\n')).toEqual([expect.stringMatching(/^2: no servers/)]);
    expect(problemsOf('# nothing')).toEqual([
      expect.stringMatching(/^1: the file is empty: write nodes:/),
    ]);
    expect(problemsOf('nodes: {}')).toEqual([
      '1: nodes: expected a list: write "- url: postgres://user:password@host:5432/database" on a line below it',
    ]);
    expect(problemsOf('nodes:\n  -\n  - name: a')).toEqual([
      '2: nodes[1]: nothing here: write url: postgres://user:password@host:5432/database',
      '3: nodes[2]: no url: write url: postgres://user:password@host:5432/database',
    ]);
  });

  it('a file that is no mapping', () => {
    expect(problemsOf('- listen: 127.0.0.1:1')).toEqual([
      expect.stringMatching(/^1: the file: expected lines of key: value/),
    ]);
  });

  it('trust on a listener that others reach', () => {
    expect(problemsOf('embedded: {}\nlisten: 0.0.0.0:6432\nauth: trust\n')).toEqual([
      '3: auth: trust lets everybody in who reaches 0.0.0.0:6432: write auth: scram-sha-256, or listen: 127.0.0.1:6432',
    ]);
    for (const host of ['localhost', '127.3.2.1', '[::1]']) {
      expect(problemsOf(`embedded: {}\nlisten: "${host}:6432"\nauth: trust\n`)).toEqual([]);
    }
  });

  it('scram with nobody who could log in', () => {
    const nobody = /^\d: nobody could log in: write users:/;
    expect(problemsOf('nodes:\n  - url: postgres://app@h/db\n')).toEqual([
      expect.stringMatching(nobody),
    ]);
    expect(problemsOf('embedded: {}\nusers:\n  - name: app\n')).toEqual([
      '3: users[1]: no password: write password:, password_env: or password_file:',
    ]);
    expect(problemsOf('nodes:\n  - url: postgres://app:x@h/db\n')).toEqual([]);
    // It has a user of its own.
    expect(problemsOf('embedded: {}\n')).toEqual([]);
  });

  it('a user twice', () => {
    const twice = `${base}users:\n  - { name: app, password: x }\n  - { name: app, password: x }\n`;
    expect(problemsOf(twice)).toEqual(['5: the user app is listed twice: keep one of the entries']);
  });

  it('a node twice, by address and by name', () => {
    expect(problemsOf(`${node}  - url: postgres://app@H1:5432/other\n`)).toEqual([
      '4: the node h1:5432 is listed twice: list each server once',
    ]);
    expect(problemsOf(`${node}    name: a\n  - { url: "postgres://app@h2", name: a }\n`)).toEqual([
      '5: two nodes are named a: write a different name: for each of them',
    ]);
    expect(problemsOf(`${node}    name: not a name\n`)).toEqual([
      '4: nodes[1].name: "not a name" is not a name: write 1 to 63 letters, digits, - _ . or :',
    ]);
  });

  it('one user with two passwords', () => {
    const urls = 'nodes:\n  - url: postgres://app:a@h1/db\n  - url: postgres://app:b@h2/db\n';
    expect(problemsOf(urls)).toEqual([
      '3: the password of app differs from the one for node h1:5432: write the same one in both',
    ]);
    const file =
      'nodes:\n  - url: postgres://app:a@h1/db\nusers:\n  - { name: app, password: b }\n';
    expect(problemsOf(file)).toEqual([
      '2: the password of app differs from the one under users (its server_password, or password): write the same one in both',
    ]);
  });
});

describe('what differs by database and user', () => {
  const servers = 'nodes: [{ url: "postgres://app:x@h" }]\nusers: [{ name: web, password: x }]\n';
  /** What is wrong on line 5, inside `freshness.databases`. */
  const inDatabases: [name: string, line: string, message: string][] = [
    [
      'a name without settings',
      'app:',
      '[1]: nothing here: write for example max_staleness_ms: 60000, or remove the name',
    ],
    [
      'a name with no setting at all',
      'app: {}',
      '[1]: nothing here: write for example max_staleness_ms: 60000, or remove the name',
    ],
    [
      'a level for a table',
      'app: strong',
      '[1]: expected lines of key: value (known: consistency, max_staleness_ms, wait_timeout_ms, on_timeout)',
    ],
    [
      'a number for a name',
      '2024: { on_timeout: error }',
      '[1]: the name is not text: put it in quotes',
    ],
    [
      'true for a name',
      'true: { on_timeout: error }',
      '[1]: the name is not text: put it in quotes',
    ],
    [
      'a list for a name',
      '? [a]\n    : { on_timeout: error }',
      '[1]: the name is not text: put it in quotes',
    ],
    ['no name', '"": { on_timeout: error }', '[1]: the name is empty: write one before the colon'],
    [
      'a merge key',
      '<<: { on_timeout: error }',
      '[1]: keys are not merged with <<: write the name, and after it the alias',
    ],
    [
      'an unknown key',
      'app: { consistancy: strong }',
      '[1].consistancy: unknown key: did you mean consistency?',
    ],
    [
      'a key without its unit',
      'app: { max_staleness: 60s }',
      '[1].max_staleness: unknown key: write max_staleness_ms: 60000',
    ],
    [
      'a duration for milliseconds',
      'app: { max_staleness_ms: 1 min }',
      '[1].max_staleness_ms: "1 min": write milliseconds as a number: 60000',
    ],
    [
      'a unit that there is not',
      'app: { max_staleness_ms: 5 fortnights }',
      '[1].max_staleness_ms: expected milliseconds as a whole number from 1 to 86400000, found "5 fortnights": write for example 5000',
    ],
    [
      'a number out of range',
      'app: { max_staleness_ms: 0 }',
      '[1].max_staleness_ms: 0 is out of range: write 1 to 86400000 milliseconds',
    ],
    [
      'no such choice',
      'app: { on_timeout: fail }',
      '[1].on_timeout: "fail" is not one of primary, error',
    ],
    [
      'no value',
      'app: { consistency: }',
      '[1].consistency: no value: write for example session, or remove the key',
    ],
    [
      'a key of the whole cluster',
      'app: { sample_interval_ms: 5 }',
      '[1].sample_interval_ms: unknown key: write it under freshness:',
    ],
    ['a key of another section', 'app: { size: 5 }', '[1].size: unknown key: write it under pool:'],
  ];

  it.each(inDatabases)('%s', (_, line, message) => {
    const text = `${servers}freshness:\n  databases:\n    ${line}\n`;
    expect(problemsOf(text)).toEqual([`5: freshness.databases${message}`]);
  });

  it.each([
    ['nothing', 'databases:', 'nothing here'],
    ['an empty table', 'databases: {}', 'nothing here'],
    ['a list', 'users: [web]', 'expected names'],
    ['a name alone', 'users: web', 'expected names'],
  ])('%s for a table', (_, snippet, found) => {
    const table = snippet.split(':', 1)[0];
    expect(problemsOf(`${servers}freshness:\n  ${snippet}\n`)).toEqual([
      `4: freshness.${table}: ${found}: write for example app: { max_staleness_ms: 60000 }`,
    ]);
  });

  it('a table at the top', () => {
    expect(problemsOf(`${servers}databases: { app: { on_timeout: error } }`)).toEqual([
      '3: databases: unknown key: write it under freshness:',
    ]);
  });

  it('a name twice', () => {
    const twice = 'freshness:\n  users:\n    web: { on_timeout: error }\n    web: {}\n';
    expect(problemsOf(servers + twice)).toEqual([
      '6: this key stands here twice: keep one of them',
    ]);
  });

  it('a user who cannot log in', () => {
    const freshness = (user: string) => `freshness: { users: { ${user}: { on_timeout: error } } }`;
    expect(problemsOf(servers + freshness('wbe'))).toEqual([
      '3: freshness.users[1]: no user of this name can log in: did you mean web?',
    ]);
    expect(problemsOf(servers + freshness('reporting'))).toEqual([
      '3: freshness.users[1]: no user of this name can log in: add it under users:',
    ]);
    // Those of the URLs can, too.
    expect(problemsOf(servers + freshness('app'))).toEqual([]);
    // Anybody can.
    expect(problemsOf(`auth: trust\n${servers}${freshness('anybody')}`)).toEqual([]);
    // Its user is not in the file.
    expect(problemsOf(`embedded: {}\n${freshness('postgres')}`)).toEqual([]);
    // Who is meant is there, and reported already.
    const nameless = 'nodes: [{ url: "postgres://app:x@h" }]\nusers: [{ password: x }]\n';
    expect(problemsOf(nameless + freshness('web'))).toEqual([
      '2: users[1]: no name: write name: app (as text)',
    ]);
    const badUrl = 'nodes: [{ url: "postgres://web:x@h:0" }]\nusers: []\n';
    expect(problemsOf(badUrl + freshness('web'))).toEqual([
      expect.stringMatching(/^1: nodes\[1\]\.url: /),
    ]);
  });

  it('everything at once', () => {
    const text = `${servers}freshness:
  on_timeout: never
  databases:
    1: {}
    app: { consistency: storng, wait: 5s }
    other:
  users:
    wbe: { max_staleness_ms: -1 }
`;
    expect(problemsOf(text).map((problem) => problem.split(/[: ]/, 3).join(''))).toEqual([
      '4freshness.on_timeout',
      '6freshness.databases[1]',
      '7freshness.databases[2].consistency',
      '7freshness.databases[2].wait',
      '8freshness.databases[3]',
      '10freshness.users[1]',
      '10freshness.users[1].max_staleness_ms',
    ]);
  });
});

describe('a node URL', () => {
  it.each([
    ['http://app:geheim@h/db', 'not a PostgreSQL URL'],
    ['h1:5432', 'not a PostgreSQL URL'],
    ['postgres://app:ge/heim@h/db', 'in a password write @ as %40'],
    ['postgres://12:34/geheim@h/db', 'in a password write @ as %40'],
    ['postgres://12:34?geheim=1@h/db', 'in a password write @ as %40'],
    ['postgres://app:ge#heim@h/db', 'in a password write @ as %40'],
    ['postgres://app:geheim%zz@h/db', 'write % itself as %25'],
    ['postgres://app:geheim@h:99999/db', 'with a port of 1 to 65535'],
    ['postgres://app:geheim@h:0/db', 'write 1 to 65535'],
    ['postgres://app:geheim@h1:5432,h2:5432/db', 'one node for each'],
    ['postgres://h1/db', 'no user'],
    ['postgres://app:geheim@%2Fvar%2Frun/db', 'Unix socket'],
    ['postgres://app:geheim@h/db?sslmode=require', 'TLS to the nodes is not supported'],
    ['postgres://app@h/db?password=geheim', 'only sslmode may follow'],
    ['postgres://app:geheim@h/db/x', 'write / in a name as %2F'],
  ])('%s is refused without showing the password', (url, advice) => {
    const problems = problemsOf(`auth: trust\nnodes:\n  - url: ${JSON.stringify(url)}\n`);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(/^3: nodes\[1\]\.url: /);
    expect(problems[0]).toContain(advice);
    expect(problems[0]).not.toMatch(/geheim|heim|34/);
  });
});

describe('secrets do not get into messages', () => {
  it.each([
    'users: [{ name: app, pasword: geheim }]',
    'users: [{ name: app, password: *geheim }]',
    'users: [{ name: app, password: !geheim }]',
    'users: [{ name: app, password: @geheim }]',
    'users: [{ name: app, password: "\\qgeheim" }]',
    'users: [{ name: app, password_env: geheim }]',
    'users: [{ name: app, password: [geheim] }]',
    'users: [{ name: app, password:geheim }]',
    'users:\n  - name: app\n    password:geheim',
    'users:\n  - name: app\n    password: x: geheim',
    'users: geheim',
    'freshness: { users: { app: geheim } }',
    'freshness: { users: { app: { password: geheim } } }',
    'freshness: { users: [{ name: app, password: geheim }] }',
    'freshness: { databases: { "postgres://app:geheim@h/app": { url: x } } }',
    'geheim',
  ])('%s', (snippet) => {
    const problems = problemsOf(`embedded: {}\nauth: trust\n${snippet}\n`).join('\n');
    expect(problems).not.toBe('');
    expect(problems).not.toContain('geheim');
  });
});

describe('YAML syntax', () => {
  it.each([
    ['a tab', 'pool:\n\tsize: 1\n', /^2: a tab in the indentation: use spaces/m],
    ['an open quote', 'listen: "127\n', /a quote, bracket, comma or colon is missing/],
    ['an open bracket', 'pool: { size: 1\n', /a bracket there is not closed/],
    [
      'text at the wrong level',
      'pool:\n  size: 1\n   idle: 2\n',
      /^\d: .*(indentation|colon|keys)/m,
    ],
  ])('%s', (_, text, message) => {
    expect(problemsOf(text).join('\n')).toMatch(message);
  });
});

it('reports everything at once, in the order of the lines', () => {
  const text = [
    'listen: nowhere',
    'http: 127.0.0.1:70000',
    'auth: trus',
    'nodes:',
    '  - url: postgres://app:a@h:99999/db',
    '  - name: b',
    'users:',
    '  - name: app',
    '    password_env: UNSET',
    'pool:',
    '  size: 5s',
    '  size: 6',
    '  wait_timeout_ms: 5s',
    'freshness:',
    '  max_staleness: 1m',
    'colour: red',
  ].join('\n');
  const lines = problemsOf(text).map((problem) => Number(problem.split(':')[0]));
  expect(lines).toEqual([1, 2, 3, 5, 6, 9, 11, 12, 13, 15, 16]);
});

describe('a file that cannot be read', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'tidemark-config-'));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  function messageFor(path: string): string {
    try {
      loadConfig(path);
    } catch (error) {
      return (error as ConfigError).message;
    }
    return '';
  }

  it('is not there', () => {
    const path = join(folder, 'none.yaml');
    expect(messageFor(path)).toBe(`${path}:1: no such file: check the path`);
  });

  it('is a folder', () => {
    const path = join(folder, 'folder.yaml');
    mkdirSync(path);
    expect(messageFor(path)).toBe(`${path}:1: this is a folder: name a file in it`);
  });

  it('is not readable for this user', () => {
    // Not by a file without permissions: root reads it all the same.
    expect(unreadable(Object.assign(new Error(), { code: 'EACCES' }))).toContain(
      'no permission to read the file',
    );
  });

  it('is read with its passwords in files beside it', () => {
    writeFileSync(join(folder, 'secret'), 'geheim\n');
    writeFileSync(
      join(folder, 'ok.yaml'),
      'embedded:\nusers:\n  - { name: app, password_file: secret }\n',
    );
    expect(loadConfig(join(folder, 'ok.yaml')).users).toEqual([
      { name: 'app', secret: 'geheim', serverPassword: 'geheim' },
    ]);
  });
});
