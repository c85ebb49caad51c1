import type { Effect, StatementClass, WriteReason } from './statement.ts';

/** Constructors of the shapes a StatementClass has; `replicaSafe` is for READ ONLY transactions. */

export function read(tag: string, effect: Effect | null = null): StatementClass {
  return {
    access: 'read',
    reason: null,
    effect,
    ddl: false,
    tag,
    replicaSafeInTransaction: true,
    prefersPrimary: false,
    forcible: true,
  };
}

export interface WriteTraits {
  readonly replicaSafe?: boolean;
  readonly prefersPrimary?: boolean;
  readonly effect?: Effect | null;
  readonly ddl?: boolean;
  readonly forcible?: boolean;
}

export function write(tag: string, reason: WriteReason, traits: WriteTraits = {}): StatementClass {
  return {
    access: 'write',
    reason,
    effect: traits.effect ?? null,
    ddl: traits.ddl ?? false,
    tag,
    replicaSafeInTransaction: traits.replicaSafe ?? false,
    prefersPrimary: traits.prefersPrimary ?? false,
    forcible: traits.forcible ?? false,
  };
}

export function session(
  tag: string,
  reason: WriteReason,
  effect: Effect | null,
  replicaSafe = true,
): StatementClass {
  return {
    access: 'session',
    reason,
    effect,
    ddl: false,
    tag,
    replicaSafeInTransaction: replicaSafe,
    prefersPrimary: false,
    forcible: true,
  };
}

/** null for none, the effect itself for one. */
export function combined(effects: readonly Effect[]): Effect | null {
  if (effects.length <= 1) return effects[0] ?? null;
  return { kind: 'several', effects };
}
