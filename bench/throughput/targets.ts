import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { TestCluster } from '../../test/support/cluster.ts';
import type { InstalledProgram } from '../support/find-program.ts';
import { startForwarder } from '../support/forwarder.ts';
import type { Login } from '../support/login.ts';
import { knowsPreparedStatements, startPgbouncer } from '../support/pgbouncer.ts';
import { startPgpool } from '../support/pgpool.ts';
import { type Program, startTidemark } from '../support/tidemark.ts';
import { destinationOf, type ReadCounts, type Target } from './target.ts';
import { tidemarkVariants } from './tidemark-variants.ts';

export interface TargetsOptions {
  readonly cluster: TestCluster;
  /** For settings and logs. */
  readonly folder: string;
  readonly clientsMax: number;
  /** Server connections of a pool. */
  readonly poolSize: number;
  readonly program: Program;
  /** Of Tidemark. */
  readonly version: string;
  readonly pgbouncer: InstalledProgram | null;
  readonly pgpool: InstalledProgram | null;
  /** Null: all that users have to choose from. */
  readonly keys: readonly string[] | null;
}

export interface RunningTargets {
  readonly targets: readonly Target[];
  stop(): Promise<void>;
}

type Stops = (() => Promise<void>)[];

export const targetKeys = [
  'direct',
  'pgbouncer',
  'pgpool',
  ...tidemarkVariants.map(({ key }) => key),
  'forwarder',
];

/** Starts the proxies. The order is that of the turns and of the tables. */
export async function startTargets(options: TargetsOptions): Promise<RunningTargets> {
  const stops: Stops = [];
  const stop = async () => {
    await Promise.all(stops.map((one) => one()));
  };
  const isWanted = (key: string) => options.keys === null || options.keys.includes(key);
  try {
    const targets: Target[] = [];
    if (isWanted('direct')) targets.push(directTarget(options.cluster));
    if (isWanted('pgbouncer')) targets.push(...(await pgbouncerTarget(options, stops)));
    if (isWanted('pgpool')) targets.push(...(await pgpoolTarget(options, stops)));
    for (const variant of tidemarkVariants) {
      if (isWanted(variant.key)) targets.push(await tidemarkTarget(options, variant, stops));
    }
    if (options.keys?.includes('forwarder')) targets.push(await forwarderTarget(options, stops));
    return { targets, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** They know of the primary only. */
const noReplicas = null;

function directTarget({ primary }: TestCluster): Target {
  const { host, port, user, password, database } = primary;
  const destination = destinationOf({ host, port, user, password, database });
  return {
    key: 'direct',
    name: 'Direct',
    settings: { connections: 'one per client, to the primary' },
    destinationFor: () => destination,
    pid: null,
    readCounts: noReplicas,
  };
}

async function pgbouncerTarget(options: TargetsOptions, stops: Stops): Promise<Target[]> {
  const { pgbouncer: program, cluster, folder, clientsMax, poolSize } = options;
  if (program === null) return [];
  const running = await startPgbouncer({
    ...{ program, primary: cluster.primary, clientsMax, poolSize },
    folder: join(folder, 'pgbouncer'),
  });
  stops.push(running.stop);
  const transaction = destinationOf(running.transactionLogin);
  const session = destinationOf(running.sessionLogin);
  const preparedBy = knowsPreparedStatements(program) ? transaction : session;
  return [
    {
      key: 'pgbouncer',
      name: 'PgBouncer',
      settings: {
        version: program.version,
        pool_mode: 'transaction',
        default_pool_size: String(poolSize),
        ...(preparedBy === session && {
          prepared: 'in session mode, with a server connection per client',
        }),
      },
      destinationFor: (protocol) => (protocol === 'prepared' ? preparedBy : transaction),
      pid: running.pid,
      readCounts: noReplicas,
    },
  ];
}

/** No proxy: what is left of one in Node.js without all that makes it one. */
async function forwarderTarget({ cluster, folder }: TargetsOptions, stops: Stops): Promise<Target> {
  const running = await startForwarder(cluster.primary, join(folder, 'forwarder.log'));
  stops.push(running.stop);
  const destination = destinationOf(running.login);
  return {
    key: 'forwarder',
    name: 'Node.js, bytes only',
    settings: { connections: 'one per client, to the primary' },
    destinationFor: () => destination,
    pid: running.pid,
    readCounts: noReplicas,
  };
}

/** In the way of its manual's examples, as in the bench of staleness. */
const pgpoolSettings = {
  disable_load_balance_on_write: 'transaction',
  sr_check_period: '10',
  delay_threshold: '10000000',
};

async function pgpoolTarget(options: TargetsOptions, stops: Stops): Promise<Target[]> {
  const { pgpool: program, cluster, folder, clientsMax } = options;
  if (program === null) return [];
  const running = await startPgpool({
    ...{ program, cluster, folder: join(folder, 'pgpool'), sessions: clientsMax },
    // Connections stay open between a target's turns, as they do in use.
    settings: { ...pgpoolSettings, child_life_time: '0' },
  });
  stops.push(running.stop);
  const destination = destinationOf(running.login);
  return [
    {
      key: 'pgpool',
      name: 'Pgpool-II',
      settings: {
        version: program.version,
        num_init_children: 'one per client',
        ...pgpoolSettings,
      },
      destinationFor: () => destination,
      pid: running.pid,
      readCounts: () => pgpoolReadCounts(running.login),
    },
  ];
}

async function pgpoolReadCounts(login: Login): Promise<ReadCounts> {
  const client = new pg.Client({ ...login });
  await client.connect();
  try {
    const { rows } = await client.query<{ role: string; select_cnt: string }>('show pool_nodes');
    const sum = (isReplica: boolean) =>
      rows
        .filter(({ role }) => (role === 'standby') === isReplica)
        .reduce((total, row) => total + Number(row.select_cnt), 0);
    return { onReplicas: sum(true), onPrimary: sum(false) };
  } finally {
    await client.end();
  }
}

async function tidemarkTarget(
  { cluster, folder, program, version, poolSize, clientsMax }: TargetsOptions,
  { key, name, configFor, settings }: (typeof tidemarkVariants)[number],
  stops: Stops,
): Promise<Target> {
  const own = join(folder, key);
  await mkdir(own);
  const running = await startTidemark(cluster, own, program, configFor({ poolSize, clientsMax }));
  stops.push(running.stop);
  const destination = destinationOf(running.login);
  return {
    key,
    name,
    settings: { version, 'pool.size': String(poolSize), ...settings },
    destinationFor: () => destination,
    pid: running.pid,
    readCounts: async () => tidemarkReadCounts(await running.requestsByReason()),
  };
}

/** Reasons of requests that are not reads, or cannot be told from writes. */
const notReads = new Set(['write', 'transaction', 'login']);

export function tidemarkReadCounts(requests: ReadonlyMap<string, number>): ReadCounts {
  let onReplicas = 0;
  let onPrimary = 0;
  for (const [key, count] of requests) {
    const [role, reason = ''] = key.split(' ');
    if (notReads.has(reason)) continue;
    if (role === 'replica') onReplicas += count;
    else onPrimary += count;
  }
  return { onReplicas, onPrimary };
}
