import type { Classified, StatementClass } from './statement.ts';

/** A query string as the sum of its statements. */
export function summary(statements: readonly StatementClass[], key: string): Classified {
  const writing = statements.find(({ access }) => access === 'write');
  const first = writing ?? statements.find(({ reason }) => reason !== null);
  return {
    access: writing === undefined ? 'read' : 'write',
    reason: first?.reason ?? null,
    statements,
    hasEffects: statements.some(({ effect }) => effect !== null),
    forcible: statements.every(({ forcible }) => forcible),
    namesUnknown: statements.some(({ reason }) => reason?.startsWith('unknown-') === true),
    hint: null,
    key,
  };
}
