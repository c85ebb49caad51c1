import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { analyse } from '../../checker/analysis.ts';
import type { History, Operation, Read, Write } from '../../checker/history.ts';
import { Random } from '../../checker/random.ts';
import { SimulatedStore } from './simulated-store.ts';

const steps = 150;

const isRead = (operation: Operation): operation is Read => operation.kind === 'read';
const isWrite = (operation: Operation): operation is Write => operation.kind === 'write';
const isTold = (write: Write) => write.outcome === 'acknowledged';

/** The versions of a register that an operation makes known: a slow reading of what levels mean. */
function shown(operation: Operation, register: number): number {
  if (isWrite(operation)) {
    return isTold(operation) && operation.register === register ? operation.version! : 0;
  }
  if (!isRead(operation)) return 0;
  return operation.values.find((value) => value.register === register)?.version ?? 0;
}

/** What this read must show of a register at least, in a history without promotions. */
function entitledTo(read: Read, register: number, { operations }: History): number {
  const { level, session, proxy, startMs, maxStalenessMs, token } = read;
  const versions: number[] = [0];
  const add = (all: readonly Operation[]) => {
    versions.push(...all.map((operation) => shown(operation, register)));
  };
  const before = (ms: number) => operations.filter(({ endMs }) => endMs < ms);
  const writesBefore = (ms: number) => before(ms).filter(isWrite).filter(isTold);
  const taken = operations.find((other) => other.kind === 'token' && other.token === token);
  if (taken !== undefined) {
    add(before(taken.startMs).filter((other) => other.session === taken.session));
  }
  if (level !== 'eventual') add(writesBefore(startMs - maxStalenessMs));
  if (level !== 'eventual' && level !== 'bounded') {
    add(before(startMs).filter((other) => other.session === session));
  }
  if (level === 'global') add(writesBefore(startMs).filter((other) => other.proxy === proxy));
  if (level === 'strong') add(before(startMs));
  for (const { writer } of read.values) {
    const write = operations.filter(isWrite).find((other) => other.writer === writer);
    if (write === undefined) continue;
    const together = operations
      .filter(isWrite)
      .filter((other) => other.transaction === write.transaction && other.register === register);
    versions.push(...together.map(({ version }) => version ?? 0));
  }
  return Math.max(...versions);
}

/** One value of one read replaced by an older one that was really there. */
function withStaleValue(history: History, random: Random): { history: History; read: Read } | null {
  const candidates = history.operations
    .filter(isRead)
    .filter(({ values }) => values.some(({ version }) => version > 0));
  if (candidates.length === 0) return null;
  const read = random.pick(candidates);
  const value = random.pick(read.values.filter(({ version }) => version > 0));
  const { register } = value;
  const version = value.version - 1 - random.integer(Math.min(3, value.version));
  const writer =
    history.log.find((entry) => entry.register === register && entry.version === version)?.writer ??
    0;
  const values = read.values.map((other) =>
    other === value ? { register, version, writer } : other,
  );
  const stale: Read = { ...read, values };
  const operations = history.operations.map((other) => (other === read ? stale : other));
  return { history: { ...history, operations }, read: stale };
}

describe('a store that keeps its promises', () => {
  it('is never accused, whatever promotions it has been through', () => {
    const promotions = fc.integer({ min: 0, max: 3 });
    fc.assert(
      fc.property(fc.integer(), promotions, (seed, count) => {
        const verdict = analyse(SimulatedStore.run({ seed, steps, promotions: count }));
        expect(verdict.violations).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it('would be held to every rule, and does lose commits', () => {
    const checks = new Set<string>();
    let lostWrites = 0;
    for (let seed = 0; seed < 20; seed++) {
      const verdict = analyse(SimulatedStore.run({ seed, steps, promotions: 2 }));
      for (const rule of verdict.checks.keys()) checks.add(rule);
      lostWrites += verdict.lostWrites;
    }
    expect([...checks].sort()).toEqual([
      'bounded',
      'causal',
      'global',
      'lost-history',
      'lost-token',
      'monotonic-reads',
      'read-your-writes',
      'silent-loss',
      'snapshot',
      'strong',
      'write-order',
    ]);
    expect(lostWrites).toBeGreaterThan(0);
  });
});

describe('a stale value in place of a read one', () => {
  it('is found exactly if the read was entitled to more', () => {
    const outcomes = { entitled: 0, free: 0 };
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const stale = withStaleValue(
          SimulatedStore.run({ seed, steps, promotions: 0 }),
          new Random(seed),
        );
        if (stale === null) return;
        const { history, read } = stale;
        const isEntitledToMore = read.values.some(
          ({ register, version }) => entitledTo(read, register, history) > version,
        );
        outcomes[isEntitledToMore ? 'entitled' : 'free'] += 1;
        const found = analyse(history).violations.map(({ operation }) => operation);
        expect(found.includes(read)).toBe(isEntitledToMore);
        expect(found.every((operation) => operation === read)).toBe(true);
      }),
      { numRuns: 400 },
    );
    expect(outcomes.entitled).toBeGreaterThan(50);
    expect(outcomes.free).toBeGreaterThan(50);
  });
});
