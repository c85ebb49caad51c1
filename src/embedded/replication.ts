import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

const connectTimeoutMs = 10_000;
const pollMs = 50;

export interface Login {
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/**
 * What a standby logs when its upstream can never give it what it needs: only a new copy helps.
 * From libpqwalreceiver.c, walreceiver.c, walsender.c, slot.c, timeline.c and xlogrecovery.c.
 */
export const cannotContinueLog = new RegExp(
  [
    'requested WAL segment \\S+ has already been removed',
    'can no longer (access|get changes from) replication slot',
    'database system identifier differs between the primary and standby',
    'highest timeline \\d+ of the primary is behind recovery timeline',
    'requested starting point \\S+ is ahead of the WAL flush position',
    'forked off current database system timeline \\d+ before current recovery point',
    "is not a child of this server's history",
    'requested starting point \\S+ on timeline \\d+ is not in this server',
  ].join('|'),
);

async function withClient<T>(login: Login, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    host: '127.0.0.1',
    ...login,
    application_name: 'tidemark embedded',
    connectionTimeoutMillis: connectTimeoutMs,
  });
  // Without a listener a server that dies under the connection would end the program.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

/**
 * Makes the slots of the replicas, reserving WAL from now on, and drops those of replicas that
 * are no longer part of the cluster, which would hold WAL for nobody, and those that have lost
 * their WAL (max_slot_wal_keep_size), which nobody can use any more.
 */
export async function keepSlots(upstream: Login, replicas: readonly string[]): Promise<void> {
  await withClient(upstream, async (client) => {
    await client.query(
      `select pg_drop_replication_slot(slot_name) from pg_replication_slots
       where slot_type = 'physical' and slot_name ~ '^replica[0-9]+$' and not active
         and (slot_name <> all ($1::text[]) or wal_status = 'lost')`,
      [replicas],
    );
    await client.query(
      `select pg_create_physical_replication_slot(name, true) from unnest($1::text[]) as name
       where not exists (select from pg_replication_slots where slot_name = name)`,
      [replicas],
    );
  });
}

/** Drops the slot of a replica that is about to be copied anew: its position says nothing any more. */
export async function dropSlot(upstream: Login, replica: string): Promise<void> {
  await withClient(upstream, async (client) => {
    await client.query(
      `select pg_drop_replication_slot(slot_name) from pg_replication_slots
       where slot_name = $1 and not active`,
      [replica],
    );
  });
}

/**
 * Waits until the replica streams from the upstream.
 *
 * @param hopeless asked between two looks; true ends the waiting
 */
export async function waitForStreaming(
  upstream: Login,
  replica: string,
  limitMs: number,
  hopeless: () => Promise<boolean>,
): Promise<'streaming' | 'hopeless' | 'timeout'> {
  return withClient(upstream, async (client) => {
    const deadline = performance.now() + limitMs;
    for (;;) {
      const { rowCount } = await client.query(
        `select from pg_stat_replication where application_name = $1 and state = 'streaming'`,
        [replica],
      );
      if (rowCount === 1) return 'streaming';
      if (await hopeless()) return 'hopeless';
      if (performance.now() >= deadline) return 'timeout';
      await sleep(pollMs);
    }
  });
}
