import { describe, expect, it } from 'vitest';
import { parseOptions } from '../../../../bench/soak/options.ts';
import { soakPlot } from '../../../../bench/soak/plot.ts';
import { soakReport } from '../../../../bench/soak/report.ts';
import type { SoakResults } from '../../../../bench/soak/results.ts';
import type { Sample } from '../../../../bench/soak/sample.ts';
import { leftBehind, problemsOf, rssSlope } from '../../../../bench/soak/verdict.ts';

const nothing: Sample = {
  ...{ atSeconds: 0, rss: 100e6, heapUsed: 20e6, external: 1e6, clients: 0, pinnedClients: 0 },
  ...{ waiting: 0, activeConnections: 0, idleConnections: 2, connectingConnections: 0 },
  ...{ openFiles: 30, timers: 3, sockets: 8, backends: 2, busyBackends: 0 },
};

/** A sample each second, RSS growing by so many bytes in each. */
const samplesOf = (bytesPerSecond: number, count = 100): Sample[] =>
  Array.from({ length: count }, (_, second) => ({
    ...nothing,
    atSeconds: second,
    rss: nothing.rss + second * bytesPerSecond,
  }));

const results = (over: Partial<SoakResults> = {}): SoakResults => ({
  at: '2026-01-01T00:00:00.000Z',
  command: 'npm run bench:soak',
  machine: { platform: 'x', cores: 1, cpu: 'y', memoryGib: 1, node: 'v', loadBefore: 0 },
  ...{ version: '1', postgres: {}, note: null, minutes: 2, players: 3, before: nothing },
  ...{ after: nothing, samples: samplesOf(0), connectionsMax: 60, connects: 9 },
  ...{ acts: { 'simple read': 7 }, surprises: {}, logged: [], problems: [] },
  ...over,
});

describe('what is left behind', () => {
  it('is nothing where only the pools have grown', () => {
    const grown = { idleConnections: 60, backends: 60, openFiles: 88, sockets: 66, timers: 8 };
    expect(leftBehind(nothing, { ...nothing, ...grown }, 60)).toEqual([]);
  });

  it.each<[string, Partial<Sample>]>([
    ['clients are still there', { clients: 1 }],
    ['clients are still pinned', { pinnedClients: 1 }],
    ['still wait', { waiting: 1 }],
    ['still in use', { activeConnections: 1 }],
    ['being opened', { connectingConnections: 1 }],
    ['in a transaction', { busyBackends: 1 }],
    ['61 server connections', { idleConnections: 61, backends: 61 }],
    ['3 backends', { backends: 3 }],
    ['14 sockets', { sockets: 14 }],
    ['36 open files', { openFiles: 36 }],
    ['9 timers', { timers: 9 }],
  ])('is told: %s', (told, left) => {
    const problems = leftBehind(nothing, { ...nothing, ...left }, 60);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(told);
  });
});

describe('the verdict', () => {
  it('is that RSS has grown when it has, by more than chance', () => {
    expect(rssSlope(samplesOf(1_000))).toBeCloseTo(1_000);
    expect(problemsOf(results({ samples: samplesOf(100_000) }))).toEqual([]);
    expect(problemsOf(results({ samples: samplesOf(200_000) }))).toEqual([
      expect.stringMatching(/^RSS has grown by 14\.\d % after the warm-up$/),
    ]);
  });

  it('does not count the warm-up', () => {
    const samples = samplesOf(0).map((sample, index) =>
      index < 25 ? { ...sample, rss: sample.rss / 2 } : sample,
    );
    expect(problemsOf(results({ samples }))).toEqual([]);
  });

  it('names what nobody meant to happen, and what was logged', () => {
    const surprises = { 'simple read: 08006 lost': 2 };
    expect(problemsOf(results({ surprises, logged: ['{"level":"error"}'] }))).toEqual([
      '2 times simple read: 08006 lost',
      'logged: {"level":"error"}',
    ]);
  });

  it('is in the report', () => {
    expect(soakReport(results(), 'markdown')).toContain('Passed: nothing was left behind');
    const failed = soakReport(results({ problems: ['1 clients are still there'] }), 'text');
    expect(failed).toContain('- 1 clients are still there');
    expect(failed).toContain('simple read      7');
    expect(soakPlot(results())).toContain('<polyline');
  });
});

describe('the options of the soak', () => {
  it('have defaults', () => {
    expect(parseOptions([])).toMatchObject({ minutes: 30, players: 40, poolSize: 20, seed: 1 });
    expect(parseOptions(['--minutes', '0.5'])).toMatchObject({ minutes: 0.5 });
    expect(parseOptions(['--help'])).toBeNull();
  });

  it.each([
    ['--minutes', '0'],
    ['--minutes', 'long'],
    ['--players', '0'],
    ['--seed', '-1'],
  ])('refuse %s %s', (option, value) => {
    expect(() => parseOptions([`${option}=${value}`])).toThrow(option);
  });
});
