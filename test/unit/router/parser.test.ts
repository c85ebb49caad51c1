import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';

import { Classifier } from '../../../src/router/classifier.ts';
import { NESTING_MAX, nestingBound } from '../../../src/router/form.ts';
import { loadParser, parse } from '../../../src/router/parser.ts';
import { formOf, scan, TEXT_BYTES_MAX } from '../../../src/router/scanner.ts';
import { catalog } from './catalog.ts';

beforeAll(loadParser);

function boundOf(sql: string): number {
  const text = Buffer.from(sql);
  scan(text, 0, text.length);
  return nestingBound(formOf());
}

/** Ways to nest, by depth. */
const NESTINGS: Readonly<Record<string, (depth: number) => string>> = {
  brackets: (depth) => `SELECT ${'('.repeat(depth)}1${')'.repeat(depth)}`,
  sum: (depth) => `SELECT 1${'+1'.repeat(depth)}`,
  signs: (depth) => `SELECT ${'- '.repeat(depth)}1`,
  not: (depth) => `SELECT ${'NOT '.repeat(depth)}true`,
  cast: (depth) => `SELECT 1${'::int'.repeat(depth)}`,
  test: (depth) => `SELECT a${' IS NULL'.repeat(depth)}`,
  collation: (depth) => `SELECT a${' COLLATE b'.repeat(depth)}`,
  between: (depth) => `SELECT a${' BETWEEN 1 AND 2 IS NULL'.repeat(depth)}`,
  array: (depth) => `SELECT ${'ARRAY['.repeat(depth)}1${']'.repeat(depth)}`,
  call: (depth) => `SELECT ${'abs('.repeat(depth)}1${')'.repeat(depth)}`,
  case: (depth) => `SELECT ${'CASE WHEN true THEN '.repeat(depth)}1${' END'.repeat(depth)}`,
  caseAnd: (depth) =>
    `SELECT ${'CASE WHEN a AND '.repeat(depth)}b${' THEN true END'.repeat(depth)}`,
  union: (depth) => `SELECT 1${' UNION SELECT 1'.repeat(depth)}`,
  join: (depth) => `SELECT * FROM t${' JOIN t ON true'.repeat(depth)}`,
  subquery: (depth) => `SELECT * FROM ${'(SELECT * FROM '.repeat(depth)}t${') t'.repeat(depth)}`,
  exists: (depth) => `SELECT ${'EXISTS (SELECT '.repeat(depth)}1${')'.repeat(depth)}`,
  sumsOfSums: (depth) => {
    const brackets = Math.ceil(depth / 100);
    return `SELECT ${'('.repeat(brackets)}1${`${'+1'.repeat(100)})`.repeat(brackets)}`;
  },
  cte: (depth) => `${'WITH a AS ('.repeat(depth)}SELECT 1${') SELECT 1'.repeat(depth)}`,
};

describe('deep texts', () => {
  const classifier = new Classifier({ catalog });

  describe.each(Object.entries(NESTINGS))('%s', (_, nested) => {
    it('is judged without breaking the parser, at any depth', () => {
      for (const depth of [500, 1_000, 1_999, 2_000, 5_000, 100_000]) {
        const text = Buffer.from(nested(depth));
        const { access, reason } = classifier.classify(text, 0, text.length);
        if (access === 'write') expect(['unparsable', 'too-long']).toContain(reason);
        // A parser that broke down is not there at once.
        expect(parse('SELECT 1'), `depth ${depth}`).not.toBeNull();
      }
    }, 60_000);

    it('is not parsed when too deep to be safe', () => {
      for (const depth of [NESTING_MAX + 1, 6_000, 20_000]) {
        if (nested(depth).length <= TEXT_BYTES_MAX) {
          expect(boundOf(nested(depth))).toBeGreaterThan(NESTING_MAX);
        }
      }
    });
  });

  it('leaves long lists and chains that are flat alone', () => {
    const flat = [
      `SELECT * FROM t WHERE ${'a = 1 OR '.repeat(3_000)}a = 2`,
      `SELECT ${'a, '.repeat(5_000)}a FROM t`,
      `SELECT * FROM t WHERE a IN (${'now(), '.repeat(3_000)}1)`,
      `SELECT 1 FROM a${' UNION ALL SELECT b, c FROM d WHERE e = 1'.repeat(300)}`,
    ];
    for (const sql of flat) {
      expect(boundOf(sql)).toBeLessThan(NESTING_MAX);
      const text = Buffer.from(sql);
      expect(classifier.classify(text, 0, text.length).access).toBe('read');
    }
  });

  it('bounds the depth of the tree', () => {
    const { expression } = fc.letrec<{ expression: string }>((tie) => ({
      expression: fc.oneof(
        { depthSize: 'large', withCrossShrink: true },
        fc.constantFrom('a', '1', 'f(1)', "'x'"),
        fc
          .tuple(tie('expression'), fc.integer({ min: 1, max: 30 }))
          .map(([inner, times]) => `${inner}${' + b'.repeat(times)}`),
        tie('expression').map((inner) => `(${inner})`),
        tie('expression').map((inner) => `f(1, ${inner}, 2)`),
        tie('expression').map((inner) => `- ${inner} IS NULL`),
        tie('expression').map((inner) => `(SELECT a, ${inner} FROM t WHERE b)`),
        tie('expression').map((inner) => `CASE WHEN c AND ${inner} THEN d ELSE ${inner} END`),
        tie('expression').map((inner) => `a[1, 2 + ${inner}]`.replace('1, ', '')),
        fc
          .tuple(tie('expression'), tie('expression'))
          .map(([left, right]) => `(${left}) AND ${right}`),
      ),
    }));
    let parsed = 0;
    fc.assert(
      fc.property(expression, (inner) => {
        const sql = `SELECT ${inner} FROM t`;
        fc.pre(sql.length < 20_000);
        const nodes = parse(sql);
        if (nodes === null) return;
        parsed++;
        expect(nodeDepth(nodes)).toBeLessThanOrEqual(2 * boundOf(sql));
      }),
      { numRuns: 500 },
    );
    expect(parsed).toBeGreaterThan(100);
  }, 60_000);
});

/** Nodes of the grammar on the longest path down a tree. */
function nodeDepth(tree: object): number {
  let deepest = 0;
  const pending: [object, number][] = [[tree, 0]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [object, depth] = next;
    deepest = Math.max(deepest, depth);
    for (const [key, value] of Object.entries(object)) {
      const isNode =
        /^(A_Expr|FuncCall|SubLink|SelectStmt|CaseExpr|BoolExpr|NullTest|A_Indirection)$/;
      if (typeof value === 'object' && value !== null) {
        pending.push([value, depth + (isNode.test(key) ? 1 : 0)]);
      }
    }
  }
  return deepest;
}

describe('parse', () => {
  it('has nothing for an empty text and null for what is no SQL', () => {
    expect(parse(' -- \n')).toEqual([]);
    expect(parse('SELEC 1')).toBeNull();
  });

  it('is whole again after every breakdown', async () => {
    for (let round = 0; round < 5; round++) {
      expect(parse(NESTINGS.sum!(30_000))).toBeNull();
      expect(parse('SELECT 1')).toBeNull();
      await loadParser();
      expect(parse('SELECT 1')).toHaveLength(1);
    }
  });

  it('needs no more memory after 50,000 texts, good and bad', async () => {
    const texts = [
      'SELECT a FROM b WHERE c = 1',
      'SELEC',
      "SELECT 'open",
      'SELECT 1 FROM (',
      '\x01',
    ];
    const run = (times: number): void => {
      for (let time = 0; time < times; time++) parse(texts[time % texts.length]!);
    };
    run(5_000);
    const before = process.memoryUsage().arrayBuffers + process.memoryUsage().external;
    run(50_000);
    const grown = process.memoryUsage().arrayBuffers + process.memoryUsage().external - before;
    expect(grown).toBeLessThan(4 * 1024 * 1024);
  }, 60_000);
});
