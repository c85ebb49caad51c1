import pg from 'pg';
import { startTestCluster, type TestCluster } from '../../test/support/cluster.ts';
import { watchedFolder } from '../../test/support/cluster-sweeper.ts';
import { describePostgres } from '../support/describe-postgres.ts';
import type { InstalledProgram } from '../support/find-program.ts';
import { describeMachine, readProductVersion } from '../support/machine.ts';
import { findPgbouncer } from '../support/pgbouncer.ts';
import { findPgpool } from '../support/pgpool.ts';
import { createTables } from './bench-tables.ts';
import { commandLine } from './command-line.ts';
import type { ThroughputOptions } from './options.ts';
import { requirePgbench } from './pgbench.ts';
import { playAll } from './play.ts';
import type { ThroughputResults } from './results.ts';
import { startTargets } from './targets.ts';

/** What others are held against. */
const baselines = ['direct', 'pgbouncer', 'pgpool', 'tidemark-unshared', 'forwarder'];
/** Those of the bench itself, the monitors and the walsenders. */
const spareConnections = 100;
const sharedBuffers = '256MB';

/** Starts a cluster and the proxies, plays all turns, and stops everything. */
export async function benchOwnCluster(
  options: ThroughputOptions,
  progress: (line: string) => void,
): Promise<ThroughputResults> {
  const machine = describeMachine();
  const pgbench = await requirePgbench();
  const [pgbouncer, pgpool] = [await findPgbouncer(), await findPgpool()];
  const version = await readProductVersion();
  const clientsMax = Math.max(...options.clients);
  const folder = await watchedFolder();
  try {
    const cluster = await startCluster(options, clientsMax, progress);
    try {
      progress('filling the tables, starting the proxies');
      const control = await connectControl(cluster);
      await createTables(control, options.scale);
      await cluster.waitForCatchup();
      const { poolSize, program, targets: keys, scale } = options;
      const { targets, stop } = await startTargets({
        ...{ cluster, folder: folder.path, clientsMax, poolSize, program, version, keys },
        ...{ pgbouncer, pgpool },
      });
      try {
        const played = await playAll({
          ...{ options, pgbench, targets, baselines, scale, control, progress },
        });
        return {
          at: new Date().toISOString(),
          command: commandLine(options),
          machine,
          settings: settingsOf(options),
          postgres: await describePostgres(cluster),
          versions: versionsOf({ version, pgbench, pgbouncer, pgpool }),
          note: options.note,
          leftOut: leftOut(options, pgbouncer, pgpool),
          targets: targets.map(({ key, name, settings }) => ({ key, name, settings })),
          baselines,
          ...played,
        };
      } finally {
        await stop();
        await control.end();
      }
    } finally {
      await cluster.stop();
    }
  } finally {
    await folder.remove();
  }
}

async function startCluster(
  { fsync }: ThroughputOptions,
  clientsMax: number,
  progress: (line: string) => void,
): Promise<TestCluster> {
  return await startTestCluster({
    replicas: 2,
    settings: {
      // As PostgreSQL has it, not as tests do.
      fsync,
      autovacuum_naptime: '1min',
      shared_buffers: sharedBuffers,
      // Those of the clients themselves, of PgBouncer in session mode, and of Pgpool-II.
      max_connections: String(3 * clientsMax + spareConnections),
    },
    progress,
  });
}

async function connectControl({ primary }: TestCluster): Promise<pg.Client> {
  const control = new pg.Client({ connectionString: primary.url() });
  // Without a listener a server that goes away would end the program.
  control.on('error', () => undefined);
  await control.connect();
  return control;
}

function settingsOf(options: ThroughputOptions): ThroughputResults['settings'] {
  const { seconds, repetitions, scale, poolSize } = options;
  return { seconds, repetitions, scale, poolSize };
}

function versionsOf(programs: {
  version: string;
  pgbench: InstalledProgram;
  pgbouncer: InstalledProgram | null;
  pgpool: InstalledProgram | null;
}): Record<string, string> {
  return {
    Tidemark: programs.version,
    pgbench: programs.pgbench.version,
    ...(programs.pgbouncer !== null && { PgBouncer: programs.pgbouncer.version }),
    ...(programs.pgpool !== null && { 'Pgpool-II': programs.pgpool.version }),
  };
}

function leftOut(
  { targets }: ThroughputOptions,
  pgbouncer: InstalledProgram | null,
  pgpool: InstalledProgram | null,
): string[] {
  const lines: string[] = [];
  if (pgbouncer === null) lines.push('PgBouncer: its program pgbouncer is not installed here.');
  if (pgpool === null) lines.push('Pgpool-II: its program pgpool is not installed here.');
  if (targets !== null) lines.push(`All but ${targets.join(', ')}, as --targets says.`);
  return lines;
}
