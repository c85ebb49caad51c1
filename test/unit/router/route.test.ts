import { describe, expect, it } from 'vitest';
import { type RouteContext, route } from '../../../src/router/route.ts';

const calm: RouteContext = {
  opensReadOnlyTransaction: false,
  opensTransaction: false,
  serializable: false,
  target: 'auto',
};
const read = { access: 'read', reason: null, forcible: true, sessionOnly: false } as const;
const write = { access: 'write', reason: 'ddl', forcible: false, sessionOnly: false } as const;
const doubtful = { ...write, reason: 'volatile-function', forcible: true } as const;
const session = {
  access: 'read',
  reason: 'session-setting',
  forcible: true,
  sessionOnly: true,
} as const;
const replica = (reason: string, fresh: boolean) => ({ target: 'replica', reason, fresh });
const primary = (reason: string) => ({ target: 'primary', reason });

describe('the route of', () => {
  const table: readonly (readonly [string, Parameters<typeof route>[0], object, object])[] = [
    ['a read', read, {}, replica('read', true)],
    ['a write', write, {}, primary('ddl')],
    ['a write without a reason', { ...write, reason: null }, {}, primary('write')],
    ['a write that wants a replica', write, { target: 'replica' }, primary('ddl')],
    ['what might write', doubtful, {}, primary('volatile-function')],
    ['the same for the primary', doubtful, { target: 'primary' }, primary('volatile-function')],
    ['the same for a replica', doubtful, { target: 'replica' }, replica('hint-replica', true)],
    [
      'the same behind BEGIN',
      doubtful,
      { target: 'replica', opensTransaction: true },
      primary('transaction'),
    ],
    [
      'the same in SERIALIZABLE',
      doubtful,
      { target: 'replica', serializable: true },
      primary('serializable'),
    ],
    ['a read for the primary', read, { target: 'primary' }, primary('hint-primary')],
    ['a read for a replica', read, { target: 'replica' }, replica('read', true)],
    ['a SET for the primary', session, { target: 'primary' }, primary('hint-primary')],
    ['a SET for a replica', session, { target: 'replica' }, replica('session', false)],
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
