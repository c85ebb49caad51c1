import { performance } from 'node:perf_hooks';
import { beforeAll, describe, expect, it } from 'vitest';
import { consistencyLevels } from '../../src/config.ts';
import { analyse } from '../checker/analysis.ts';
import { type BreakageName, breakages, needsLoss } from '../checker/breakages.ts';
import type { Recorder } from '../checker/recorder.ts';
import { playRound } from '../checker/round.ts';
import { Summary } from '../checker/summary.ts';

/** Of a run that is to be played again, as far as timing lets it. */
const seed = Number(process.env.TIDEMARK_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** `long`: all breakages, not only the worst. The long run itself is npm run check:consistency. */
const isLong = process.env.TIDEMARK_TEST_CHECKER === 'long';

/** What they ask for is not always there yet. */
const waitingLevels = ['session', 'global', 'strong'] as const;
const readsMin = 200;
const readsOnReplicasMin = 50;

/** For the tests below. How many demands the reads make is known at the end only: twice as many. */
function isEnough(recorder: Recorder): boolean {
  return consistencyLevels.every((level) => {
    const { reads, onReplicas, waited, withForeignToken } = recorder.level(level);
    const hasWaited = waited > 0 || !waitingLevels.some((one) => one === level);
    return (
      reads > 2 * readsMin && onReplicas > readsOnReplicasMin && withForeignToken > 0 && hasWaited
    );
  });
}

describe(`sessions at every level under faults and a promotion (TIDEMARK_TEST_SEED=${seed})`, () => {
  const summary = new Summary();

  beforeAll(async () => {
    const erasMs = [18_000, 8_000];
    const round = await playRound({ seed, replicas: 3, clients: 16, erasMs, isEnough });
    summary.add(round, analyse(round.history));
    if (isLong) console.log(summary.text());
  }, 600_000);

  it('see what they are entitled to', () => {
    expect(summary.violations.map(({ rule, message }) => `${rule}: ${message}`)).toEqual([]);
  });

  it('were served by replicas at every level', () => {
    for (const level of consistencyLevels) {
      const { reads, onReplicas } = summary.level(level);
      expect(reads, level).toBeGreaterThan(readsMin);
      expect(onReplicas, level).toBeGreaterThan(readsOnReplicasMin);
    }
  });

  it('waited for replicas at every level that promises what others have not', () => {
    for (const level of waitingLevels) {
      expect(summary.level(level).waited, level).toBeGreaterThan(0);
    }
  });

  it('passed tokens on, also between proxies', () => {
    for (const level of consistencyLevels) {
      expect(summary.level(level).withForeignToken, level).toBeGreaterThan(0);
    }
  });

  it('were held to demands of every kind', () => {
    for (const rule of [
      'read-your-writes',
      'monotonic-reads',
      'global',
      'causal',
      'strong',
      'bounded',
      'snapshot',
      'write-order',
    ] as const) {
      expect(summary.checks.get(rule), rule).toBeGreaterThan(100);
    }
    expect(summary.promotions).toBe(1);
  });
});

describe('a proxy that is broken on purpose', () => {
  const limitMs = 60_000;
  const names = Object.keys(breakages) as BreakageName[];

  /** Plays rounds until one has a violation. */
  async function caught(name: BreakageName): Promise<Summary> {
    const summary = new Summary();
    const restore = breakages[name]();
    const sinceMs = performance.now();
    try {
      while (summary.violationCount === 0 && performance.now() - sinceMs < limitMs) {
        const round = await playRound({
          seed: seed + summary.rounds,
          replicas: 2,
          clients: 16,
          ...(needsLoss.has(name)
            ? { erasMs: [2_000, 3_000], way: 'loses commits' }
            : { erasMs: [6_000] }),
        });
        summary.add(round, analyse(round.history));
      }
    } finally {
      restore();
    }
    return summary;
  }

  it.each(names.filter((name) => isLong || name === 'gate off'))(
    'is caught: %s',
    async (name) => {
      const summary = await caught(name);
      const rules = new Set(summary.violations.map(({ rule }) => rule));
      if (isLong) console.log(`${name}: ${summary.violationCount} violations of ${[...rules]}`);
      expect(summary.violationCount).toBeGreaterThan(0);
    },
    300_000,
  );
});
