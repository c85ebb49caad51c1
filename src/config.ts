/** What the program runs with: checked, complete and frozen. Read from YAML by config/load.ts. */
export interface Config {
  readonly listen: Address;
  /** Metrics and health; null turns them off. */
  readonly http: Address | null;
  /** Processes that serve clients, 1 to 128. Limits are those of all of them together. */
  readonly workers: number;
  /** A cluster that the program starts itself, or null when `nodes` are given. */
  readonly embedded: EmbeddedConfig | null;
  readonly nodes: readonly NodeConfig[];
  readonly auth: AuthMethod;
  readonly users: readonly UserConfig[];
  readonly clients: ClientsConfig;
  readonly pool: PoolConfig;
  readonly freshness: FreshnessConfig;
  readonly log: LogConfig;
}

export interface Address {
  readonly host: string;
  /** 0 to 65535; 0 asks the system for a free port. */
  readonly port: number;
}

export interface EmbeddedConfig {
  /** Streaming replicas beside the primary, 0 to 8. */
  readonly replicas: number;
  /** Data folder; kept between starts. */
  readonly dataDir: string;
}

/** One PostgreSQL server. Its role is measured, not configured. */
export interface NodeConfig {
  /** What logs, metrics and SHOW tidemark.route call it. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** Login of the monitor's and catalog's control connection. */
  readonly user: string;
  /** Empty where the node needs none. Never printed. */
  readonly password: string;
  readonly database: string;
}

export type AuthMethod = 'scram-sha-256' | 'trust';

export interface UserConfig {
  readonly name: string;
  /** What clients prove: the password itself or a SCRAM-SHA-256 verifier; empty only under trust. Never printed. */
  readonly secret: string;
  /** What Tidemark logs in to the nodes with; empty where they need none. Never printed. */
  readonly serverPassword: string;
}

export interface ClientsConfig {
  /** Client connections at one time. */
  readonly max: number;
  readonly loginTimeoutMs: number;
}

export interface PoolConfig {
  /** Server connections per (database, user, node). */
  readonly size: number;
  /** How long a statement waits for a server connection. */
  readonly waitTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly lifetimeMs: number;
  /** A connection idle for longer is checked before it is used. */
  readonly checkAfterIdleMs: number;
  /** Prepared statements kept on one server connection. */
  readonly statementsMax: number;
  /** Short reads of several sessions may be under way on one server connection. */
  readonly sharing: boolean;
}

export const consistencyLevels = ['eventual', 'bounded', 'session', 'global', 'strong'] as const;
/** What a read is entitled to see; docs/consistency.md says what each level promises. */
export type Consistency = (typeof consistencyLevels)[number];

export const onTimeoutChoices = ['primary', 'error'] as const;
/** What becomes of a read for which no replica became fresh enough in time. */
export type OnTimeout = (typeof onTimeoutChoices)[number];

export const lostTokenChoices = ['error', 'warn'] as const;
/** What becomes of a read whose token names a commit that a failover has lost. */
export type LostToken = (typeof lostTokenChoices)[number];

/** What may differ by database, user, session, transaction and statement. */
export interface ReadDefaults {
  readonly consistency: Consistency;
  /** The lag budget of every read but `eventual` ones. */
  readonly maxStalenessMs: number;
  /** How long a read waits for a replica to become fresh enough; 0: not at all. */
  readonly waitTimeoutMs: number;
  readonly onTimeout: OnTimeout;
}

export interface FreshnessConfig extends ReadDefaults {
  /** By database name; a user's word counts more. */
  readonly databases: Readonly<Record<string, Partial<ReadDefaults>>>;
  /** By user name. */
  readonly users: Readonly<Record<string, Partial<ReadDefaults>>>;
  /** Pause between two samples of a node while nobody waits for it. */
  readonly sampleIntervalMs: number;
  /** How long a statement that needs the primary waits for one to appear. */
  readonly primaryWaitTimeoutMs: number;
  readonly lostToken: LostToken;
  /** Reads that lagging replicas may send to the primary at one time; 0: any number. */
  readonly fallbackReadsMax: number;
}

/** What the reads of a login start from, as far as the configuration goes. */
export function readDefaultsFor(
  freshness: FreshnessConfig,
  { database, user }: { readonly database: string; readonly user: string },
): ReadDefaults {
  const { consistency, maxStalenessMs, waitTimeoutMs, onTimeout, databases, users } = freshness;
  // What a name such as constructor inherits has nothing to spread.
  return {
    consistency,
    maxStalenessMs,
    waitTimeoutMs,
    onTimeout,
    ...databases[database],
    ...users[user],
  };
}

export interface LogConfig {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /** One line per statement with its target and reason (never its text's literals). */
  readonly statements: boolean;
}
