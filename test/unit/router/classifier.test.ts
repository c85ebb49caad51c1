import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';

import { Classifier } from '../../../src/router/classifier.ts';
import { loadParser } from '../../../src/router/parser.ts';
import { TEXT_BYTES_MAX } from '../../../src/router/scanner.ts';
import type { Catalog, Classified } from '../../../src/router/statement.ts';
import { catalog } from './catalog.ts';

beforeAll(loadParser);

function classify(
  sql: string | Buffer,
  classifier = new Classifier({ catalog, entriesMax: 100 }),
  backslashEscapes = false,
): Classified {
  const text = Buffer.from(sql);
  return classifier.classify(text, 0, text.length, backslashEscapes);
}

/** A catalog that counts how often it is asked: a cached class asks nothing. */
function countingCatalog(): Catalog & { asked: number } {
  return {
    ...catalog,
    asked: 0,
    volatility(schema, name) {
      this.asked++;
      return catalog.volatility(schema, name);
    },
  };
}

const PINNED = { kind: 'pin', reason: 'unparsed' };

describe('a query string', () => {
  it('may stand anywhere in the buffer', () => {
    const text = Buffer.from('Q----SELECT 1; DELETE FROM t');
    const classifier = new Classifier({ catalog });
    expect(classifier.classify(text, 5, 13).statements.map(({ tag }) => tag)).toEqual(['SELECT']);
    expect(classifier.classify(text, 5, text.length).statements).toHaveLength(2);
  });

  it.each(['', ' \n', ';', ' ; ;; ', '-- nothing', '/* nothing */;'])('%j is empty', (sql) => {
    expect(classify(sql)).toMatchObject({ access: 'read', reason: null, statements: [] });
  });

  it('takes the strictest class of its statements, and the first reason of that class', () => {
    const { access, reason, statements } = classify(
      'BEGIN; SELECT 1; SET LOCAL jit = off; INSERT INTO t VALUES (1); SELECT user_volatile(1); END',
    );
    expect([access, reason]).toEqual(['write', 'write']);
    expect(statements.map((statement) => statement.access)).toEqual([
      'session',
      'read',
      'session',
      'write',
      'write',
      'session',
    ]);
    expect(classify('BEGIN; SELECT 1; COMMIT')).toMatchObject({
      access: 'read',
      reason: 'transaction-control',
      hasEffects: true,
    });
  });
});

describe('the cache', () => {
  it('knows a statement with other literals, comments and spaces', () => {
    const counting = countingCatalog();
    const classifier = new Classifier({ catalog: counting });
    const first = classify("SELECT lower('a') FROM t WHERE id IN (1, 2)", classifier);
    const again = classify("SELECT  lower('b''c') /* x */ FROM t WHERE id IN (7)", classifier);
    expect(again).toBe(first);
    expect(counting.asked).toBe(1);
  });

  it.each([
    ["SET a.b = 'x'", "SET a.b = 'y'"],
    ["SELECT set_config('a.b', 'x', false)", "SELECT set_config('a.c', 'x', false)"],
    ["SELECT set_config('a.b', $1, true)", "SELECT set_config('transaction_read_only', $1, true)"],
    ["SELECT 1; SET a.b = 'x'", "SELECT 1; SET a.b = 'y'"],
    ["INSERT INTO t VALUES (1); SET a.b = 'x'", "INSERT INTO t VALUES (1); SET a.b = 'y'"],
    ['SELECT U&"now" UESCAPE \'!\'()', 'SELECT U&"now" UESCAPE \'@\'()'],
    ['DECLARE c CURSOR FOR SELECT 1', 'DECLARE c CURSOR FOR SELECT 2'],
  ])('keeps %j and %j apart', (left, right) => {
    const classifier = new Classifier({ catalog });
    expect(classify(left, classifier).key).not.toBe(classify(right, classifier).key);
    expect(classify(right, classifier)).toEqual(classify(right));
    expect(classify(left, classifier)).toBe(classify(left, classifier));
  });

  it('is not poisoned by a text that the grammar refuses', () => {
    const classifier = new Classifier({ catalog });
    expect(classify("SELECT '1'::float(99)", classifier).reason).toBe('unparsable');
    expect(classify("SELECT '1'::float(24)", classifier).access).toBe('read');
  });

  it('forgets on catalogChanged', () => {
    let volatility: 'stable' | 'volatile' = 'stable';
    const changing: Catalog = { ...catalog, volatility: () => volatility };
    const classifier = new Classifier({ catalog: changing });
    expect(classify('SELECT f()', classifier).access).toBe('read');
    volatility = 'volatile';
    expect(classify('SELECT f()', classifier).access).toBe('read');
    classifier.catalogChanged();
    expect(classify('SELECT f()', classifier).reason).toBe('volatile-function');
  });

  it('remembers what a replica refused, for all literals, until the catalog changes', () => {
    const classifier = new Classifier({ catalog });
    classifier.learnWrite(classify('SELECT user_stable(1) /* tidemark: replica */', classifier));
    const learned = classify('SELECT user_stable(2)', classifier);
    expect(learned).toMatchObject({ access: 'write', reason: 'learned-write', hint: null });
    expect(learned.statements).toMatchObject([
      { access: 'write', reason: 'learned-write', replicaSafeInTransaction: false },
    ]);
    expect(classify('SELECT user_immutable(2)', classifier).access).toBe('read');
    classifier.catalogChanged();
    expect(classify('SELECT user_stable(2)', classifier).access).toBe('read');
  });

  it('keeps the effects of a statement that it learns', () => {
    const classifier = new Classifier({ catalog });
    const sql = 'BEGIN; SELECT user_stable(1); COMMIT';
    classifier.learnWrite(classify(sql, classifier));
    expect(classify(sql, classifier).statements.map(({ effect }) => effect?.kind ?? null)).toEqual([
      'begin',
      null,
      'commit',
    ]);
  });

  it('forgets the oldest beyond its limit', () => {
    const counting = countingCatalog();
    const classifier = new Classifier({ catalog: counting, entriesMax: 10 });
    for (let table = 0; table < 20; table++) classify(`SELECT now() FROM t${table}`, classifier);
    expect(counting.asked).toBe(20);
    classify('SELECT now() FROM t19', classifier);
    expect(counting.asked).toBe(20);
    classify('SELECT now() FROM t0', classifier);
    expect(counting.asked).toBe(21);
  });
});

describe('a catalog that is not loaded', () => {
  const classifier = () => new Classifier({ catalog: { ...catalog, loaded: false } });

  it('keeps calls from the replicas', () => {
    expect(classify('SELECT now()', classifier()).reason).toBe('catalog-not-loaded');
    expect(classify('SELECT 1', classifier()).access).toBe('read');
    expect(classify('SELECT currval($1)', classifier()).reason).toBe('primary-only-function');
  });
});

describe('functions', () => {
  it('asks for the schema that a call names', () => {
    const asked: unknown[] = [];
    const recording: Catalog = {
      ...catalog,
      volatility: (schema, name) => {
        asked.push([schema, name]);
        return 'stable';
      },
    };
    classify('SELECT f(), a.g(), "B"."H"(), I()', new Classifier({ catalog: recording }));
    expect(asked).toHaveLength(4);
    expect(asked).toEqual(
      expect.arrayContaining([
        [null, 'f'],
        ['a', 'g'],
        ['B', 'H'],
        [null, 'i'],
      ]),
    );
  });

  it.each([
    'SELECT 1 FROM t ORDER BY user_volatile()',
    'SELECT 1 FROM t LIMIT user_volatile()',
    'SELECT 1 GROUP BY user_volatile()',
    'SELECT 1 FROM a JOIN b ON user_volatile()',
    'SELECT 1 FROM a, LATERAL (SELECT user_volatile()) AS b',
    'SELECT 1 FROM ROWS FROM (user_volatile(), generate_series(1, 2))',
    'SELECT count(*) FILTER (WHERE user_volatile()) OVER (PARTITION BY user_volatile())',
    'SELECT 1 UNION ALL VALUES (user_volatile())',
    'SELECT ARRAY[CASE WHEN true THEN user_volatile() END]',
    'SELECT x[user_volatile()] FROM t',
    'SELECT 1 FROM t TABLESAMPLE bernoulli (user_volatile())',
    "SELECT * FROM xmltable('a' PASSING user_volatile() COLUMNS b int)",
    'SELECT 1 FROM t WINDOW w AS (ORDER BY user_volatile())',
    'WITH a AS (SELECT user_volatile()) TABLE a',
    'SELECT public.random()',
  ])('are found in %j', (sql) => {
    expect(classify(sql).access).toBe('write');
  });
});

describe('settings that a statement reads', () => {
  const reason = (sql: string, classifier?: Classifier) => classify(sql, classifier).reason;

  it.each([
    ["SELECT current_setting('port')", 'primary-only-setting'],
    ["SELECT pg_catalog.current_setting('PORT', true)", 'primary-only-setting'],
    ["SELECT current_setting('port'::text)", 'primary-only-setting'],
    ["SELECT current_setting('in_hot_standby')", 'primary-only-setting'],
    ["SELECT current_setting('recovery_target_time')", 'primary-only-setting'],
    ['SELECT current_setting($1)', 'primary-only-setting'],
    ["SELECT current_setting('po' || 'rt')", 'primary-only-setting'],
    ["SELECT current_setting('ports'::varchar(4))", 'primary-only-setting'],
    ['SHOW port', 'primary-only-setting'],
    ['SHOW data_directory', 'primary-only-setting'],
    ["SELECT current_setting('work_mem'), current_setting('app.tenant', true)", null],
    ["SELECT current_setting('work_mem'::text)", null],
    ['SHOW work_mem', null],
    ['SHOW app.tenant', null],
  ])('%s', (sql, expected) => {
    expect(reason(sql)).toBe(expected);
  });

  it('share a key where they are of the session, and have their own where not', () => {
    const classifier = new Classifier({ catalog });
    const tenant = "SELECT * FROM t WHERE id = 1 AND owner = current_setting('app.tenant')";
    const first = classify(tenant, classifier);
    expect(classify(tenant.replace('= 1', '= 2'), classifier)).toBe(first);
    expect(classify(tenant.replace('app.tenant', 'app.user'), classifier)).toBe(first);
    const port = tenant.replace('app.tenant', 'port');
    expect(reason(port, classifier)).toBe('primary-only-setting');
    expect(classify(port, classifier)).toBe(classify(port, classifier));
    expect(classify(tenant, classifier)).toBe(first);
  });

  it.each([
    "current_setting('po'\n'rt')",
    "current_setting(E'p\\x6frt')",
    "current_setting(U&'p\\006frt')",
    "current_setting(/* c */ 'port')",
    'current_setting($$port$$)',
    `"current_setting"('port')`,
    "current_setting('app.a') || current_setting('port')",
    'current_setting($1)',
  ])('are found behind a known form: %s', (call) => {
    const classifier = new Classifier({ catalog });
    for (const name of ['app.a', 'app.b']) {
      const plain = call.replace(/(['$]).*\1/s, `'${name}'`);
      classify(`SELECT ${plain}`, classifier);
      classify(`SELECT current_setting('${name}')`, classifier);
      classify(`SELECT current_setting('${name}') || current_setting('${name}')`, classifier);
      classify(`SELECT current_setting(U&'${name}')`, classifier);
      classify(`SELECT "current_setting"('${name}')`, classifier);
    }
    expect(reason(`SELECT ${call}`, classifier)).toBe('primary-only-setting');
  });

  it('are remembered when a replica has refused the statement', () => {
    const classifier = new Classifier({ catalog });
    const sql = "SELECT user_stable(1), current_setting('app.a')";
    classifier.learnWrite(classify(sql, classifier));
    expect(reason(sql.replace('1', '2'), classifier)).toBe('learned-write');
  });
});

describe('names that are in no catalog', () => {
  it('are reported whenever the class is used, also from the cache', () => {
    let missed = 0;
    const classifier = new Classifier({
      catalog: {
        ...catalog,
        missed: () => {
          missed++;
        },
      },
    });
    classify('SELECT * FROM users', classifier);
    expect(missed).toBe(0);
    classify('SELECT * FROM new_table WHERE id = 1', classifier);
    classify('SELECT * FROM new_table WHERE id = 2', classifier);
    expect(missed).toBe(2);
  });
});

describe('texts that are not parsed', () => {
  const long = (sql: string): string => sql.replace('…', 'x'.repeat(TEXT_BYTES_MAX));

  it.each([
    ["INSERT INTO t VALUES ('…')", 'write', null],
    [`INSERT INTO t VALUES ${'(NULL, now()), '.repeat(6000)}(1)`, 'write', null],
    ["UPDATE t SET a = '…';", 'write', null],
    ["INSERT INTO t VALUES ('…'); SET a.b = 1", 'too-long', PINNED],
    ["INSERT INTO t SELECT pg_advisory_lock(1), '…'", 'too-long', PINNED],
    ["SELECT '…'", 'too-long', null],
    ["SELECT set_config('a.b', '…', false)", 'too-long', PINNED],
    ["SELECT 1 INTO TEMP t WHERE '…' = ''", 'too-long', PINNED],
    ["SET a.b = '…'", 'too-long', PINNED],
  ])('too long: %#', (sql, reason, effect) => {
    const { access, statements } = classify(long(sql));
    expect(access).toBe('write');
    expect(statements).toMatchObject([{ access: 'write', reason, effect }]);
  });

  it('takes a write whose form is longer than is kept for unknown', () => {
    const { statements } = classify(`INSERT INTO t VALUES (NULL)${', (NULL)'.repeat(200_000)}`);
    expect(statements).toMatchObject([{ reason: 'too-long', effect: PINNED }]);
  });

  it.each([
    ['SELECT FROM WHERE', null],
    ['SELECT FROM WHERE;', null],
    ['SELECT FROM WHERE; SELECT 1', PINNED],
    ['TABLE', null],
    ['SELECT pg_advisory_lock(1) FROM', PINNED],
    ['SELECT INTO TEMP WHERE', PINNED],
    ["WAIT FOR LSN '0/1'", PINNED],
    ['hello', PINNED],
    ["SELECT 'open", null],
    ['SELECT 1\0; SELECT 2', PINNED],
  ])('not understood: %j', (sql, effect) => {
    expect(classify(sql)).toMatchObject({
      access: 'write',
      reason: 'unparsable',
      statements: [{ effect }],
    });
  });

  it('does not trust a backslash when it may escape', () => {
    const classifier = new Classifier({ catalog });
    expect(classify("SELECT 'a\\'", classifier).access).toBe('read');
    expect(classify("SELECT 'a\\'", classifier, true).reason).toBe('unparsable');
    expect(classify("SELECT '\\'; DELETE FROM t; --'", classifier, true).statements).toMatchObject([
      { effect: PINNED },
    ]);
    expect(classify("SELECT 'a'", classifier, true).access).toBe('read');
  });

  it('does not trust bytes that are not UTF-8 where they could mean something', () => {
    const bytes = (sql: string): Buffer => Buffer.from(sql, 'latin1');
    expect(classify(bytes("SELECT '\x95\\'")).access).toBe('read');
    expect(classify(bytes("SELECT '\xe9'")).access).toBe('read');
    expect(classify(bytes("SELECT E'\x95\\', now() --'")).reason).toBe('unparsable');
    expect(classify(bytes('SELECT \x83\x7cnow()')).reason).toBe('unparsable');
    expect(classify('SELECT "é", é, E\'é\\n\'').access).toBe('read');
  });
});

describe('hints', () => {
  it.each([
    ['SELECT 1 /* tidemark: primary */', 'primary', {}, []],
    ['-- TIDEMARK: Replica\nSELECT 1', 'replica', {}, []],
    [
      '/* tidemark: consistency = strong, max_staleness=500ms */ SELECT 1',
      null,
      { consistency: 'strong', max_staleness: '500ms' },
      [],
    ],
    ["SELECT 1 /*tidemark:Min_LSN='0/3001028'*/", null, { min_lsn: '0/3001028' }, []],
    ['/* tidemark: primary */ SELECT 1 /* tidemark: replica */', 'replica', {}, []],
    ['/* tidemark: primry, =x */ SELECT 1', null, {}, ['primry', '=x']],
    ['/* app: shop, tidemark: primary */ SELECT 1', 'primary', {}, []],
    ['/* tidemark: */ SELECT 1', null, {}, []],
  ])('%j', (sql, target, settings, unknown) => {
    const { hint } = classify(sql);
    expect(hint).toEqual({ target, settings: new Map(Object.entries(settings)), unknown });
  });

  it.each(["SELECT '/* tidemark: primary */'", 'SELECT 1 /* tide: x */', 'SELECT "--tidemark: a"'])(
    'none in %j',
    (sql) => {
      expect(classify(sql).hint).toBeNull();
    },
  );

  it('are no part of the key', () => {
    const classifier = new Classifier({ catalog });
    const first = classify('SELECT 1 /* tidemark: min_lsn=0/1 */', classifier);
    const second = classify('SELECT 2 /* tidemark: min_lsn=0/2 */', classifier);
    const none = classify('SELECT 3', classifier);
    expect(new Set([first.key, second.key, none.key]).size).toBe(1);
    expect(second.hint?.settings.get('min_lsn')).toBe('0/2');
    expect(none.hint).toBeNull();
  });
});

describe('properties', () => {
  it('takes any bytes', () => {
    const classifier = new Classifier({ catalog });
    const words = fc.constantFrom(
      'SELECT ',
      'SET ',
      "'",
      '"',
      '$$',
      '/*',
      ';',
      '(',
      'E',
      '\\',
      '\0',
    );
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.array(words).map((parts) => Buffer.from(parts.join(''))),
    );
    fc.assert(
      fc.property(bytes, fc.boolean(), (content, backslashEscapes) => {
        const text = Buffer.from(content);
        const { access } = classifier.classify(text, 0, text.length, backslashEscapes);
        expect(['read', 'write']).toContain(access);
      }),
      { numRuns: 3_000 },
    );
  }, 60_000);

  it('gives a statement the same class with and without the cache', () => {
    const literal = fc.constantFrom(
      ...["'a'", "''", "'it''s'", "E'\\''", "E'--'", '$$;$$', "$q$'$q$", "'/*'", "N'n'", "b'0'"],
      ...["x'f'", "U&'\\0041'", '1', '0', '.5', '1e3', '0xff', '-1', '$1', '$2', "'role'", "'a.b'"],
      ...["'transaction_read_only'", "'session_authorization'", "'seed'", 'true', 'false', 'NULL'],
      ...["'a'\n'b'", "'search_path'", '\'a, "B"\'', "'now()'", "'; DELETE FROM t'", "'on'"],
    );
    const gap = fc.constantFrom(' ', '\n', ' /* c */ ', ' -- c\n', '\t');
    const shape = fc.constantFrom(
      ...[
        'SELECT ?, ? FROM t',
        'SELECT user_volatile(?)',
        'SELECT user_stable(?, ?)',
        'VALUES (?)',
      ],
      ...[
        'SELECT set_config(?, ?, ?)',
        'SELECT set_config(?, ?, true)',
        'SELECT set_config(?, ?, ?) ; ',
      ],
      ...['SELECT pg_advisory_lock(?)', 'SELECT set_config(?, ?, false), pg_advisory_lock(?)'],
      ...['SELECT * FROM t WHERE a IN (?, ?, ?) FOR UPDATE', 'INSERT INTO t VALUES (?, ?)'],
      ...['INSERT INTO t SELECT set_config(?, ?, ?)', 'WITH a AS (SELECT ?) SELECT * FROM a'],
      ...[
        'WITH a AS (DELETE FROM t WHERE b = ? RETURNING *) TABLE a',
        '(SELECT ?) UNION (SELECT ?)',
      ],
      ...['SET a.b = ?', 'SET LOCAL seed = ?', 'EXPLAIN SELECT ?', 'COPY (SELECT ?) TO STDOUT'],
      ...[
        'SELECT 1 LIMIT ? OFFSET ?',
        'SELECT a?',
        'SELECT "now" ? FROM t',
        'SELECT U&"!0061" UESCAPE ?',
      ],
      ...[
        'SELECT ? ; SELECT ?',
        'BEGIN; SELECT ?',
        'UPDATE pg_settings SET setting = ?',
        'NOTIFY a, ?',
      ],
      ...[
        'SELECT current_setting(?)',
        'SELECT nextval(?)',
        "SELECT interval ? 'x'",
        'SELECT ?::float(?)',
      ],
    );
    const text = fc
      .tuple(
        shape,
        fc.array(literal, { minLength: 3, maxLength: 3 }),
        fc.array(gap, { minLength: 1 }),
      )
      .map(([sql, literals, gaps]) => {
        let next = 0;
        let space = 0;
        return sql
          .replaceAll('?', () => literals[next++ % literals.length]!)
          .replaceAll(' ', () => gaps[space++ % gaps.length]!);
      });
    let shared = 0;
    fc.assert(
      fc.property(fc.array(text, { minLength: 2, maxLength: 8 }), (texts) => {
        const classifier = new Classifier({ catalog, entriesMax: 100 });
        const keys = new Set<string>();
        for (const sql of texts) {
          const cached = classify(sql, classifier);
          const fresh = classify(sql);
          if (keys.has(cached.key)) shared++;
          keys.add(cached.key);
          // A text that the grammar refuses may meet the class of one that it accepts: every
          // server refuses it alike.
          if (fresh.reason !== 'unparsable') expect(cached).toEqual(fresh);
        }
      }),
      { numRuns: 1_500 },
    );
    expect(shared).toBeGreaterThan(20);
  }, 60_000);
});
