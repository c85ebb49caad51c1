import { beforeAll, describe, expect, it } from 'vitest';

import { Classifier } from '../../../src/router/classifier.ts';
import { loadParser } from '../../../src/router/parser.ts';
import type { StatementClass } from '../../../src/router/statement.ts';
import { classificationRows } from '../../support/classification-docs.ts';
import { catalog, describeOutcome } from './catalog.ts';

function describeReadOnly({ replicaSafeInTransaction, prefersPrimary }: StatementClass): string {
  if (!replicaSafeInTransaction) return 'no';
  return prefersPrimary ? 'not first' : 'yes';
}

describe('docs/classification.md', () => {
  beforeAll(loadParser);

  it('has the tables that this test runs', () => {
    expect(classificationRows.length).toBeGreaterThan(150);
  });

  it.each(classificationRows)('$sql', ({ sql, cells }) => {
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
