import { consistencyLevels, lostTokenChoices, onTimeoutChoices } from '../config.ts';

/** A key that takes a whole number, in the unit that its name ends in (none: a count). */
export interface IntegerField {
  readonly kind: 'integer';
  readonly min: number;
  readonly max: number;
  readonly default: number;
}

export interface ChoiceField<T extends string = string> {
  readonly kind: 'choice';
  readonly values: readonly T[];
  readonly default: T;
}

export interface BooleanField {
  readonly kind: 'boolean';
  readonly default: boolean;
}

export interface TextField {
  readonly kind: 'text';
  readonly default: string;
}

export type Field = IntegerField | ChoiceField | BooleanField | TextField;

const integer = (min: number, max: number, value: number): IntegerField => ({
  kind: 'integer',
  min,
  max,
  default: value,
});
const choice = <T extends string>(values: readonly T[], value: T): ChoiceField<T> => ({
  kind: 'choice',
  values,
  default: value,
});
const boolean = (value: boolean): BooleanField => ({ kind: 'boolean', default: value });
const text = (value: string): TextField => ({ kind: 'text', default: value });

/** One day: far from the 2^31-1 ms at which a Node.js timer fires at once. */
const longestMs = 86_400_000;

/** The sections whose keys are independent of each other; docs/configuration.md repeats this table. */
export const sections = {
  embedded: {
    replicas: integer(0, 8, 2),
    data_dir: text('.tidemark'),
  },
  clients: {
    max: integer(1, 100_000, 1_000),
    login_timeout_ms: integer(100, longestMs, 60_000),
  },
  pool: {
    size: integer(1, 10_000, 20),
    wait_timeout_ms: integer(1, longestMs, 10_000),
    connect_timeout_ms: integer(1, longestMs, 5_000),
    idle_timeout_ms: integer(1, longestMs, 600_000),
    lifetime_ms: integer(1, longestMs, 3_600_000),
    check_after_idle_ms: integer(0, longestMs, 30_000),
    statements_max: integer(1, 100_000, 200),
    sharing: boolean(true),
  },
  freshness: {
    consistency: choice(consistencyLevels, 'session'),
    max_staleness_ms: integer(1, longestMs, 5_000),
    wait_timeout_ms: integer(0, longestMs, 20),
    on_timeout: choice(onTimeoutChoices, 'primary'),
    lost_token: choice(lostTokenChoices, 'error'),
    fallback_reads_max: integer(0, 100_000, 200),
    sample_interval_ms: integer(1, 60_000, 100),
    primary_wait_timeout_ms: integer(0, longestMs, 5_000),
  },
  log: {
    level: choice(['debug', 'info', 'warn', 'error', 'silent'] as const, 'info'),
    statements: boolean(false),
  },
} as const satisfies Record<string, Record<string, Field>>;

/** Under `freshness`: tables by name of a database or user, of the keys that may differ there. */
export const overrideTables = ['databases', 'users'] as const;
const { consistency, max_staleness_ms, wait_timeout_ms, on_timeout } = sections.freshness;
export const overrideFields = { consistency, max_staleness_ms, wait_timeout_ms, on_timeout };

export const authField = choice(['scram-sha-256', 'trust'] as const, 'scram-sha-256');
/** Also `auto`. */
export const workersField = integer(1, 128, 1);
export const defaultListen = '127.0.0.1:6432';
export const defaultHttp = '127.0.0.1:6433';

export const topLevelKeys = [
  'listen',
  'http',
  'workers',
  'embedded',
  'nodes',
  'auth',
  'users',
  'clients',
  'pool',
  'freshness',
  'log',
] as const;
export const nodeKeys = ['url', 'name', 'password_env', 'password_file'] as const;
export const userKeys = [
  'name',
  'password',
  'password_env',
  'password_file',
  'server_password',
  'server_password_env',
  'server_password_file',
] as const;

type Camel<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : S;

type FieldValue<F> = F extends IntegerField
  ? number
  : F extends BooleanField
    ? boolean
    : F extends ChoiceField<infer T>
      ? T
      : string;

/** What a section of the file becomes in Config: the same keys in camelCase. */
export type SectionValues<S> = {
  readonly [K in keyof S & string as Camel<K>]: FieldValue<S[K]>;
};
