import type { Operation, Value } from './history.ts';

/** What a history can break; docs/checker.md says what each one means. */
export type Rule =
  | 'read-your-writes'
  | 'monotonic-reads'
  | 'global'
  | 'causal'
  | 'strong'
  | 'bounded'
  | 'snapshot'
  | 'write-order'
  | 'lost-history'
  | 'lost-token'
  | 'silent-loss'
  | 'invented'
  | 'future'
  | 'rolled-back'
  | 'lost-write'
  | 'broken-log';

export interface Violation {
  readonly rule: Rule;
  readonly message: string;
  /** The one that went wrong; null where the log alone shows it. */
  readonly operation: Operation | null;
  /** The one that it should have taken notice of. */
  readonly earlier: Operation | null;
}

export function describeValue({ register, version, writer }: Value): string {
  return `r${register}=${version} (writer ${writer})`;
}

/** One line that names who, where, when and what. */
export function describeOperation(operation: Operation): string {
  const { session, proxy, node, startMs, endMs, form } = operation;
  const when = `${startMs.toFixed(2)}..${endMs.toFixed(2)} ms`;
  const who = `session ${session} proxy ${proxy} node ${node}`;
  return `${what(operation)} [${form}; ${who}; ${when}]`;
}

function what(operation: Operation): string {
  switch (operation.kind) {
    case 'read': {
      const { level, servedByPrimary, values, token, maxStalenessMs } = operation;
      const shown = values.map(describeValue).join(', ');
      const role = servedByPrimary ? 'primary' : 'replica';
      const bound = level === 'eventual' ? '' : ` max_staleness=${maxStalenessMs}ms`;
      return `${level} read${bound}${token === null ? '' : ` token ${token}`} on ${role}: ${shown}`;
    }
    case 'write': {
      const { register, version, writer, outcome, transaction } = operation;
      const value = `r${register}=${version ?? '?'} (writer ${writer})`;
      return `write ${value} ${outcome}, transaction ${transaction}`;
    }
    case 'token':
      return `token ${operation.token} taken`;
  }
}
