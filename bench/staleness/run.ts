import { startTestCluster, type TestCluster } from '../../test/support/cluster.ts';
import { watchedFolder } from '../../test/support/cluster-sweeper.ts';
import { describeMachine, readProductVersion } from '../support/machine.ts';
import { findPgpool, type PgpoolProgram } from '../support/pgpool.ts';
import { probeRow, setApplyDelay } from './apply-delay.ts';
import { table } from './links.ts';
import type { StalenessOptions } from './options.ts';
import type { StalenessResults } from './results.ts';
import { RowHistory } from './row-history.ts';
import type { Traffic } from './session.ts';
import { summarise } from './summary.ts';
import { Tally } from './tally.ts';
import type { Target } from './target.ts';
import { startTargets } from './targets.ts';
import { playTurn } from './turn.ts';

type Progress = (line: string) => void;

const serverSettings = [
  'fsync',
  'synchronous_commit',
  'full_page_writes',
  'shared_buffers',
] as const;

/** Starts the cluster and the proxies, plays all turns, and stops everything. */
export async function runStaleness(
  options: StalenessOptions,
  progress: Progress,
): Promise<StalenessResults> {
  const machine = describeMachine();
  const { output: _, ...settings } = options;
  const folder = await watchedFolder();
  try {
    const cluster = await startTestCluster({
      replicas: 2,
      // As PostgreSQL has it, not as tests do.
      settings: { fsync: options.fsync, autovacuum_naptime: '1min' },
      progress,
    });
    try {
      const pgpool = await findPgpool();
      const version = await readProductVersion();
      const { sessions, program, targets: keys } = options;
      progress('starting the proxies');
      const { targets, stop } = await startTargets({
        ...{ cluster, folder: folder.path, sessions, program, version, pgpool, keys },
      });
      try {
        const rows = await makeRows(cluster, targets, sessions);
        const delays = await playAll(options, cluster, targets, rows, progress);
        return {
          at: new Date().toISOString(),
          machine,
          options: settings,
          postgres: await describePostgres(cluster),
          leftOut: leftOut(pgpool, options),
          targets: targets.map(({ key, name, promise, settings }) => ({
            key,
            name,
            promise,
            settings,
          })),
          delays,
        };
      } finally {
        await stop();
      }
    } finally {
      await cluster.stop();
    }
  } finally {
    await folder.remove();
  }
}

/** For each delay, all targets take turns, so that what else the machine does meets them all. */
async function playAll(
  options: StalenessOptions,
  cluster: TestCluster,
  targets: readonly Target[],
  rows: ReadonlyMap<Target, readonly RowHistory[]>,
  progress: Progress,
): Promise<StalenessResults['delays']> {
  const { rounds, seconds, traffic } = options;
  const delays: StalenessResults['delays'][number][] = [];
  for (const delayMs of options.delaysMs) {
    const measuredMs = await setApplyDelay(cluster, delayMs);
    if (delays.length === 0) await warmUp(targets, rows, traffic, progress);
    const tallies = new Map(targets.map((target) => [target, new Tally()]));
    for (let round = 1; round <= rounds; round++) {
      for (const [target, tally] of tallies) {
        progress(`replicas ${delayMs} ms behind, round ${round} of ${rounds}: ${target.name}`);
        const measureMs = (seconds * 1_000) / rounds;
        await playTurn({ target, rows: rows.get(target)!, traffic, measureMs, tally });
      }
    }
    delays.push({
      delayMs,
      measuredMs,
      outcomes: [...tallies].map(([target, tally]) => summarise(target, tally)),
    });
  }
  await setApplyDelay(cluster, 0);
  return delays;
}

/** The first target must not pay for the bench's own code being compiled. */
async function warmUp(
  targets: readonly Target[],
  rows: ReadonlyMap<Target, readonly RowHistory[]>,
  traffic: Traffic,
  progress: Progress,
): Promise<void> {
  progress('warming up');
  for (const target of targets) {
    await playTurn({ target, rows: rows.get(target)!, traffic, measureMs: 0, tally: new Tally() });
  }
}

async function makeRows(
  cluster: TestCluster,
  targets: readonly Target[],
  sessions: number,
): Promise<Map<Target, RowHistory[]>> {
  // Room on each page, so that updates need no new index entries, as on any well-kept table.
  await cluster.primary.query(
    `create table ${table} (id int primary key, version int not null) with (fillfactor = 50);
     insert into ${table} select id, 0 from generate_series(${probeRow}, ${targets.length * sessions}) id;
     analyze ${table}`,
  );
  await cluster.waitForCatchup();
  let id = probeRow;
  return new Map(
    targets.map((target) => [
      target,
      Array.from({ length: sessions }, () => {
        id += 1;
        return new RowHistory(id);
      }),
    ]),
  );
}

async function describePostgres(cluster: TestCluster): Promise<Record<string, string>> {
  const found: Record<string, string> = { servers: '1 primary, 2 streaming replicas' };
  for (const name of ['server_version', ...serverSettings]) {
    const [row] = await cluster.primary.query<{ value: string }>(
      `select current_setting('${name}') as value`,
    );
    found[name] = row!.value;
  }
  return found;
}

function leftOut(pgpool: PgpoolProgram | null, { targets }: StalenessOptions): string[] {
  const lines = ['PgBouncer: it does not tell reads from writes.'];
  if (pgpool === null) lines.push('Pgpool-II: its program pgpool is not installed here.');
  if (targets !== null) lines.push(`All but ${targets.join(', ')}, as --targets says.`);
  return lines;
}
