import { setTimeout as sleep } from 'node:timers/promises';
import { signal } from '../../src/embedded/processes.ts';
import type { TestCluster, TestNode } from '../support/cluster.ts';
import { eventually } from '../support/proxy.ts';
import type { Random } from './random.ts';

/** What can go wrong with a replica, and be over again. */
const replicaFaults = {
  'replay paused': async (replica, random) => {
    await replica.pauseReplay();
    await sleep(random.between(200, 2_500));
    await replica.resumeReplay();
  },
  'apply delay': async (replica, random) => {
    await replica.setApplyDelay(Math.round(random.between(50, 500)));
    await sleep(random.between(500, 3_000));
    await replica.setApplyDelay(0);
  },
  'replica stopped (SIGSTOP)': async (replica, random) => {
    await replica.sigstop();
    await sleep(random.between(100, 2_000));
    await replica.sigcont();
  },
  'walreceiver stopped (SIGSTOP)': async (replica, random) => {
    const [receiver] = await replica.query('select pid from pg_stat_wal_receiver');
    if (receiver === undefined) return;
    signal(receiver.pid, 'SIGSTOP');
    await sleep(random.between(200, 2_500));
    signal(receiver.pid, 'SIGCONT');
  },
  'replica killed': async (replica, random) => {
    await replica.kill9();
    await sleep(random.between(0, 500));
    await replica.start();
  },
  'replica restarted': async (replica) => {
    await replica.stop('fast');
    await replica.start();
  },
  'link cut': async (replica, random) => {
    replica.cutLink();
    await sleep(random.between(200, 2_500));
    replica.restoreLink();
  },
} as const satisfies Record<string, (replica: TestNode, random: Random) => Promise<void>>;

const primaryFaults = {
  'primary restarted': async (primary) => {
    await primary.stop('fast');
    await primary.start();
  },
  'primary killed': async (primary) => {
    await primary.kill9();
    await primary.start();
  },
} as const satisfies Record<string, (primary: TestNode) => Promise<void>>;

type ReplicaFault = keyof typeof replicaFaults;
type PrimaryFault = keyof typeof primaryFaults;
const replicaFaultNames = Object.keys(replicaFaults) as ReplicaFault[];
const primaryFaultNames = Object.keys(primaryFaults) as PrimaryFault[];

/** One episode in so many is the primary's. */
const primaryShare = 0.12;
/** How many replicas are hit at one time. */
const atOnce = { one: 6, two: 3, all: 1 } as const;
const followLimitMs = 5_000;

/** Who is who in the cluster now. */
export class Faults {
  primary: TestNode;
  /** Those that follow the primary. */
  replicas: TestNode[];
  /** How often each one was done. */
  readonly done = new Map<string, number>();
  /** The links are those to the first primary. */
  #hasLinks = true;
  readonly #random: Random;

  constructor(cluster: TestCluster, random: Random) {
    this.primary = cluster.primary;
    this.replicas = [...cluster.replicas];
    this.#random = random;
  }

  /** One or several faults at the same time, and then quiet, so that replicas are used again. */
  async episode(): Promise<void> {
    const random = this.#random;
    if (random.chance(primaryShare)) {
      const name = random.pick(primaryFaultNames);
      this.#count(name);
      await primaryFaults[name](this.primary);
    } else {
      const names = replicaFaultNames.filter((name) => this.#hasLinks || name !== 'link cut');
      const count = { one: 1, two: 2, all: this.replicas.length }[random.weighted(atOnce)];
      const hit = random.some(this.replicas, count);
      await Promise.all(hit.map((replica) => this.#hit(replica, random.pick(names))));
    }
    await sleep(random.between(300, 1_500));
  }

  async #hit(replica: TestNode, name: ReplicaFault): Promise<void> {
    this.#count(name);
    await replicaFaults[name](replica, this.#random);
  }

  /**
   * The primary goes for good, and a replica takes its place. `requested`: called just before that;
   * the old primary has stopped by then. `wantedWay`: how it goes, instead of at random.
   */
  async promote(requested: (port: number) => void, wantedWay?: Way): Promise<void> {
    const random = this.#random;
    const old = this.primary;
    const way = wantedWay ?? random.weighted({ ...ways, 'loses commits': this.#hasLinks ? 3 : 0 });
    this.#count(`promotion: primary ${way}`);
    await this.#end(old, way);
    // Now and then one that has less than another: then the other cannot follow.
    const target = random.chance(0.25) ? random.pick(this.replicas) : await this.#mostAdvanced();
    requested(target.port);
    await target.promote();
    if (way === 'hangs') await old.kill9();
    this.primary = target;
    const others = this.replicas.filter((replica) => replica !== target);
    for (const other of others) await other.follow(target);
    this.#hasLinks = false;
    this.replicas = [];
    for (const other of others) if (await follows(other, target)) this.replicas.push(other);
  }

  async #end(primary: TestNode, way: Way): Promise<void> {
    switch (way) {
      case 'stops':
        await primary.stop('fast');
        break;
      case 'dies':
        await primary.kill9();
        break;
      case 'hangs':
        await primary.sigstop();
        break;
      case 'loses commits':
        for (const replica of this.replicas) replica.dropLink();
        await sleep(this.#random.between(50, 500));
        await primary.kill9();
        for (const replica of this.replicas) replica.restoreLink();
        break;
    }
  }

  /** It has received most of the old history. */
  async #mostAdvanced(): Promise<TestNode> {
    const positions: { replica: TestNode; received: number }[] = [];
    for (const replica of this.replicas) {
      const [row] = await replica.query(
        `select greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0' as received`,
      );
      positions.push({ replica, received: Number(row.received) });
    }
    positions.sort((a, b) => b.received - a.received);
    return positions[0]!.replica;
  }

  #count(name: string): void {
    this.done.set(name, (this.done.get(name) ?? 0) + 1);
  }
}

/** How a primary goes, and how often. Commits are lost by cutting the links first. */
const ways = { stops: 1, dies: 1, hangs: 1, 'loses commits': 3 } as const;
export type Way = keyof typeof ways;

/**
 * Whether it has got all that the promotion has kept, so that the next one keeps that too. False: it
 * has more of the old history than the new primary, and only a new copy would help.
 */
async function follows(replica: TestNode, primary: TestNode): Promise<boolean> {
  const [{ kept, timeline }] = await primary.query(
    `select pg_current_wal_flush_lsn()::text as kept,
      ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int as timeline`,
  );
  const hasAll = async () => {
    const [row] = await replica.query(
      `select from pg_stat_wal_receiver
       where status = 'streaming' and received_tli = $1 and pg_last_wal_replay_lsn() >= $2::pg_lsn`,
      [timeline, kept],
    );
    return row !== undefined;
  };
  try {
    await eventually(hasAll, 'it has replayed what was kept', followLimitMs);
    return true;
  } catch {
    return false;
  }
}
