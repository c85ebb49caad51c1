import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { startTestProxy, type TestProxy } from '../support/proxy.ts';
import type { WireTraceOptions } from '../support/wire-trace.ts';
import type { Command, GeneratedScript } from './command.ts';
import { type Holdings, holdingsOf, refill, startOver, waitUntilIdle } from './database.ts';
import { OtherSession } from './other-session.ts';
import { ScriptClient } from './script-client.ts';

/** Two databases alike: scripts run in one directly, in the other through the proxy. */
const databases = { direct: 'side_a', proxied: 'side_b' } as const;
type Side = keyof typeof databases;

/** A script waits for nobody's locks but those of its own prepared transactions. */
const lockTimeoutMs = 300;
const idleLimitMs = 5_000;
const vacuumEvery = 300;
const catchUpPollMs = 2;
/** Then the flushed position may be one that no record ends at. */
const catchUpLimitMs = 200;

const trustEverybody = [
  'local all all trust',
  'host all all 127.0.0.1/32 trust',
  'host replication all 127.0.0.1/32 trust',
];

/** What a script was told, and what it left. */
export interface Trace {
  readonly lines: readonly string[];
  readonly left: readonly string[];
  readonly isSilent: boolean;
}

/** A cluster, a proxy in front of it, and the two ways to them. */
export class Rig {
  readonly cluster: TestCluster;
  readonly proxy: TestProxy;
  readonly #admins: Record<Side, pg.Client>;
  readonly #resets: Record<Side, pg.Client>;
  readonly #others: OtherSession;
  #runs = 0;
  /** What both databases held right after they were made, and what they hold now. */
  #made: Record<Side, Holdings> | null = null;
  #now: Record<Side, Holdings> | null = null;

  private constructor(
    cluster: TestCluster,
    proxy: TestProxy,
    clients: { admins: Record<Side, pg.Client>; resets: Record<Side, pg.Client> },
    others: OtherSession,
  ) {
    this.cluster = cluster;
    this.proxy = proxy;
    this.#admins = clients.admins;
    this.#resets = clients.resets;
    this.#others = others;
  }

  static async start(): Promise<Rig> {
    const cluster = await startTestCluster({
      replicas: 2,
      hba: trustEverybody,
      settings: { max_prepared_transactions: '10', autovacuum: 'off' },
    });
    await cluster.primary.query('CREATE ROLE reader');
    for (const name of Object.values(databases)) {
      await cluster.primary.query(`CREATE DATABASE ${name}`);
      await cluster.primary.query(`ALTER DATABASE ${name} SET lock_timeout = ${lockTimeoutMs}`);
    }
    await cluster.waitForCatchup();
    const proxy = await startTestProxy(cluster, {
      auth: 'trust',
      pool: { size: 3, statementsMax: 6, waitTimeoutMs: 10_000 },
      freshness: { waitTimeoutMs: 300 },
    });
    const admin = (database: string) => connected(cluster.primary.url({ database }));
    const { user } = cluster;
    const admins = {
      direct: await admin(databases.direct),
      proxied: await admin(databases.proxied),
    };
    // DDL of the proxied database goes through the proxy, which must know what is volatile.
    const through = new URL(proxy.url);
    through.pathname = databases.proxied;
    const resets = {
      direct: await admin(databases.direct),
      proxied: await connected(through.href),
    };
    const { host, port } = proxy;
    const others = await OtherSession.open({ host, port, user, database: databases.proxied });
    return new Rig(cluster, proxy, { admins, resets }, others);
  }

  async stop(): Promise<void> {
    await this.#others.close();
    for (const client of [...Object.values(this.#admins), ...Object.values(this.#resets)]) {
      await client.end();
    }
    await this.proxy.stop();
    await this.cluster.stop();
  }

  /** Runs the script on both sides, each from the same state. */
  async run(script: GeneratedScript): Promise<Record<Side, Trace>> {
    this.#runs += 1;
    if (this.#runs % vacuumEvery === 0) await this.#vacuum();
    await this.#startOver();
    await this.#catchUp();
    const told = await this.#onBoth((side) => this.#trace(script, side));
    this.#now = await this.#onBoth((side) =>
      holdingsOf(this.#admins[side], this.#made![side].structure),
    );
    const { direct, proxied } = this.#now;
    return {
      direct: { ...told.direct, left: direct.lines },
      proxied: { ...told.proxied, left: proxied.lines },
    };
  }

  async #trace(script: GeneratedScript, side: Side): Promise<Omit<Trace, 'left'>> {
    const { params, delivery, commands } = script;
    const client = await ScriptClient.open({ ...this.#address(side), params });
    const lines = client.greeting();
    const parts: readonly Command[] = delivery === 'at once' ? [joined(commands)] : commands;
    const way = side === 'proxied' && delivery === 'shredded' ? 'shredded' : 'whole';
    for (const [index, { messages, other }] of parts.entries()) {
      if (client.isClosed || client.isSilent) break;
      if (other !== null) {
        if (side === 'proxied') await this.#others.act(other);
        continue;
      }
      lines.push(`--- ${index}`, ...(await client.run(messages, way)));
    }
    let { isSilent } = client;
    if (!isSilent) {
      const end = terminates(script) ? client.closed() : client.close();
      // A backend that exits waits for locks of prepared transactions on what it has to drop.
      isSilent = !(await isSettledIn(end, idleLimitMs));
    }
    if (isSilent) client.destroy();
    if (side === 'proxied') await this.#others.rest();
    lines.push(...client.takeLines());
    const isIdle = await waitUntilIdle(this.#admins[side], idleLimitMs);
    if (!isIdle) lines.push('something still runs');
    return { lines, isSilent };
  }

  #address(side: Side): WireTraceOptions {
    const { host, port } = side === 'direct' ? this.cluster.primary : this.proxy;
    return { host, port, user: this.cluster.user, database: databases[side] };
  }

  /** New tables take ten times as long as new rows, and make the proxy read its catalog anew. */
  async #startOver(): Promise<void> {
    const [made, now] = [this.#made, this.#now];
    if (made !== null && now !== null && areAlike(made, now, ({ structure }) => structure)) {
      const areUntouched = areAlike(made, now, ({ lines }) => lines.join());
      if (!areUntouched) await this.#onBoth((side) => this.#admins[side].query(refill));
      return;
    }
    await this.#onBoth((side) => this.#resets[side].query(startOver));
    this.#made = await this.#onBoth((side) => holdingsOf(this.#admins[side], null));
  }

  async #onBoth<T>(run: (side: Side) => Promise<T>): Promise<Record<Side, T>> {
    const [direct, proxied] = await Promise.all([run('direct'), run('proxied')]);
    return { direct, proxied };
  }

  /** Catalogs grow with every script. The tables are made anew: nothing is known of their size. */
  async #vacuum(): Promise<void> {
    for (const client of Object.values(this.#admins)) await client.query('VACUUM');
    this.#now = null;
  }

  /** The proxied side begins with replicas that have what the primary has committed. */
  async #catchUp(): Promise<void> {
    const endMs = performance.now() + catchUpLimitMs;
    const [{ lsn }] = await this.cluster.primary.query('SELECT pg_current_wal_flush_lsn() AS lsn');
    const isThere = `SELECT pg_last_wal_replay_lsn() >= '${lsn}' AS yes`;
    for (const replica of this.cluster.replicas) {
      while (!(await replica.query(isThere))[0].yes) {
        if (performance.now() > endMs) return this.cluster.waitForCatchup();
        await new Promise((resolve) => setTimeout(resolve, catchUpPollMs));
      }
    }
  }
}

function areAlike(
  made: Record<Side, Holdings>,
  now: Record<Side, Holdings>,
  aspect: (holdings: Holdings) => string,
): boolean {
  const sides = ['direct', 'proxied'] as const;
  return sides.every((side) => aspect(made[side]) === aspect(now[side]));
}

async function isSettledIn(work: Promise<void>, limitMs: number): Promise<boolean> {
  const limit = new AbortController();
  const late = sleep(limitMs, false, { signal: limit.signal }).catch(() => false);
  const isDone = await Promise.race([work.then(() => true), late]);
  limit.abort();
  return isDone;
}

async function connected(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString });
  client.on('error', () => {});
  await client.connect();
  return client;
}

function joined(commands: readonly Command[]): Command {
  const messages = commands.flatMap((command) => command.messages);
  return { feature: 'pipeline', messages, other: null };
}

const terminates = ({ commands }: GeneratedScript): boolean =>
  commands.at(-1)?.messages.at(-1)?.kind === 'terminate';
