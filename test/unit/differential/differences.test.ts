import { describe, expect, it } from 'vitest';
import { allowedDifferences, type Fork } from '../../differential/differences.ts';
import { B, DS, E, H, type Message, P, Q, S } from '../../differential/message.ts';

const explain = (name: string, fork: Fork) =>
  allowedDifferences.find((one) => one.name === name)!.explains(fork);

const fork = (
  commands: readonly (readonly Message[])[],
  direct: string,
  proxied: string,
): Fork => ({
  script: {
    params: {},
    commands: commands.map((messages) => ({ feature: 'other', messages, other: null })),
    delivery: 'stepwise',
  },
  direct: ['--- 1', direct, 'ReadyForQuery I'],
  proxied: ['--- 1', proxied, 'ReadyForQuery I'],
  directAt: 1,
  proxiedAt: 1,
});

describe('prepared again', () => {
  const wrongCount =
    'ErrorResponse S:ERROR V:ERROR C:42601 M:wrong number of parameters for prepared statement "s1" D:Expected 1 parameters but got 0. ';
  const noTable = 'ErrorResponse S:ERROR V:ERROR C:42P01 M:relation "t" does not exist P:13 ';

  const script = [[Q('drop table t cascade')], [Q('execute s1')]];

  it('explains which of two mistakes an EXECUTE is told', () => {
    const found = fork(script, wrongCount, noTable);
    expect(explain('prepared again', found)).toEqual({ direct: 1, proxied: 1 });
  });

  it('explains neither another error nor that of a table which nobody has dropped', () => {
    const other = 'ErrorResponse S:ERROR V:ERROR C:22012 M:division by zero ';
    expect(explain('prepared again', fork(script, wrongCount, other))).toBeNull();
    expect(explain('prepared again', fork(script, other, noTable))).toBeNull();
    expect(explain('prepared again', fork([[Q('execute s1')]], wrongCount, noTable))).toBeNull();
  });
});

describe('what a batch has run before its sides part', () => {
  const noTable = 'ErrorResponse S:ERROR V:ERROR C:42P01 M:relation "t" does not exist P:13 ';
  const set = [P('', 'set search_path = pg_catalog'), B(), E(), DS('s1'), S];
  const both = ['--- 1', 'ParseComplete', 'BindComplete'];
  const parts = (ran: readonly string[], ends: readonly string[]): Fork => ({
    ...fork([[Q('select 1')], set], '', ''),
    direct: [...both, ...ran, 'ParameterDescription 0x0000', ...ends, 'ReadyForQuery I'],
    proxied: [...both, ...ran, noTable, 'ReadyForQuery I'],
    directAt: both.length + ran.length,
    proxiedAt: both.length + ran.length,
  });

  it('stays on one side only, so that nothing behind it can be compared', () => {
    const found = parts(['CommandComplete SET'], ['NoData']);
    expect(explain('prepared again', found)).toBe('rest');
  });

  it('is undone on both sides where both fail', () => {
    const found = parts(['CommandComplete SET'], [noTable]);
    expect(explain('prepared again', found)).toEqual({ direct: 2, proxied: 1 });
  });

  it('may be nothing', () => {
    expect(explain('prepared again', parts([], ['NoData']))).toEqual({ direct: 2, proxied: 1 });
  });
});

describe('too late for an isolation level', () => {
  const tooLate =
    'ErrorResponse S:ERROR V:ERROR C:25001 M:SET TRANSACTION ISOLATION LEVEL must be called before any query ';
  const sets = [P('', 'set transaction isolation level serializable'), B(), E(), H];

  it('explains a batch that goes on behind a Flush', () => {
    const found = fork([[P('', 'select 1'), H], sets], tooLate, 'CommandComplete SET');
    expect(explain('too late for an isolation level', found)).toBe('rest');
  });

  it('explains nothing without a Flush, and no other answer', () => {
    const told = fork([[Q('begin')], [Q('select 1')]], tooLate, 'CommandComplete SET');
    expect(explain('too late for an isolation level', told)).toBeNull();
    const other = fork([[P('', 'select 1'), H], sets], tooLate, 'CommandComplete SELECT 1');
    expect(explain('too late for an isolation level', other)).toBeNull();
  });
});

describe('other named differences', () => {
  const copy = 'C:08P01 M:unexpected message type 0x43 during COPY from stdin W:COPY t, line 1 ';

  it('are explained by what both sides say', () => {
    const told = fork(
      [[Q('copy t from stdin')]],
      `ErrorResponse S:ERROR ${copy}`,
      `ErrorResponse S:FATAL ${copy}`,
    );
    expect(explain('wrong message during COPY', told)).toBe('rest');
    const refused =
      'ErrorResponse S:ERROR V:ERROR C:0A000 M:cannot PREPARE a transaction that has executed LISTEN, UNLISTEN, or NOTIFY ';
    const script = [[Q("unlisten ch2; prepare transaction 'g1'")]];
    const prepared = fork(script, 'CommandComplete PREPARE TRANSACTION', refused);
    expect(explain('UNLISTEN before PREPARE TRANSACTION', prepared)).toBe('rest');
  });

  it('are not explained otherwise', () => {
    const same = `ErrorResponse S:ERROR ${copy}`;
    expect(explain('wrong message during COPY', fork([], same, 'ReadyForQuery I'))).toBeNull();
    const other = fork(
      [[Q("prepare transaction 'g1'")]],
      'CommandComplete PREPARE TRANSACTION',
      same,
    );
    expect(explain('UNLISTEN before PREPARE TRANSACTION', other)).toBeNull();
  });
});

describe('channels within a transaction', () => {
  const name = 'channels within a transaction';
  const list = Q('select * from pg_listening_channels() order by 1');
  const asked = (first: Message, rows: readonly string[], status: string): Fork => ({
    ...fork([[first], [list]], '', ''),
    direct: ['--- 1', ...rows, `CommandComplete SELECT ${rows.length}`, `ReadyForQuery ${status}`],
    proxied: ['--- 1', 'CommandComplete SELECT 0', `ReadyForQuery ${status}`],
  });
  const rows = ['DataRow "ch1"', 'DataRow "ch2"'];

  it('explains that none are listed there', () => {
    expect(explain(name, asked(Q('listen ch1'), rows, 'T'))).toEqual({ direct: 3, proxied: 1 });
    expect(explain(name, asked(Q('listen ch1'), rows, 'E'))).toEqual({ direct: 3, proxied: 1 });
  });

  it('explains nothing outside of one, of a session that does not listen, or of other rows', () => {
    expect(explain(name, asked(Q('listen ch1'), rows, 'I'))).toBeNull();
    expect(explain(name, asked(Q('select 1'), rows, 'T'))).toBeNull();
    expect(explain(name, asked(Q('listen ch1'), ['DataRow "one"'], 'T'))).toBeNull();
    expect(explain(name, asked(Q('listen ch1'), [], 'T'))).toBeNull();
    const other = { ...asked(Q('listen ch1'), rows, 'T'), proxied: ['--- 1', 'DataRow "ch1"'] };
    expect(explain(name, other)).toBeNull();
  });
});

describe('temporary schema', () => {
  const noSchema = 'ErrorResponse S:ERROR V:ERROR C:3F000 M:schema "pg_temp" does not exist ';
  const noTable = 'ErrorResponse S:ERROR V:ERROR C:42P01 M:table "t" does not exist ';
  const drop = [[Q('begin')], [Q('drop table pg_temp.t')]];

  it('explains that it is there on one side only', () => {
    for (const [direct, proxied] of [
      [noSchema, noTable],
      [noTable, noSchema],
    ] as const) {
      const found = explain('temporary schema', fork(drop, direct, proxied));
      expect(found).toEqual({ direct: 1, proxied: 1 });
    }
    const other = fork(drop, 'CommandComplete DROP TABLE', noSchema);
    expect(explain('temporary schema', other)).toBeNull();
  });
});

describe('failed transaction on another connection', () => {
  const aborted = 'ErrorResponse S:ERROR V:ERROR C:25P02 M:current transaction is aborted ';
  const described = (batch: readonly Message[]) =>
    fork([[Q('begin')], batch], 'ParameterDescription 0x0000', aborted);

  it('explains a Describe that is refused, up to the end of its batch', () => {
    const found = explain('failed transaction on another connection', described([DS('s1'), S]));
    expect(found).toEqual({ direct: 1, proxied: 1 });
  });

  it('compares nothing behind a batch that makes statements as well', () => {
    for (const name of ['', 's2']) {
      const found = described([DS('s1'), P(name, 'select 1'), S]);
      expect(explain('failed transaction on another connection', found)).toBe('rest');
    }
  });
});
