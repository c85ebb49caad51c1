import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { beforeAll, describe, expect, it } from 'vitest';

import { decide, decidedStatements } from '../../../src/router/decide.ts';
import { loadParser, parse } from '../../../src/router/parser.ts';
import { catalog } from './catalog.ts';
import { statementExamples } from './statement-examples.ts';

/** Nodes of the grammar that are named like statements and never stand at the top of one. */
const NOT_STATEMENTS = new Set([
  'RawStmt', // the wrapper around each statement
  'SetOperationStmt', // made by parse analysis
  'ReturnStmt', // RETURN in the body of an SQL function
  'PLAssignStmt', // assignments of PL/pgSQL
  'ReplicaIdentityStmt', // part of ALTER TABLE
]);

/** The names in the Node union of the grammar's own type declarations. */
function grammarStatements(): string[] {
  const require = createRequire(createRequire(import.meta.url).resolve('libpg-query'));
  const types = require.resolve('@pgsql/types').replace(/index\.js$/, 'types.d.ts');
  const declared = readFileSync(types, 'utf8');
  const start = declared.indexOf('export type Node = ');
  const union = declared.slice(start, declared.indexOf('export ', start + 1));
  const names = [...union.matchAll(/\{\s*(\w+): \1;\s*\}/g)].map((match) => match[1]!);
  return names.filter((name) => name.endsWith('Stmt'));
}

describe('the grammar', () => {
  beforeAll(loadParser);

  it('has no statement that the router has not decided', () => {
    const names = grammarStatements();
    expect(names.length).toBeGreaterThan(100);
    const undecided = names.filter(
      (name) => !NOT_STATEMENTS.has(name) && !decidedStatements.has(name),
    );
    expect(undecided).toEqual([]);
  });

  it('has every statement that the router decides', () => {
    const names = new Set(grammarStatements());
    expect([...decidedStatements].filter((name) => !names.has(name))).toEqual([]);
  });

  it('has an example of each here', () => {
    const kinds = grammarStatements().filter((name) => !NOT_STATEMENTS.has(name));
    const lacking = kinds.filter((name) => (statementExamples[name]?.length ?? 0) === 0);
    expect(lacking).toEqual([]);
  });

  it('never makes one of the others of a text', () => {
    expect([...NOT_STATEMENTS].filter((name) => name in statementExamples)).toEqual([]);
  });

  it.each(Object.entries(statementExamples))('%s is parsed and decided', (name, examples) => {
    for (const sql of examples) {
      const nodes = parse(sql);
      expect(
        nodes?.map(({ node }) => Object.keys(node)[0]),
        sql,
      ).toEqual([name]);
      const { access, reason, tag } = decide(nodes![0]!.node, catalog);
      expect(tag, sql).toMatch(/^[A-Z]/);
      // What no table knows has this reason.
      expect(reason, sql).not.toBe('unparsable');
      expect(reason === null, sql).toBe(access === 'read');
    }
  });

  it('takes what no table knows for a write that nobody has read', () => {
    expect(decide({ FutureStmt: {} } as never, catalog)).toMatchObject({
      access: 'write',
      reason: 'unparsable',
      effect: { kind: 'pin', reason: 'unparsed' },
      replicaSafeInTransaction: false,
      forcible: false,
    });
  });
});
