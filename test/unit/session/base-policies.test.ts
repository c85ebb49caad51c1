import { describe, expect, it } from 'vitest';
import { basePolicies } from './policies.ts';

const policies = basePolicies({
  databases: { reports: { consistency: 'bounded', maxStalenessMs: 60_000 } },
  users: { batch: { consistency: 'eventual', onTimeout: 'error' } },
});
const of = (user: string, database: string) => policies.of(user, database);

describe('what a session starts with', () => {
  it('comes from the cluster, over it the database, over it the user', () => {
    expect(of('u', 'd')).toMatchObject({ consistency: 'session', maxStalenessMs: 1_000 });
    expect(of('u', 'reports')).toMatchObject({ consistency: 'bounded', maxStalenessMs: 60_000 });
    expect(of('batch', 'reports')).toMatchObject({
      consistency: 'eventual',
      maxStalenessMs: 60_000,
      onTimeout: 'error',
      waitTimeoutMs: 20,
    });
    expect(of('__proto__', 'constructor')).toEqual(of('u', 'd'));
  });

  it('shares what is known of the nodes among sessions with the same limit', () => {
    expect(of('u', 'd').budget).toBe(of('v', 'e').budget);
    expect(of('u', 'reports').budget).not.toBe(of('u', 'd').budget);
  });

  it('comes from the startup packet above all', () => {
    const own = new Map([
      ['tidemark.consistency', 'global'],
      ['tidemark.min_lsn', '0/3001028'],
      ['tidemark.report_lsn', 'on'],
    ]);
    const { policy, reportsLsn } = policies.withStartup(of('batch', 'reports'), own);
    expect(policy).toMatchObject({ consistency: 'global', minLsn: { text: '0/3001028' } });
    expect(reportsLsn).toBe(true);
    expect(policies.withStartup(of('u', 'd'), new Map()).reportsLsn).toBe(false);
  });

  it.each([
    ['tidemark.consistency', 'strongest', '22023'],
    ['tidemark.report_lsn', 'perhaps', '22023'],
    ['tidemark.lag', '1', '42602'],
  ])('refuses %s = %s', (name, text, sqlstate) => {
    const refused = () => policies.withStartup(of('u', 'd'), new Map([[name, text]]));
    expect(refused).toThrow(expect.objectContaining({ sqlstate }));
  });
});
