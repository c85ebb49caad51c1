import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Gate, type Waiter } from '../../../src/lag/gate.ts';
import type { Lsn } from '../../../src/lag/lsn.ts';
import type { Monitor } from '../../../src/lag/monitor.ts';
import { noRequirement, type ReadRequirement } from '../../../src/lag/read-requirement.ts';

const NEVER = Number.NEGATIVE_INFINITY;
const NODES = 3;

/** Positions and moments in the test's hand; judged as simply as can be. */
class FakeMonitor {
  readonly freshAsOf: number[] = Array(NODES).fill(NEVER);
  readonly replayed: bigint[] = Array(NODES).fill(0n);
  newestSampleMs = NEVER;
  primaryNode = 0;

  isEligible(node: number, { freshAsOfMs, minLsn, ...before }: ReadRequirement): boolean {
    const isKept =
      node === before.previousNode || this.freshAsOf[node]! >= before.previousReadEndMs;
    return (
      node !== 0 &&
      this.freshAsOf[node]! >= freshAsOfMs &&
      (minLsn === null || this.replayed[node]! >= minLsn) &&
      (before.previousNode === -1 || isKept)
    );
  }

  get monitor(): Monitor {
    const nodes = Array.from({ length: NODES }, (_, node) => {
      const replayed = this.replayed;
      return {
        node,
        role: node === 0 ? 'primary' : 'replica',
        get replayLsn() {
          return replayed[node];
        },
      };
    });
    return {
      nodes,
      now: () => performance.now(),
      primary: () => this.primaryNode,
      attachDemand: () => {},
      urge: () => {},
      isEligible: (node: number, requirement: ReadRequirement) =>
        this.isEligible(node, requirement),
      clock: {
        freshAsOfMs: (node: number) => this.freshAsOf[node]!,
        isFlushed: () => true,
        lsnCovering: (momentMs: number) =>
          momentMs <= this.newestSampleMs ? (BigInt(Math.floor(this.newestSampleMs)) as Lsn) : null,
        newestPrimarySampleMs: this.newestSampleMs,
      },
    } as unknown as Monitor;
  }
}

interface Expected {
  readonly id: number;
  readonly isMet: () => boolean;
  readonly deadlineMs: number;
  readonly waiter: Waiter;
}

const agoMs = fc.integer({ min: -50, max: 200 });
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('read' as const),
      freshAgoMs: fc.option(agoMs),
      minLsn: fc.option(fc.nat(40), { freq: 3 }),
      previousNode: fc.constantFrom(-1, -1, 1, 2),
      previousAgoMs: agoMs,
      waitMs: fc.nat(120),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('primary' as const), waitMs: fc.nat(120) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('sample' as const), ago: agoMs, waitMs: fc.nat(120) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('cancel' as const), at: fc.nat() }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('progress' as const),
      node: fc.integer({ min: 1, max: NODES - 1 }),
      bytes: fc.nat(5),
      agoMs: fc.nat(60),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('failover' as const) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.nat(40) }) },
);

describe('the gate against a list of waiters', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('answers whom it can as soon as it can, all others at their deadline, and nobody twice', () => {
    const counts = { met: 0, overdue: 0, cancelled: 0 };
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
        const fake = new FakeMonitor();
        const { monitor } = fake;
        const gate = new Gate(monitor);
        const answers = new Map<number, boolean>();
        let waiting: Expected[] = [];
        let ids = 0;
        const add = (
          waitMs: number,
          isMet: () => boolean,
          start: (deadlineMs: number, done: (isMet: boolean) => void) => Waiter,
        ) => {
          const id = ++ids;
          const deadlineMs = performance.now() + waitMs;
          const waiter = start(deadlineMs, (isMet) => {
            expect(answers.has(id)).toBe(false);
            answers.set(id, isMet);
          });
          expect(answers.has(id)).toBe(false);
          waiting.push({ id, isMet, deadlineMs, waiter });
        };
        for (const one of steps) {
          const nowMs = performance.now();
          switch (one.do) {
            case 'read': {
              const requirement: ReadRequirement = {
                ...noRequirement,
                freshAsOfMs: one.freshAgoMs === null ? NEVER : nowMs - one.freshAgoMs,
                minLsn: one.minLsn === null ? null : (BigInt(one.minLsn) as Lsn),
                previousNode: one.previousNode,
                previousReadEndMs: nowMs - one.previousAgoMs,
              };
              const isMet = () => [1, 2].some((node) => fake.isEligible(node, requirement));
              add(one.waitMs, isMet, (deadlineMs, done) =>
                gate.wait(requirement, deadlineMs, (node) => {
                  if (node !== -1) expect(fake.isEligible(node, requirement)).toBe(true);
                  done(node !== -1);
                }),
              );
              break;
            }
            case 'primary':
              add(
                one.waitMs,
                () => fake.primaryNode !== -1,
                (deadlineMs, done) => gate.waitForPrimary(deadlineMs, (node) => done(node !== -1)),
              );
              break;
            case 'sample': {
              const momentMs = nowMs - one.ago;
              add(
                one.waitMs,
                () => momentMs <= fake.newestSampleMs,
                (deadlineMs, done) =>
                  gate.waitForSample(momentMs, deadlineMs, (lsn) => done(lsn !== null)),
              );
              break;
            }
            case 'cancel': {
              const gone = waiting[one.at % Math.max(1, waiting.length)];
              if (gone === undefined) break;
              gone.waiter.cancel();
              gone.waiter.cancel();
              waiting = waiting.filter((other) => other !== gone);
              counts.cancelled++;
              break;
            }
            case 'progress':
              fake.newestSampleMs = Math.max(fake.newestSampleMs, nowMs - one.agoMs);
              (monitor.clock as { newestPrimarySampleMs: number }).newestPrimarySampleMs =
                fake.newestSampleMs;
              fake.freshAsOf[one.node] = Math.max(fake.freshAsOf[one.node]!, nowMs - one.agoMs);
              fake.replayed[one.node]! += BigInt(one.bytes);
              gate.progressed();
              break;
            case 'failover':
              fake.primaryNode = fake.primaryNode === -1 ? 0 : -1;
              gate.primaryChanged();
              break;
            case 'pass':
              vi.advanceTimersByTime(one.ms);
              break;
          }
          vi.advanceTimersByTime(1);
          const still: Expected[] = [];
          for (const expected of waiting) {
            const answer = answers.get(expected.id);
            if (answer === undefined) {
              expect(expected.isMet()).toBe(false);
              expect(expected.deadlineMs).toBeGreaterThan(performance.now() - 1);
              still.push(expected);
            } else if (answer) {
              counts.met++;
            } else {
              expect(expected.deadlineMs).toBeLessThanOrEqual(performance.now());
              counts.overdue++;
            }
          }
          waiting = still;
          expect(gate.size).toBe(waiting.length);
        }
        gate.close();
        expect(waiting.every(({ id }) => answers.get(id) === false)).toBe(true);
        expect(vi.getTimerCount()).toBe(0);
      }),
      { numRuns: 300 },
    );
    expect(Math.min(...Object.values(counts))).toBeGreaterThan(500);
  });
});
