import { readFileSync } from 'node:fs';

import { beforeAll, describe, expect, it } from 'vitest';

import { Classifier } from '../../../src/router/classifier.ts';
import { loadParser } from '../../../src/router/parser.ts';
import type { StatementClass } from '../../../src/router/statement.ts';
import { catalog, describeOutcome } from './catalog.ts';

/** Columns may be padded. */
const HEADER = /^\| Statement +\| Class +\| Reason +\| Effect +\| READ ONLY +\| By hint +\|$/;

interface Row {
  readonly sql: string;
  readonly cells: readonly string[];
}

/** The rows of the tables in docs/classification.md that begin with HEADER. */
function rowsOf(markdown: string): Row[] {
  const rows: Row[] = [];
  let inTable = false;
  for (const line of markdown.split('\n')) {
    if (HEADER.test(line)) inTable = true;
    else if (!line.startsWith('|')) inTable = false;
    else if (inTable && !/^\| *---/.test(line)) {
      const [statement, ...cells] = line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll('\\|', '|'));
      rows.push({ sql: statement!.slice(1, -1), cells });
    }
  }
  return rows;
}

const rows = rowsOf(
  readFileSync(new URL('../../../docs/classification.md', import.meta.url), 'utf8'),
);

function describeReadOnly({ replicaSafeInTransaction, prefersPrimary }: StatementClass): string {
  if (!replicaSafeInTransaction) return 'no';
  return prefersPrimary ? 'not first' : 'yes';
}

describe('docs/classification.md', () => {
  beforeAll(loadParser);

  it('has the tables that this test runs', () => {
    expect(rows.length).toBeGreaterThan(150);
  });

  it.each(rows)('$sql', ({ sql, cells }) => {
    const text = Buffer.from(sql);
    const { statements } = new Classifier({ catalog }).classify(text, 0, text.length);
    expect(statements).toHaveLength(1);
    const statement = statements[0]!;
    expect([
      statement.access,
      statement.reason ?? '',
      describeOutcome(statement),
      describeReadOnly(statement),
      statement.forcible ? 'yes' : 'no',
    ]).toEqual(cells);
  });
});
