import {
  type Consistency,
  consistencyLevels,
  type OnTimeout,
  onTimeoutChoices,
  type ReadDefaults,
} from '../config.ts';
import { ProxyError } from '../errors.ts';
import { StalenessBudget } from '../lag/staleness-budget.ts';
import { type LsnToken, parseToken, TokenSyntaxError } from '../lag/token.ts';
import type { Hint } from '../router/statement.ts';
import { formatDuration, parseDuration } from './duration.ts';

/** What a session's reads are entitled to, and what they do while they wait for it. */
export interface ReadPolicy extends ReadDefaults {
  /** Remembers which nodes have gone over `maxStalenessMs`. */
  readonly budget: StalenessBudget;
  /** The position that a client wants to have been replayed; null: none. */
  readonly minLsn: ClientToken | null;
  /** Where the client wants its statements; `auto`: wherever they belong. */
  readonly target: Target;
}

/**
 * With its properties in one order: objects that are spread together have as many shapes as there are
 * sessions, and then every look at one is a search.
 */
export function readPolicy(parts: ReadPolicy): ReadPolicy {
  const { consistency, maxStalenessMs, waitTimeoutMs, onTimeout, budget, minLsn, target } = parts;
  return { consistency, maxStalenessMs, waitTimeoutMs, onTimeout, budget, minLsn, target };
}

const targets = ['auto', 'primary', 'replica'] as const;
export type Target = (typeof targets)[number];

export interface ClientToken {
  readonly token: LsnToken;
  /** As the client has written it. */
  readonly text: string;
}

/** What one setting or hint says. */
export type PolicyChange = Partial<Omit<ReadPolicy, 'budget'>>;

/** Names that the proxy keeps to itself: servers never see them. */
const prefix = 'tidemark.';
export const isProxySetting = (name: string) => name.startsWith(prefix);

/** Longest time that a setting takes, as in the configuration: one day. */
const longestMs = 86_400_000;

interface ReadSetting {
  /** Null: not valid. */
  readonly parse: (text: string) => PolicyChange | null;
  /** What else could have been written. */
  readonly hint: string;
  readonly show: (policy: ReadPolicy) => string;
  /** What RESET brings back. */
  readonly initial: (base: ReadPolicy) => PolicyChange;
}

const choice = <T extends string>(values: readonly T[], text: string): T | null =>
  values.find((value) => value === text.toLowerCase()) ?? null;
const available = (values: readonly string[]) => `Available values: ${values.join(', ')}.`;
const durationHint = (minMs: number) =>
  `A time from ${minMs} ms to 1 day; units are "us", "ms", "s", "min", "h", and "d".`;

function duration(text: string, minMs: number): number | null {
  const ms = parseDuration(text);
  return ms === null || ms < minMs || ms > longestMs ? null : ms;
}

const readSettings: Readonly<Record<string, ReadSetting>> = {
  consistency: {
    parse(text) {
      const consistency: Consistency | null = choice(consistencyLevels, text);
      return consistency && { consistency };
    },
    hint: available(consistencyLevels),
    show: ({ consistency }) => consistency,
    initial: ({ consistency }) => ({ consistency }),
  },
  max_staleness: {
    parse(text) {
      const maxStalenessMs = duration(text, 1);
      return maxStalenessMs === null ? null : { maxStalenessMs };
    },
    hint: durationHint(1),
    show: ({ maxStalenessMs }) => formatDuration(maxStalenessMs),
    initial: ({ maxStalenessMs }) => ({ maxStalenessMs }),
  },
  wait_timeout: {
    parse(text) {
      const waitTimeoutMs = duration(text, 0);
      return waitTimeoutMs === null ? null : { waitTimeoutMs };
    },
    hint: durationHint(0),
    show: ({ waitTimeoutMs }) => formatDuration(waitTimeoutMs),
    initial: ({ waitTimeoutMs }) => ({ waitTimeoutMs }),
  },
  on_timeout: {
    parse(text) {
      const onTimeout: OnTimeout | null = choice(onTimeoutChoices, text);
      return onTimeout && { onTimeout };
    },
    hint: available(onTimeoutChoices),
    show: ({ onTimeout }) => onTimeout,
    initial: ({ onTimeout }) => ({ onTimeout }),
  },
  target: {
    parse(text) {
      const target: Target | null = choice(targets, text);
      return target && { target };
    },
    hint: available(targets),
    show: ({ target }) => target,
    initial: ({ target }) => ({ target }),
  },
  min_lsn: {
    parse(text) {
      const trimmed = text.trim();
      if (trimmed === '') return { minLsn: null };
      try {
        return { minLsn: { token: parseToken(trimmed), text: trimmed } };
      } catch (error) {
        if (error instanceof TokenSyntaxError) return null;
        throw error;
      }
    },
    hint: 'Use what SHOW tidemark.lsn has returned, or a position such as 0/3001028.',
    show: ({ minLsn }) => minLsn?.text ?? '',
    initial: ({ minLsn }) => ({ minLsn }),
  },
};

function readSetting(name: string): ReadSetting | undefined {
  const short = name.slice(prefix.length);
  return Object.hasOwn(readSettings, short) ? readSettings[short] : undefined;
}

/** The text that a SET gives: `value` as it may stand behind TO. */
export function textOfValue(value: string): string {
  const literal = /^'(.*)'$/s.exec(value.trim());
  return literal === null ? value.trim() : literal[1]!.replaceAll("''", "'");
}

/** What `SET name = text` changes; `name` in lower case with its prefix. An error: it is refused. */
export function parseReadSetting(name: string, text: string): PolicyChange | ProxyError {
  const setting = readSetting(name);
  if (setting === undefined) return new ProxyError('reservedSetting', name);
  return setting.parse(text) ?? new ProxyError('invalidSetting', name, text, setting.hint);
}

/** What SHOW of this name answers; null: there is no such setting. */
export function showReadSetting(name: string, policy: ReadPolicy): string | null {
  return readSetting(name)?.show(policy) ?? null;
}

/** The part of a policy that RESET of this name brings back; null: there is no such setting. */
export function initialOf(name: string, base: ReadPolicy): PolicyChange | null {
  return readSetting(name)?.initial(base) ?? null;
}

export function changed(policy: ReadPolicy, change: PolicyChange): ReadPolicy {
  const { maxStalenessMs } = change;
  const isOtherBudget = maxStalenessMs !== undefined && maxStalenessMs !== policy.maxStalenessMs;
  const budget = isOtherBudget
    ? new StalenessBudget(maxStalenessMs, policy.budget.nodeCount)
    : policy.budget;
  return readPolicy({ ...policy, ...change, budget });
}

const hintChanges = new WeakMap<Hint, PolicyChange | ProxyError>();

/** What a comment on a statement changes for this one. Kept with the cached class of the statement. */
export function changeByHint(hint: Hint): PolicyChange | ProxyError {
  const known = hintChanges.get(hint);
  if (known !== undefined) return known;
  const found = parseHintSettings(hint);
  hintChanges.set(hint, found);
  return found;
}

function parseHintSettings(hint: Hint): PolicyChange | ProxyError {
  let change: PolicyChange = {};
  for (const [name, text] of hint.settings) {
    const one = parseReadSetting(name.startsWith(prefix) ? name : `${prefix}${name}`, text);
    if (one instanceof ProxyError) return one;
    change = { ...change, ...one };
  }
  return hint.target === null ? change : { ...change, target: hint.target };
}
