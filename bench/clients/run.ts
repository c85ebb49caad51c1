import { setTimeout as sleep } from 'node:timers/promises';
import { startTestCluster } from '../../test/support/cluster.ts';
import { watchedFolder } from '../../test/support/cluster-sweeper.ts';
import { describePostgres } from '../support/describe-postgres.ts';
import { describeMachine, readProductVersion } from '../support/machine.ts';
import { type NodeMemory, readMemory } from '../support/node-memory.ts';
import { type RunningTidemark, startTidemark } from '../support/tidemark.ts';
import { createTables } from '../throughput/bench-tables.ts';
import { Crowd } from './crowd.ts';
import type { LoadName, Worked } from './crowd-command.ts';
import { requireOpenFiles } from './open-files.ts';
import { type ClientsOptions, commandLine } from './options.ts';
import type { ClientsResults } from './results.ts';

type Progress = (line: string) => void;

const loads: readonly LoadName[] = ['reads', 'writes'];
/** Server connections, nodes, logs. */
const spareFiles = 500;
const spareClients = 50;

/** Starts a cluster and Tidemark, brings the clients, and stops everything. */
export async function benchClients(
  options: ClientsOptions,
  progress: Progress,
): Promise<ClientsResults> {
  const machine = describeMachine();
  const version = await readProductVersion();
  requireOpenFiles(options.clients + spareFiles);
  const folder = await watchedFolder();
  try {
    const cluster = await startTestCluster({
      replicas: 2,
      // As PostgreSQL has it, not as tests do.
      settings: { fsync: options.fsync, autovacuum_naptime: '1min' },
      progress,
    });
    try {
      await createTables(cluster.primary, 1);
      await cluster.waitForCatchup();
      const { clients, logins, busy, poolSize, program } = options;
      const tidemark = await startTidemark(cluster, folder.path, program, {
        pool: { size: poolSize },
        clients: { max: clients + busy + spareClients },
      });
      try {
        return {
          ...{ machine, version, clients, logins, busy },
          settleSeconds: options.settleSeconds,
          postgres: await describePostgres(cluster),
          ...(await measure(options, tidemark, progress)),
          at: new Date().toISOString(),
          command: commandLine(options),
          note: options.note,
        };
      } finally {
        await tidemark.stop();
      }
    } finally {
      await cluster.stop();
    }
  } finally {
    await folder.remove();
  }
}

type Measured = Pick<ClientsResults, 'base' | 'filled' | 'settled' | 'storm' | 'others' | 'loads'>;

async function measure(
  options: ClientsOptions,
  tidemark: RunningTidemark,
  progress: Progress,
): Promise<Measured> {
  const { clients, logins } = options;
  const target = tidemark.login;
  const crowd = new Crowd();
  try {
    const play = async () => await playAll(options, crowd, tidemark, progress);
    progress('warming up');
    await play();
    const alone = await play();
    const base = await readMemory(tidemark);
    progress(`${logins} clients log in at once`);
    const storm = await crowd.run({ kind: 'join', target, count: logins, atOnce: logins });
    progress(`${clients - logins} more`);
    const others = await crowd.run({
      ...{ kind: 'join', target, count: clients - logins },
      atOnce: loginsAtOnce,
    });
    const filled = await readMemory(tidemark);
    progress(memoryLine(base, filled, clients));
    await sleep(options.settleSeconds * 1_000);
    const settled = await readMemory(tidemark);
    progress(memoryLine(base, settled, clients));
    const among = await play();
    await crowd.run({ kind: 'leave' });
    return {
      ...{ base, filled, settled, storm, others },
      loads: loads.map((load, index) => ({ load, alone: alone[index]!, among: among[index]! })),
    };
  } finally {
    await crowd.stop();
  }
}

/** As drivers' pools do it, not as a stampede. */
const loginsAtOnce = 32;

async function playAll(
  { busy, seconds }: ClientsOptions,
  crowd: Crowd,
  { login }: RunningTidemark,
  progress: Progress,
): Promise<Worked[]> {
  const played: Worked[] = [];
  for (const load of loads) {
    const worked = await crowd.run({
      ...{ kind: 'work', target: login, clients: busy, seconds, load },
    });
    progress(workedLine(load, worked));
    played.push(worked);
  }
  return played;
}

function memoryLine(base: NodeMemory, now: NodeMemory, clients: number): string {
  const each = (key: keyof NodeMemory) => ((now[key] - base[key]) / clients / 1_000).toFixed(1);
  return `KB for each of ${clients} idle clients: RSS ${each('rss')}, heap ${each('heapUsed')}, external ${each('external')}`;
}

function workedLine(load: LoadName, { statementsByClient, waits, seconds }: Worked): string {
  const sum = statementsByClient.reduce((total, one) => total + one, 0);
  const p99 = waits.p99Ms?.toFixed(2) ?? '-';
  return `${load}: ${(sum / seconds).toFixed(0)}/s, p99 ${p99} ms, ${Math.min(...statementsByClient)} to ${Math.max(...statementsByClient)} for each client`;
}
