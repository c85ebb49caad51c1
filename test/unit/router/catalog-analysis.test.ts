import { describe, expect, it } from 'vitest';

import { CatalogAnalysis } from '../../../src/router/catalog-analysis.ts';
import type {
  CatalogRows,
  ColumnRow,
  FunctionRow,
  OperatorRow,
  RelationRow,
  TreeRow,
  TypeRow,
} from '../../../src/router/catalog-rows.ts';
import type { KnownCatalog } from '../../../src/router/known-catalog.ts';

const list = (...names: string[]) => names.join('\x1f');

const volatile: FunctionRow = [20_000, 'public', 'writes', 'v', '2278', false];
const stable: FunctionRow = [20_001, 'public', 'reads', 's', '23', false];
const users: [string, string] = [
  'public',
  list('users', 'v', 'w', 'fast', 'far', 'numbers', 'parent'),
];

function analyse(rows: Partial<CatalogRows>, columns: readonly ColumnRow[] = []): KnownCatalog {
  const analysis = new CatalogAnalysis({
    functions: [volatile, stable],
    aggregates: [],
    typeNames: [['pg_catalog', list('int4', 'text')]],
    types: [],
    casts: [],
    operatorNames: [['pg_catalog', list('=', '+')]],
    operators: [],
    support: [],
    relationNames: [users],
    relations: [],
    trees: [],
    settings: [],
    ...rows,
  });
  const asked = new Set<number>();
  for (;;) {
    const types = analysis.takeVolatileTypes();
    if (types.length === 0) break;
    for (const type of types) asked.add(type);
    analysis.addColumns(columns.filter(([relation]) => asked.has(relation - 1)));
  }
  return analysis.catalog;
}

const view = (owner: number, name: string, references: string): TreeRow => [
  owner,
  'view',
  'public',
  name,
  references,
];

describe('functions', () => {
  const own = (name: string, volatility: 'i' | 's' | 'v'): FunctionRow => [
    100,
    'pg_catalog',
    name,
    volatility,
    null,
    false,
  ];

  it('are what the most volatile of their name is, unless the schema says which', () => {
    const { catalog } = { catalog: analyse({ functions: [volatile, own('writes', 'i')] }) };
    expect(catalog.volatility(null, 'writes')).toBe('volatile');
    expect(catalog.volatility('pg_catalog', 'writes')).toBe('immutable');
    expect(catalog.volatility('elsewhere', 'writes')).toBeNull();
  });

  it('are harmless only where they are PostgreSQL’s own', () => {
    const shadow: FunctionRow = [20_002, 'public', 'random', 'v', '701', false];
    expect(analyse({ functions: [own('random', 'v')] }).volatility(null, 'random')).toBe('stable');
    const catalog = analyse({ functions: [own('random', 'v'), shadow] });
    expect(catalog.volatility(null, 'random')).toBe('volatile');
    expect(catalog.volatility('pg_catalog', 'random')).toBe('stable');
  });

  it('are as volatile as what an aggregate is made of', () => {
    const aggregate: FunctionRow = [20_003, 'public', 'total', 'i', '23 23', false];
    const functions = [volatile, stable, aggregate];
    const total = (parts: string) =>
      analyse({ functions, aggregates: [[20_003, parts]] }).volatility(null, 'total');
    expect(total('20001')).toBe('immutable');
    expect(total('20001 20000')).toBe('volatile');
  });

  it('may be written like columns when they take rows', () => {
    const ofRow: FunctionRow = [20_004, 'public', 'label', 'v', '25 16500', true];
    const stableOfRow: FunctionRow = [20_005, 'public', 'title', 's', '25 16500', true];
    const catalog = analyse({ functions: [ofRow, stableOfRow, volatile] });
    expect(catalog.isColumnFunction('label')).toBe(true);
    expect(catalog.isColumnFunction('title')).toBe(false);
    expect(catalog.isColumnFunction('writes')).toBe(false);
  });
});

describe('relations', () => {
  const special = (name: string, kind: RelationRow[3]): RelationRow => [
    17_000,
    'public',
    name,
    kind,
  ];

  it('are plain, or what the catalog says', () => {
    const relations = [special('fast', 'unlogged'), special('far', 'foreign')];
    const catalog = analyse({ relations });
    expect(catalog.relation(null, 'users')).toBe('plain');
    expect(catalog.relation('public', 'users')).toBe('plain');
    expect(catalog.relation('other', 'users')).toBeNull();
    expect(catalog.relation(null, 'nothing')).toBeNull();
    expect(catalog.relation(null, 'fast')).toBe('unlogged');
  });

  it.each([
    ['fu20000', 'volatile'],
    ['fu20001', 'plain'],
    ['ag20000', 'volatile'],
    ['wi20000', 'volatile'],
    ['fu20001 hasfalse', 'plain'],
    ['hastrue', 'writing'],
    ['rel17000', 'unlogged'],
    ['rel17001', 'plain'],
    ['op19000', 'volatile'],
    ['res18000', 'volatile'],
    ['fu200 rel17000', 'writing'],
    ['fu201', 'server-fact'],
    ['fu202', 'writing'],
    ['fu203', 'volatile'],
    ['', 'plain'],
  ] as const)('are what views over %j come to: %s', (references, trait) => {
    const own = (oid: number, name: string): FunctionRow => [
      oid,
      'pg_catalog',
      name,
      's',
      null,
      false,
    ];
    const operator: OperatorRow = ['public', '<=>', 23, 23, '20000', 19_000, false];
    const domain: TypeRow = [18_000, 'public', 'd', 18_001, 25, ''];
    const catalog = analyse({
      functions: [
        ...[volatile, stable, own(200, 'pg_advisory_lock'), own(201, 'pg_is_in_recovery')],
        ...[own(202, 'nextval'), own(203, 'table_to_xml')],
      ],
      relations: [special('fast', 'unlogged')],
      operators: [operator],
      types: [domain],
      trees: [[18_000, 'domain', '', '', 'fu20000'], view(17_100, 'v', references)],
    });
    expect(catalog.relation(null, 'v')).toBe(trait);
  });

  it('take it on through views of views, in whatever order they come', () => {
    const trees = [view(17_101, 'w', 'rel17100'), view(17_100, 'v', 'fu20000')];
    expect(analyse({ trees }).relation(null, 'w')).toBe('volatile');
    expect(analyse({ trees: trees.toReversed() }).relation(null, 'w')).toBe('volatile');
  });

  it('end, when views lead to themselves', () => {
    const trees = [view(17_101, 'w', 'rel17100 rel17101'), view(17_100, 'v', 'rel17101')];
    expect(analyse({ trees }).relation(null, 'w')).toBe('plain');
  });

  it('are what their policies are', () => {
    const policy: TreeRow = [17_002, 'policy', 'public', 'users', 'fu20000'];
    expect(analyse({ trees: [policy] }).relation(null, 'users')).toBe('volatile');
  });
});

describe('types', () => {
  const type = (oid: number, name: string, base: number, functions = ''): TypeRow => [
    oid,
    'public',
    name,
    oid + 500,
    base,
    functions,
  ];

  it('are volatile by their functions, and so are domains, ranges and arrays over them', () => {
    const types = [
      type(18_002, 'c', 18_501),
      type(18_001, 'b', 18_000),
      type(18_000, 'a', 0, '20000'),
    ];
    const catalog = analyse({ types, typeNames: [['public', list('a', 'b', 'c', 'd')]] });
    expect(['a', 'b', 'c', 'd', 'e'].map((name) => catalog.type(null, name))).toEqual([
      ...['volatile', 'volatile', 'volatile', 'plain', null],
    ]);
  });

  it('are volatile by checks, and functions with them', () => {
    const takes: FunctionRow = [20_010, 'public', 'takes', 'i', '23 18000', false];
    const catalog = analyse({
      functions: [volatile, stable, takes],
      types: [type(18_000, 'd', 25)],
      trees: [[18_000, 'domain', '', '', 'fu20000']],
    });
    expect(catalog.type(null, 'd')).toBe('volatile');
    expect(catalog.volatility(null, 'takes')).toBe('volatile');
    expect(catalog.volatility(null, 'reads')).toBe('stable');
  });

  it.each([
    [[18_000, 25, 20_000, false], 'volatile'],
    [[25, 18_000, 20_000, false], 'volatile'],
    [[18_000, 25, 20_001, true], 'plain'],
  ] as const)('are volatile by the cast %j: %s', (cast, expected) => {
    const catalog = analyse({
      types: [type(18_000, 'a', 0)],
      typeNames: [
        ['public', 'a'],
        ['pg_catalog', 'text'],
      ],
      casts: [cast],
    });
    expect(catalog.type(null, 'a')).toBe(expected);
    expect(catalog.type(null, 'text')).toBe('plain');
  });

  it('are volatile by what sorts them', () => {
    const catalog = analyse({ types: [type(18_000, 'a', 0)], support: [[18_000, 18_000, 20_000]] });
    expect(catalog.type(null, 'a')).toBe('volatile');
  });

  it('make relations volatile that have columns of them, and rows of these', () => {
    // The fake database has relation n + 1 for each type n, whose rows are of type n + 1.
    const columns: ColumnRow[] = [
      [18_001, 'public', 'users', true, 18_001, 0],
      [18_002, 'public', 'pair', false, 18_002, 0],
      [18_003, 'public', 'parent', true, 18_003, 0],
    ];
    const catalog = analyse({ types: [type(18_000, 'a', 0, '20000')] }, columns);
    expect(catalog.relation(null, 'users')).toBe('volatile');
    expect(catalog.type(null, 'users')).toBe('volatile');
    expect(catalog.type(null, 'pair')).toBe('volatile');
    expect(catalog.relation(null, 'parent')).toBe('volatile');
    expect(catalog.relation(null, 'far')).toBe('plain');
  });

  it('are also the rows of plain relations', () => {
    expect(analyse({}).type(null, 'users')).toBe('plain');
  });
});

describe('operators', () => {
  const operator = (
    name: string,
    left: number,
    functions: string,
    isCommon: boolean,
  ): OperatorRow => ['public', name, left, 23, functions, 19_000, isCommon];

  it.each([
    ['one of its own name', operator('<=>', 23, '20000', false), 'volatile', 'plain'],
    [
      'one of its own name for a type',
      operator('<=>', 18_000, '20000', false),
      'volatile',
      'plain',
    ],
    ['a stable one', operator('<=>', 18_000, '20001', false), 'plain', 'plain'],
    [
      'one with a common name for common types',
      operator('=', 23, '20000', true),
      'volatile',
      'plain',
    ],
    [
      'one with a common name for a type',
      operator('=', 18_000, '20000', true),
      'plain',
      'volatile',
    ],
  ] as const)('%s', (_, row, operatorIs, typeIs) => {
    const catalog = analyse({
      operators: [row],
      operatorNames: [
        ['public', row[1]],
        ['pg_catalog', '='],
      ],
      types: [[18_000, 'public', 'a', 18_001, 0, '']],
      typeNames: [['public', 'a']],
    });
    expect(catalog.operator(null, row[1])).toBe(operatorIs);
    expect(catalog.type(null, 'a')).toBe(typeIs);
    expect(catalog.operator(null, '@#@')).toBeNull();
  });
});

it('knows the settings of the server', () => {
  const catalog = analyse({ settings: [['port']] });
  expect(catalog.isServerSetting('port')).toBe(true);
  expect(catalog.isServerSetting('work_mem')).toBe(false);
});
