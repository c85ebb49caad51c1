import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { beforeAll, describe, expect, it } from 'vitest';

import { decide, decidedStatements } from '../../../src/router/decide.ts';
import { loadParser } from '../../../src/router/parser.ts';
import { catalog } from './catalog.ts';

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
  const names = readFileSync(types, 'utf8').matchAll(/^export interface (\w+Stmt) /gm);
  return [...names].map((match) => match[1]!);
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

  it('gives each of them a class even when all its fields are missing', () => {
    for (const name of decidedStatements) {
      const { access, reason, tag } = decide({ [name]: {} } as never, catalog);
      expect(tag, name).toMatch(/^[A-Z]/);
      expect(reason === 'unparsable' && name !== 'ExplainStmt', name).toBe(false);
      expect(['read', 'write', 'session'], name).toContain(access);
    }
  });
});
