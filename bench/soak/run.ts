import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '../../test/checker/random.ts';
import { startTestCluster, type TestCluster } from '../../test/support/cluster.ts';
import { watchedFolder } from '../../test/support/cluster-sweeper.ts';
import { describePostgres } from '../support/describe-postgres.ts';
import { describeMachine, readProductVersion } from '../support/machine.ts';
import { type RunningTidemark, startTidemark } from '../support/tidemark.ts';
import { rows, table } from './act.ts';
import { commandLine, type SoakOptions } from './options.ts';
import { play, Tally } from './player.ts';
import type { SoakResults } from './results.ts';
import { type Sample, takeSample } from './sample.ts';
import { leftBehind, problemsOf } from './verdict.ts';

type Progress = (line: string) => void;

/** Samples in a run, however long that is, but not more than one in a second. */
const samplesMax = 600;
/** Time for what the last clients have left to end. */
const settleSeconds = 20;
const connectionsSpare = 60;

/** Starts a cluster and Tidemark, lets clients do all they can, and looks at what they leave. */
export async function soak(options: SoakOptions, progress: Progress): Promise<SoakResults> {
  const machine = describeMachine();
  const version = await readProductVersion();
  const folder = await watchedFolder();
  try {
    const cluster = await startTestCluster({
      replicas: 2,
      settings: { max_connections: String(options.poolSize + connectionsSpare) },
      progress,
    });
    try {
      await cluster.primary.query(
        `CREATE TABLE ${table} (id int PRIMARY KEY, value int NOT NULL);
         INSERT INTO ${table} SELECT id, 0 FROM generate_series(1, ${rows}) id; ANALYZE ${table}`,
      );
      await cluster.waitForCatchup();
      const { poolSize, program, minutes, players } = options;
      const tidemark = await startTidemark(cluster, folder.path, program, {
        pool: { size: poolSize },
      });
      try {
        const results = {
          ...{ machine, version, minutes, players },
          ...(await run(options, cluster, tidemark, progress)),
          connectionsMax: poolSize * cluster.nodes.length,
          postgres: await describePostgres(cluster),
          at: new Date().toISOString(),
          command: commandLine(options),
          note: options.note,
          logged: await loggedErrors(join(folder.path, 'tidemark.log')),
        };
        return { ...results, problems: problemsOf(results) };
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

type Played = Pick<SoakResults, 'before' | 'after' | 'samples' | 'connects' | 'acts' | 'surprises'>;

async function run(
  { minutes, players, seed, poolSize }: SoakOptions,
  cluster: TestCluster,
  tidemark: RunningTidemark,
  progress: Progress,
): Promise<Played> {
  const sinceMs = performance.now();
  const endMs = sinceMs + minutes * 60_000;
  const isOver = () => performance.now() >= endMs;
  const look = () => takeSample(tidemark, cluster, sinceMs);
  const before = await look();
  const tally = new Tally();
  const playing = Array.from({ length: players }, (_, index) =>
    play({
      ...{ login: tidemark.login, tally, isOver },
      ...{ id: index + 1, random: new Random(seed * players + index) },
    }),
  );
  const samples: Sample[] = [];
  const everyMs = Math.max(1_000, (minutes * 60_000) / samplesMax);
  while (!isOver()) {
    await sleep(Math.min(everyMs, Math.max(0, endMs - performance.now())));
    const sample = await look();
    samples.push(sample);
    if (samples.length % 30 === 1) progress(sampleLine(sample));
  }
  await Promise.all(playing);
  const after = await settled(look, before, poolSize * cluster.nodes.length);
  return {
    ...{ before, after, samples, connects: tally.connects },
    acts: Object.fromEntries([...tally.acts].sort()),
    surprises: Object.fromEntries(tally.surprises),
  };
}

/** When nothing is left behind, or the time for that is over. */
async function settled(
  look: () => Promise<Sample>,
  before: Sample,
  connectionsMax: number,
): Promise<Sample> {
  let sample = await look();
  for (let second = 0; second < settleSeconds; second++) {
    if (leftBehind(before, sample, connectionsMax).length === 0) break;
    await sleep(1_000);
    sample = await look();
  }
  return sample;
}

function sampleLine(sample: Sample): string {
  const { atSeconds, rss, heapUsed, clients, activeConnections, idleConnections } = sample;
  const mega = (bytes: number) => (bytes / 1e6).toFixed(0);
  return `${atSeconds.toFixed(0)} s: RSS ${mega(rss)} MB, heap ${mega(heapUsed)} MB, ${clients} clients, ${activeConnections} + ${idleConnections} server connections, ${sample.timers} timers, ${sample.openFiles} files`;
}

/** A few of them, if there are many. */
async function loggedErrors(logFile: string): Promise<string[]> {
  const lines = (await readFile(logFile, 'utf8')).split('\n');
  return lines.filter((line) => line.includes('"level":"error"')).slice(0, 10);
}
