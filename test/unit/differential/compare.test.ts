import { describe, expect, it } from 'vitest';
import { judge } from '../../differential/compare.ts';
import { Q } from '../../differential/message.ts';

const script = {
  params: {},
  commands: [{ feature: 'setting' as const, messages: [Q('reset all')], other: null }],
  delivery: 'stepwise' as const,
};
const told = (...reports: string[]) => ({
  lines: ['--- 0', 'CommandComplete RESET', ...reports, 'ReadyForQuery I'],
  left: [],
  isSilent: false,
});
const judged = (direct: string[], proxied: string[]) =>
  judge(script, told(...direct), told(...proxied)).difference;

describe('reports of changed parameters', () => {
  const [zone, back, readOnly] = [
    'ParameterStatus TimeZone=Etc/UTC',
    'ParameterStatus TimeZone=Asia/Tokyo',
    'ParameterStatus default_transaction_read_only=on',
  ];

  it('are the same in any order', () => {
    expect(judged([readOnly, zone], [zone, readOnly])).toBeNull();
    expect(judged([zone, back, readOnly], [readOnly, zone, back])).toBeNull();
  });

  it('are not when one is missing, or those of one parameter come in another order', () => {
    expect(judged([readOnly, zone], [zone])).not.toBeNull();
    expect(judged([zone, back], [back, zone])).not.toBeNull();
  });
});
