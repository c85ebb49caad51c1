import { describe, expect, it } from 'vitest';
import { type RouteContext, route } from '../../../src/router/route.ts';
import type { Hint } from '../../../src/router/statement.ts';

const calm: RouteContext = {
  opensReadOnlyTransaction: false,
  opensTransaction: false,
  serializable: false,
};
const hint = (target: Hint['target']): Hint => ({ target, settings: new Map(), unknown: [] });
const read = { access: 'read', reason: null, hint: null, sessionOnly: false } as const;
const write = { access: 'write', reason: 'ddl', hint: null, sessionOnly: false } as const;
const session = {
  access: 'read',
  reason: 'session-setting',
  hint: null,
  sessionOnly: true,
} as const;
const replica = (reason: string, fresh: boolean) => ({ target: 'replica', reason, fresh });
const primary = (reason: string) => ({ target: 'primary', reason });

describe('the route of', () => {
  const table: readonly (readonly [string, Parameters<typeof route>[0], object, object])[] = [
    ['a read', read, {}, replica('read', true)],
    ['a write', write, {}, primary('ddl')],
    ['a write without a reason', { ...write, reason: null }, {}, primary('write')],
    ['a write with a hint', { ...write, hint: hint('replica') }, {}, primary('ddl')],
    ['a read with a hint', { ...read, hint: hint('primary') }, {}, primary('hint-primary')],
    ['a read that may be anywhere', { ...read, hint: hint('replica') }, {}, replica('read', true)],
    ['a SET', session, {}, replica('session', false)],
    ['a SERIALIZABLE read', read, { serializable: true }, primary('serializable')],
    ['a SERIALIZABLE SET', session, { serializable: true }, primary('serializable')],
    ['a BEGIN', session, { opensTransaction: true }, primary('transaction')],
    ['a BEGIN with a read', read, { opensTransaction: true }, primary('transaction')],
    [
      'a READ ONLY BEGIN',
      session,
      { opensReadOnlyTransaction: true },
      replica('read-only-transaction', true),
    ],
    [
      'a SERIALIZABLE READ ONLY BEGIN',
      read,
      { opensReadOnlyTransaction: true, serializable: true },
      primary('serializable'),
    ],
  ];
  it.each(table)('%s', (_, request, context, expected) => {
    expect(route(request, { ...calm, ...context })).toEqual(expected);
  });
});
