import { type GeneratedScript, sqlOf } from './command.ts';

/** Where two traces first say different things. */
export interface Fork {
  readonly script: GeneratedScript;
  readonly direct: readonly string[];
  readonly proxied: readonly string[];
  /** Of the first lines that differ. */
  readonly directAt: number;
  readonly proxiedAt: number;
}

/** How many lines are explained on each side; `rest`: what follows can no longer be compared. */
export type Explanation = { readonly direct: number; readonly proxied: number } | 'rest';

/** Something that Tidemark says differently and may: docs/differences.md has it under this name. */
export interface AllowedDifference {
  readonly name: string;
  explains(fork: Fork): Explanation | null;
}

const sqlstate = (line: string | undefined): string | null =>
  /^ErrorResponse .*? C:(\w{5}) /.exec(line ?? '')?.[1] ?? null;

const preparation = /^(ParseComplete|ParameterDescription|RowDescription|NoData|BindComplete)/;

export const allowedDifferences: readonly AllowedDifference[] = [
  {
    name: 'error at Bind',
    explains({ direct, proxied, directAt, proxiedAt }) {
      const expected = sqlstate(direct[directAt]);
      if (expected === null) return null;
      let at = proxiedAt;
      while (preparation.test(proxied[at] ?? '')) at += 1;
      const isLater = at > proxiedAt && sqlstate(proxied[at]) === expected;
      return isLater ? { direct: 0, proxied: at - proxiedAt } : null;
    },
  },
  {
    name: 'prepared again',
    explains({ script, direct, proxied, directAt, proxiedAt }) {
      const isUnknownName = /^(42|3F)/.test(sqlstate(proxied[proxiedAt]) ?? '');
      const isDescribed = direct[directAt]?.startsWith('ParameterDescription') ?? false;
      const changes = /search_path|^(drop|alter|create|discard)/;
      const mayBeUnknown = sqlOf(script).some((sql) => changes.test(sql));
      return isUnknownName && isDescribed && mayBeUnknown ? 'rest' : null;
    },
  },
  {
    name: 'failed transaction on another connection',
    explains({ proxied, direct, proxiedAt, directAt }) {
      if (sqlstate(proxied[proxiedAt]) !== '25P02') return null;
      const expected = direct[directAt] ?? '';
      if (sqlstate(expected) === '08P01') return { direct: 1, proxied: 1 };
      if (!expected.startsWith('ParameterDescription')) return null;
      const ready = direct.indexOf('ReadyForQuery E', directAt);
      return ready < 0 ? null : { direct: ready - directAt, proxied: 1 };
    },
  },
  {
    name: 'READ ONLY transaction on a replica',
    explains({ direct, proxied, directAt, proxiedAt }) {
      const refused = 'M:this READ ONLY transaction runs on a replica';
      const line = proxied[proxiedAt] ?? '';
      if (line.includes(refused)) return 'rest';
      const isWorded = line.includes(' during recovery') && sqlstate(direct[directAt]) === '25006';
      return isWorded ? { direct: 1, proxied: 1 } : null;
    },
  },
  {
    name: 'temporary schema',
    explains({ direct, proxied, directAt, proxiedAt }) {
      const isMissing = direct[directAt]?.includes('M:schema "pg_temp" does not exist') ?? false;
      const isThere = sqlstate(proxied[proxiedAt]) === '42P01';
      return isMissing && isThere ? { direct: 1, proxied: 1 } : null;
    },
  },
  {
    name: 'chain after a failure',
    explains({ script, proxied, proxiedAt }) {
      const isChained = sqlOf(script).some((sql) => /and chain/.test(sql));
      return isChained && sqlstate(proxied[proxiedAt]) === '25006' ? 'rest' : null;
    },
  },
];
