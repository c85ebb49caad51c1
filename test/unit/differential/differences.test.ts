import { describe, expect, it } from 'vitest';
import { allowedDifferences, type Fork } from '../../differential/differences.ts';
import { Q } from '../../differential/message.ts';

const explain = (name: string, fork: Fork) =>
  allowedDifferences.find((one) => one.name === name)!.explains(fork);

const fork = (sql: readonly string[], direct: string, proxied: string): Fork => ({
  script: {
    params: {},
    commands: sql.map((text) => ({ feature: 'other', messages: [Q(text)], other: null })),
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

  it('explains which of two mistakes an EXECUTE is told', () => {
    const found = fork(['drop table t cascade', 'execute s1'], wrongCount, noTable);
    expect(explain('prepared again', found)).toEqual({ direct: 1, proxied: 1 });
  });

  it('explains neither another error nor that of a table which nobody has dropped', () => {
    const other = 'ErrorResponse S:ERROR V:ERROR C:22012 M:division by zero ';
    const script = ['drop table t cascade', 'execute s1'];
    expect(explain('prepared again', fork(script, wrongCount, other))).toBeNull();
    expect(explain('prepared again', fork(script, other, noTable))).toBeNull();
    expect(explain('prepared again', fork(['execute s1'], wrongCount, noTable))).toBeNull();
  });
});
