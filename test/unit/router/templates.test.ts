import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { Classifier } from '../../../src/router/classifier.ts';
import { loadParser } from '../../../src/router/parser.ts';
import { formOf, scan, scanned } from '../../../src/router/scanner.ts';
import type { Classified } from '../../../src/router/statement.ts';
import { Templates } from '../../../src/router/templates.ts';
import { catalog } from './catalog.ts';

beforeAll(loadParser);

/** Stands for what the classifier would say of this text. */
const classOf = (text: string) => ({ key: text }) as Classified;

/** Some bytes in front: a text stands in a message. */
const [before, behind] = ['Q....', "7'"];

function at(text: string): [Buffer, number, number] {
  const bytes = Buffer.from(before + text + behind);
  return [bytes, before.length, bytes.length - behind.length];
}

function find(templates: Templates, text: string): string | null {
  return templates.find(...at(text))?.key ?? null;
}

function add(templates: Templates, text: string): void {
  const [bytes, start, end] = at(text);
  scan(bytes, start, end);
  templates.add(bytes, start, end, classOf(text));
}

function templatesOf(...texts: string[]): Templates {
  const templates = new Templates();
  for (const text of texts) add(templates, text);
  return templates;
}

function formOfText(text: string): string {
  scan(...at(text));
  return formOf();
}

const account = "select abalance from accounts where aid = 42 and name = 'x' limit 1";

describe('a text that differs from an earlier one in literals', () => {
  it.each([
    account,
    "select abalance from accounts where aid = 1000000 and name = 'x' limit 1",
    "select abalance from accounts where aid = 0x1F and name = '' limit 9999999999999999",
    "select abalance from accounts where aid = 1.5e-3 and name = 'it''s -- no /* comment' limit 2.",
    "select abalance from accounts where aid = 7 and name = 'ein Wort, größer' limit 1_000",
  ])('is found: %s', (text) => {
    expect(find(templatesOf(account), text)).toBe(account);
  });

  it('is found where a string goes on in the next line', () => {
    const text = "select abalance from accounts where name = 'x'\n'y' limit 1";
    expect(find(templatesOf(text), text.replace('x', 'z'))).toBe(text);
    expect(find(templatesOf(text), text.replace('\n', ' '))).toBeNull();
  });

  it('is found among others that begin alike', () => {
    const others = ['a', 'b', 'c', 'd'].map((name) => `select abalance from ${name} where aid = 1`);
    const templates = new Templates();
    // Not every text that comes becomes one that others are held against.
    for (let times = 0; times < 200; times++) {
      for (const text of others) if (find(templates, text) === null) add(templates, text);
    }
    for (const text of others) expect(find(templates, text.replace('1', '23'))).toBe(text);
  });
});

describe('a text that is another one', () => {
  it.each([
    ['other words', "select abalance from branches where aid = 42 and name = 'x' limit 1"],
    ['other letters', "select abalance from Accounts where aid = 42 and name = 'x' limit 1"],
    [
      'a number where a string was',
      'select abalance from accounts where aid = 42 and name = 7 limit 1',
    ],
    [
      'a string where a number was',
      "select abalance from accounts where aid = '42' and name = 'x' limit 1",
    ],
    [
      'a name where a number was',
      "select abalance from accounts where aid = bid and name = 'x' limit 1",
    ],
    ['a parameter', "select abalance from accounts where aid = $1 and name = 'x' limit 1"],
    [
      'a fraction that begins with its dot',
      "select abalance from accounts where aid = .5 and name = 'x' limit 1",
    ],
    ['a sign', "select abalance from accounts where aid = -42 and name = 'x' limit 1"],
    ['more behind', `${account} for update`],
    ['another statement behind', `${account}; delete from accounts`],
    ['the end of it missing', account.slice(0, -1)],
    ['only its beginning', 'select abalance from accounts where aid = '],
    [
      'a string that is not closed',
      "select abalance from accounts where aid = 42 and name = 'x limit 1",
    ],
    [
      'a string that goes on',
      "select abalance from accounts where aid = 42 and name = 'x'\n'y' limit 1",
    ],
    [
      'a string with escapes',
      "select abalance from accounts where aid = 42 and name = E'x' limit 1",
    ],
    ['a comment', "select abalance from accounts where aid = 42 and name = 'x' --\n limit 1"],
    [
      'a number that runs into a word',
      "select abalance from accounts where aid = 42and name = 'x' limit 1",
    ],
  ])('is not found: %s', (_, text) => {
    expect(find(templatesOf(account), text)).toBeNull();
  });
});

it('a text ends where it ends, whatever stands behind it', () => {
  const templates = templatesOf(
    'select abalance from accounts limit 1',
    "select name from accounts where id = 'x'",
  );
  expect(find(templates, 'select abalance from accounts limit ')).toBeNull();
  expect(find(templates, 'select name from accounts where id = ')).toBeNull();
  expect(find(templates, "select name from accounts where id = 'x")).toBeNull();
});

describe('a text with more to it than its literals, or none', () => {
  it.each([
    ['escapes', "select abalance from accounts where name = E'x'"],
    ['a dollar-quoted string', 'select abalance from accounts where name = $$x$$'],
    ['a comment', 'select abalance from accounts /* tidemark: primary */ where aid = 1'],
    ['a bit string', "select abalance from accounts where name = b'1'"],
    ['a fraction that begins with its dot', 'select abalance from accounts where aid = .5'],
    ['a quote that is not closed', "select abalance from accounts where name = 'x"],
    ['stray bytes', 'select abalance from accounts where aid = \x01'],
    ['a literal at its very beginning', 'select 1, abalance from accounts'],
    ['more literals than are worth it', `select abalance from t where a in (${'1, '.repeat(40)}2)`],
    ['more than 2 KB', `select abalance from accounts where ${'x'.repeat(2_100)} = 1`],
    ['less than 16 bytes', 'select a from b'],
    ['no literal at all', 'select abalance from accounts where aid = $1'],
  ])('is nothing that others are held against: %s', (_, text) => {
    expect(find(templatesOf(text), text)).toBeNull();
  });

  it('nor does its memory depend on what it came with', () => {
    const templates = new Templates();
    const [bytes, start, end] = at(account);
    scan(bytes, start, end);
    templates.add(bytes, start, end, classOf(account));
    bytes.fill('x');
    expect(find(templates, account)).toBe(account);
  });

  it('all are forgotten when classes may differ', () => {
    const templates = templatesOf(account);
    templates.clear();
    expect(find(templates, account)).toBeNull();
  });
});

const number = fc.constantFrom(
  '1',
  '42',
  '0',
  '007',
  '1.',
  '1.5',
  '1e5',
  '2e',
  '0x1F',
  '1_0',
  '1..2',
);
const string = fc.constantFrom(
  "''",
  "'a'",
  "'it''s'",
  "'1'",
  "'--'",
  "'/*'",
  "'\n'",
  "'é'",
  "'\\'",
);
const other = fc.constantFrom(
  ...[
    'a',
    'e',
    'E',
    'x',
    'b',
    'n',
    'U&',
    '"q"',
    '"',
    '.',
    '..',
    '$',
    '$1',
    '$$',
    ';',
    ',',
    '(',
    ')',
  ],
  ...['=', '-', '--', '/*', '*/', '::', '\n', ' ', '  ', '\t', "'", 'é', '\x02', '&', '_', '+'],
);
const piece = fc.oneof(number, string, other);
const pieces = fc.array(fc.tuple(piece, fc.constantFrom('', ' ', ' ')), {
  minLength: 1,
  maxLength: 12,
});
const join = (list: readonly (readonly [string, string])[]) =>
  `select something from ${list.map((one) => one.join('')).join('')}`;

/** The same but for some of its pieces, most of them literals. */
const pairs = pieces.chain((first) =>
  fc
    .array(
      fc.option(
        fc.oneof({ weight: 5, arbitrary: number }, { weight: 5, arbitrary: string }, piece),
      ),
      {
        minLength: first.length,
        maxLength: first.length,
      },
    )
    .map((changes): [string, string] => {
      const second = first.map(([text, gap], index): [string, string] => {
        const isLiteral = /^['\d]/.test(text);
        const change = changes[index] ?? null;
        return [change === null || (!isLiteral && index % 4 !== 0) ? text : change, gap];
      });
      return [join(first), join(second)];
    }),
);

describe('any two texts', () => {
  it('have the same form where one is found by the other', () => {
    let found = 0;
    const property = fc.property(pairs, ([first, second]) => {
      const templates = templatesOf(first);
      if (find(templates, second) === null) return;
      if (first !== second) found += 1;
      const form = formOfText(first);
      expect(formOfText(second)).toBe(form);
      expect(scanned.isPlain).toBe(true);
    });
    fc.assert(property, { numRuns: 20_000 });
    expect(found).toBeGreaterThan(100);
  });
});

describe('the classifier', () => {
  it('says of any text what it says when it has never seen another', () => {
    const classifier = new Classifier({ catalog });
    const clauses = fc.constantFrom(
      "select count(*) from orders where id = 1 and name = 'a'",
      'select nextval from orders limit 1',
      "select nextval('s') from orders where id = 1",
      "select current_setting('port'), id from orders",
      "select set_config('a.b', '1', false) from orders",
      "insert into orders (id, name) values (1, 'a')",
      "update orders set name = 'a' where id = 1",
      'select * from orders where id = 1 for update',
      "select 'select 1; delete from orders' from orders",
      'select pg_advisory_lock(1) from orders where id = 1',
    );
    const text = fc
      .tuple(clauses, number, string)
      .map(([sql, digits, quoted]) => sql.replace(/\b1\b/g, digits).replace(/'a'/g, quoted));
    const property = fc.property(text, (sql) => {
      const [bytes, start, end] = at(sql);
      const alone = new Classifier({ catalog }).classify(bytes, start, end);
      const { access, reason, statements } = classifier.classify(bytes, start, end);
      expect({ access, reason, statements }).toEqual({
        access: alone.access,
        reason: alone.reason,
        statements: alone.statements,
      });
    });
    fc.assert(property, { numRuns: 1_000 });
  });
});
