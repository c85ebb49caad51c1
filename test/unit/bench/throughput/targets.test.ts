import { describe, expect, it } from 'vitest';
import { destinationOf } from '../../../../bench/throughput/target.ts';
import { tidemarkReadCounts } from '../../../../bench/throughput/targets.ts';

describe('targets', () => {
  it('are connected to by a string without the password', () => {
    const login = { host: '127.0.0.1', port: 5, user: 'a b', password: 'secret', database: 'd/e' };
    expect(destinationOf(login)).toEqual({
      connection: 'postgres://a%20b@127.0.0.1:5/d%2Fe',
      login,
    });
  });

  it('count the reads of Tidemark, and where they went', () => {
    const requests = new Map([
      ['replica read', 80],
      ['replica read-waited', 10],
      ['primary no-fresh-replica', 7],
      ['primary wait-timeout', 3],
      ['primary write', 1_000],
      ['primary transaction', 1_000],
      ['primary login', 1_000],
    ]);
    expect(tidemarkReadCounts(requests)).toEqual({ onReplicas: 90, onPrimary: 10 });
  });
});
