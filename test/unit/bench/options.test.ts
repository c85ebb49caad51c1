import { describe, expect, it } from 'vitest';
import { parseOptions } from '../../../bench/staleness/options.ts';
import { pgpoolVariants } from '../../../bench/staleness/pgpool-variants.ts';
import { isAtLeast, pgpoolConf } from '../../../bench/support/pgpool.ts';
import { parseRequests } from '../../../bench/support/tidemark.ts';

describe('the options of the staleness bench', () => {
  it('have defaults', () => {
    expect(parseOptions([])).toMatchObject({
      sessions: 16,
      traffic: { ownReads: 4, otherReads: 2, thinkMs: 0 },
      delaysMs: [0, 50, 500],
      fsync: 'on',
      program: 'built',
      targets: null,
    });
    expect(parseOptions(['--help'])).toBeNull();
  });

  it('are taken from the command line', () => {
    const args = ['--sessions=2', '--think', '12.5', '--delays', '0,20', '--targets', 'a,b'];
    expect(parseOptions([...args, '--no-output', '--source', '--fsync', 'off'])).toMatchObject({
      sessions: 2,
      traffic: { thinkMs: 12.5 },
      delaysMs: [0, 20],
      targets: ['a', 'b'],
      ...{ output: null, program: 'source', fsync: 'off' },
    });
  });

  it.each([
    ['--sessions', '0'],
    ['--sessions', '1.5'],
    ['--delays', '0,,5'],
    ['--seconds', 'ten'],
    ['--fsync', 'maybe'],
    ['--nothing-of-the-kind', '1'],
  ])('refuse %s %s', (option, value) => {
    expect(() => parseOptions([option, value])).toThrow(option);
  });
});

describe('the settings of Pgpool-II', () => {
  it('are quoted', () => {
    expect(pgpoolConf({ port: '1', sr_check_password: "it's" })).toBe(
      "port = '1'\nsr_check_password = 'it''s'\n",
    );
  });

  it('limit the delay by time where the version can', () => {
    const tight = (version: string) =>
      pgpoolVariants(version).find(({ key }) => key === 'pgpool-tight')!.settings;
    expect(tight('4.3.5')).not.toHaveProperty('delay_threshold_by_time');
    expect(tight('4.4')).toHaveProperty('delay_threshold_by_time');
    expect([isAtLeast('5.0', 4, 4), isAtLeast('4.10', 4, 4), isAtLeast('3.9', 4, 4)]).toEqual([
      ...[true, true, false],
    ]);
  });
});

describe('the requests in the metrics of Tidemark', () => {
  it('are summed over the nodes', () => {
    const metrics = [
      '# TYPE tidemark_requests_total counter',
      'tidemark_requests_total{node="a",role="primary",reason="write"} 4',
      'tidemark_requests_total{node="b",role="replica",reason="read"} 10',
      'tidemark_requests_total{node="c",role="replica",reason="read"} 7',
      'tidemark_retries_total 3',
    ].join('\n');
    expect(parseRequests(metrics)).toEqual(
      new Map([
        ['primary write', 4],
        ['replica read', 17],
      ]),
    );
  });
});
