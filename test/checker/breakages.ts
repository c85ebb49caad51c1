import { Monitor } from '../../src/lag/monitor.ts';
import { ReadFloor } from '../../src/session/read-floor.ts';

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
} as const satisfies Record<string, () => () => void>;

export type BreakageName = keyof typeof breakages;
