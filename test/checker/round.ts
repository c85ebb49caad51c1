import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { eventually, startTestProxy, type TestProxyOptions } from '../support/proxy.ts';
import { ProxyProcess } from '../support/proxy-process.ts';
import { Faults, type Way } from './faults.ts';
import type { History, LogEntry, Promotion } from './history.ts';
import { Random } from './random.ts';
import type { Recorder } from './recorder.ts';
import { readLogSql, schema } from './registers.ts';
import type { Entitlement } from './session.ts';
import { Workload } from './workload.ts';

export interface RoundOptions {
  readonly seed: number;
  readonly replicas: number;
  readonly clients: number;
  /** How long each primary serves, ms. Between two of them lies a promotion. */
  readonly erasMs: readonly number[];
  /** The first primary serves on until then, however slow the machine is. */
  readonly isEnough?: (recorder: Recorder) => boolean;
  /** Default: true. */
  readonly hasFaults?: boolean;
  /** How the first primary goes. Default: at random. */
  readonly way?: Way;
  /** Where the second proxy runs: in this process, or in one of its own. */
  readonly secondProxy?: 'here' | 'process';
}

export interface Round {
  readonly history: History;
  readonly recorder: Recorder;
  /** How often each fault was done. */
  readonly faults: ReadonlyMap<string, number>;
  /** From the first operation to the last. */
  readonly tookMs: number;
}

/** Beyond the time of the first era, for `isEnough`. */
const overtimeMsMax = 300_000;
const pollMs = 20;

/** What both proxies give to clients that ask for nothing. */
const entitlement: Entitlement = { level: 'session', maxStalenessMs: 2_000, token: null };

const { level: consistency, maxStalenessMs } = entitlement;
const freshness = { consistency, maxStalenessMs, primaryWaitTimeoutMs: 3_000 };
/** Through the one reads hardly wait; through the other they do, and few may go to the primary. */
const proxyOptions = {
  first: { freshness: { ...freshness, waitTimeoutMs: 20 } },
  second: { freshness: { ...freshness, waitTimeoutMs: 300, fallbackReadsMax: 6 } },
} as const satisfies Record<string, TestProxyOptions>;

interface Front {
  readonly host: string;
  readonly port: number;
  stop(): Promise<unknown>;
}

/** Sessions over two proxies on a cluster of its own, with faults and promotions. */
export async function playRound(options: RoundOptions): Promise<Round> {
  const random = new Random(options.seed);
  const cluster = await startTestCluster({ replicas: options.replicas, links: 'relayed' });
  const fronts: Front[] = [];
  try {
    await cluster.primary.query(schema);
    await cluster.waitForCatchup();
    fronts.push(await startTestProxy(cluster, proxyOptions.first));
    const isProcess = options.secondProxy === 'process';
    const start = isProcess ? ProxyProcess.start : startTestProxy;
    fronts.push(await start(cluster, proxyOptions.second));
    return await play(cluster, fronts, random, options);
  } finally {
    for (const front of fronts) await front.stop();
    await cluster.stop();
  }
}

async function play(
  cluster: TestCluster,
  fronts: readonly Front[],
  random: Random,
  { clients, erasMs, isEnough = () => true, hasFaults = true, way }: RoundOptions,
): Promise<Round> {
  const { user, password, database } = cluster.primary;
  const targets = fronts.map(({ host, port }) => ({ host, port, user, password, database }));
  const faults = new Faults(cluster, random.fork());
  const promotions: Promotion[] = [];
  const startedMs = performance.now();
  const workload = new Workload({ targets, entitlement, random: random.fork(), clients });
  try {
    for (const [era, eraMs] of erasMs.entries()) {
      if (era > 0) {
        const requested = (port: number) => {
          promotions.push({ port, requestedMs: performance.now() });
        };
        await faults.promote(requested, era === 1 ? way : undefined);
      }
      const endMs = performance.now() + eraMs;
      const isOver = () => {
        const nowMs = performance.now();
        if (nowMs < endMs) return false;
        return era > 0 || nowMs >= endMs + overtimeMsMax || isEnough(workload.recorder);
      };
      while (!isOver()) {
        if (hasFaults && faults.replicas.length > 0) await faults.episode();
        else await sleep(pollMs);
      }
    }
  } finally {
    await workload.stop();
  }
  const tookMs = performance.now() - startedMs;
  const log = await finalLog(faults);
  const { recorder } = workload;
  const { operations } = recorder;
  const firstPrimaryPort = cluster.primary.port;
  const history: History = { operations, firstPrimaryPort, promotions, log };
  return { history, recorder, faults: faults.done, tookMs };
}

/** The log when nothing that was begun can commit any more. */
async function finalLog({ primary }: Faults): Promise<LogEntry[]> {
  const others = `select from pg_stat_activity
    where backend_type = 'client backend' and pid <> pg_backend_pid()
      and (xact_start is not null or state = 'active')`;
  await eventually(async () => (await primary.query(others)).length === 0, 'all writes are over');
  return primary.query<LogEntry>(readLogSql);
}
