import { Monitor } from '../../src/lag/monitor.ts';
import { ReadFloor } from '../../src/session/read-floor.ts';
import type { ReadPolicy } from '../../src/session/read-policy.ts';

/** Replaces a method of every instance; what it returns puts it back. */
function replace<Class extends object, Name extends keyof Class>(
  prototype: Class,
  name: Name,
  by: (original: Class[Name]) => Class[Name],
): () => void {
  const original = prototype[name];
  prototype[name] = by(original);
  return () => {
    prototype[name] = original;
  };
}

type Requirement = ReadFloor['requirement'];

/** Reads ask for less than they are entitled to. */
function asking(
  change: (policy: ReadPolicy, minLsn: Parameters<Requirement>[1]) => Parameters<Requirement>,
): () => void {
  return replace(
    ReadFloor.prototype,
    'requirement',
    (original) =>
      function (this: ReadFloor, policy, minLsn) {
        return original.call(this, ...change(policy, minLsn));
      },
  );
}

/**
 * Ways to break the proxies of this process, each by one promise that is not kept any more: what
 * shows that the checker would see it. Nothing in the product knows of them.
 */
export const breakages = {
  /** Any live replica will do. */
  'gate off': () =>
    replace(
      Monitor.prototype,
      'isEligible',
      () =>
        function (this: Monitor, node) {
          return this.nodes[node]!.role === 'replica';
        },
    ),
  /** What a session wrote and saw is forgotten at once. */
  'session floor ignored': () => replace(ReadFloor.prototype, 'raise', () => () => {}),
  /** Only writes count, not reads: a replica may be left for one that is behind it. */
  'monotonic reads ignored': () =>
    replace(
      ReadFloor.prototype,
      'requirement',
      (original) =>
        function (this: ReadFloor, policy, minLsn) {
          return { ...original.call(this, policy, minLsn), previousNode: -1 };
        },
    ),
  'strong taken for session': () =>
    asking((policy, minLsn) => [
      policy.consistency === 'strong' ? { ...policy, consistency: 'session' } : policy,
      minLsn,
    ]),
  'global taken for session': () =>
    asking((policy, minLsn) => [
      policy.consistency === 'global' ? { ...policy, consistency: 'session' } : policy,
      minLsn,
    ]),
  'tokens ignored': () => asking((policy) => [policy, null]),
  'max_staleness ignored': () =>
    replace(
      ReadFloor.prototype,
      'requirement',
      (original) =>
        function (this: ReadFloor, policy, minLsn) {
          const asked = original.call(this, policy, minLsn);
          const isBounded = policy.consistency === 'bounded';
          return { ...asked, budget: null, ...(isBounded && { freshAsOfMs: -Infinity }) };
        },
    ),
  /** Sessions read on after a failover as if nothing had been lost. */
  'losses not told': () => replace(ReadFloor.prototype, 'wasLost', () => () => false),
  'lost tokens honoured': () =>
    replace(
      Monitor.prototype,
      'judgeToken',
      (original) =>
        function (this: Monitor, token) {
          const verdict = original.call(this, token);
          return verdict.kind === 'lost' ? { kind: 'usable', minLsn: verdict.switchLsn } : verdict;
        },
    ),
} as const satisfies Record<string, () => () => void>;

export type BreakageName = keyof typeof breakages;

/** What shows only after a promotion that loses commits. */
export const needsLoss: ReadonlySet<BreakageName> = new Set([
  'losses not told',
  'lost tokens honoured',
]);
