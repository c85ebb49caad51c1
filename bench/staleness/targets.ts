import { join } from 'node:path';
import { type Consistency, consistencyLevels } from '../../src/config.ts';
import type { TestCluster, TestNode } from '../../test/support/cluster.ts';
import type { Login } from '../support/login.ts';
import { type PgpoolProgram, startPgpool } from '../support/pgpool.ts';
import { type Program, startTidemark } from '../support/tidemark.ts';
import { singleLink, splitLink } from './links.ts';
import { pgpoolVariants } from './pgpool-variants.ts';
import type { Target, Vows } from './target.ts';

export interface TargetsOptions {
  readonly cluster: TestCluster;
  /** For settings and logs. */
  readonly folder: string;
  readonly sessions: number;
  readonly program: Program;
  /** Of Tidemark. */
  readonly version: string;
  readonly pgpool: PgpoolProgram | null;
  /** Null: all. */
  readonly keys: readonly string[] | null;
}

export interface RunningTargets {
  readonly targets: readonly Target[];
  stop(): Promise<void>;
}

/** What Rails' database selector waits by default (`delay: 2.seconds`). */
const primaryAfterWriteMs = 2_000;
/** Of Tidemark's bounded level here; its default of 5 s would never tell. */
const boundedMs = 250;

const noVows: Vows = { session: false, current: false, maxAgeMs: null };

const levels: Record<
  Consistency,
  { promise: string; vows: Vows; settings: Record<string, string> }
> = {
  eventual: { promise: 'some past state', vows: noVows, settings: {} },
  bounded: {
    promise: `nothing older than ${boundedMs} ms`,
    vows: { ...noVows, maxAgeMs: boundedMs },
    settings: { 'tidemark.max_staleness': `${boundedMs}ms` },
  },
  session: {
    promise: 'a session reads its own writes and never goes back',
    vows: { ...noVows, session: true },
    settings: {},
  },
  global: {
    promise: 'every read has all that was written through the proxy before it',
    vows: { session: true, current: true, maxAgeMs: 0 },
    settings: {},
  },
  strong: {
    promise: 'every read has all that anybody wrote before it',
    vows: { session: true, current: true, maxAgeMs: 0 },
    settings: {},
  },
};

/** Starts the proxies and lists all targets. The order is that of the turns and of the tables. */
export async function startTargets(options: TargetsOptions): Promise<RunningTargets> {
  const stops: (() => Promise<void>)[] = [];
  const stop = async () => {
    await Promise.all(stops.map((one) => one()));
  };
  try {
    const targets = [
      ...directTargets(options.cluster),
      ...(await startPgpools(options, stops)),
      ...(await startTidemarkLevels(options, stops)),
    ];
    return { targets: targets.filter(({ key }) => isWanted(options, key)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const isWanted = ({ keys }: TargetsOptions, key: string) => keys === null || keys.includes(key);

function directTargets({ primary, replicas }: TestCluster): Target[] {
  const split = (session: number, pinMs: number) =>
    splitLink({
      primary: loginOf(primary),
      replicas: replicas.map(loginOf),
      turn: session,
      primaryAfterWriteMs: pinMs,
    });
  return [
    {
      key: 'primary-only',
      name: 'Primary only',
      promise: 'every read has all that anybody wrote before it; replicas idle',
      vows: { session: true, current: true, maxAgeMs: 0 },
      settings: {},
      connect: () => singleLink(loginOf(primary), primary.port),
    },
    {
      key: 'two-dsns',
      name: 'Two DSNs',
      promise: 'none: the application sends reads to the replicas in turn',
      vows: noVows,
      settings: {},
      connect: (session) => split(session, 0),
    },
    {
      key: 'two-dsns-2s',
      name: 'Two DSNs, 2 s',
      promise: 'reads go to the primary for 2 s after a write of the session (as Rails does)',
      vows: noVows,
      settings: { 'reads on the primary after a write': `${primaryAfterWriteMs} ms` },
      connect: (session) => split(session, primaryAfterWriteMs),
    },
  ];
}

async function startPgpools(
  options: TargetsOptions,
  stops: (() => Promise<void>)[],
): Promise<Target[]> {
  const { cluster, pgpool, folder, sessions } = options;
  if (pgpool === null) return [];
  const targets: Target[] = [];
  for (const variant of pgpoolVariants(pgpool.version)) {
    if (!isWanted(options, variant.key)) continue;
    const running = await startPgpool({
      program: pgpool,
      cluster,
      folder: join(folder, variant.key),
      sessions,
      settings: variant.settings,
    });
    stops.push(running.stop);
    targets.push({
      key: variant.key,
      name: variant.name,
      promise: variant.promise,
      vows: noVows,
      settings: { version: pgpool.version, ...variant.settings },
      connect: () => singleLink(running.login, cluster.primary.port),
    });
  }
  return targets;
}

/** One process for all levels: each session chooses its own in its connection options. */
async function startTidemarkLevels(
  options: TargetsOptions,
  stops: (() => Promise<void>)[],
): Promise<Target[]> {
  const wanted = consistencyLevels.filter((level) => isWanted(options, keyOf(level)));
  if (wanted.length === 0) return [];
  const { cluster, folder, program, version } = options;
  const running = await startTidemark(cluster, folder, program);
  stops.push(running.stop);
  return wanted.map((level) => {
    const { promise, vows, settings: more } = levels[level];
    const settings = { 'tidemark.consistency': level, ...more };
    const startup = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`);
    return {
      key: keyOf(level),
      name: `Tidemark ${level}`,
      promise,
      vows,
      settings: { version, ...settings },
      connect: () => singleLink(running.login, cluster.primary.port, startup.join(' ')),
      requestsByReason: running.requestsByReason,
    };
  });
}

const keyOf = (level: Consistency) => `tidemark-${level}`;

function loginOf({ host, port, user, password, database }: TestNode): Login {
  return { host, port, user, password, database };
}
