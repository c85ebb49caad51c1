import { Client } from 'pg';
import type { Config, NodeConfig, UserConfig } from '../config.ts';
import { explainLoginError } from './explain-error.ts';

/** What was found out about a node whose control login works. */
export interface NodeFacts {
  /** As in server_version_num: 180004. */
  readonly versionNumber: number;
  readonly version: string;
  readonly isReplica: boolean;
  /** Null where the login may not read it. */
  readonly systemIdentifier: string | null;
  readonly maxConnections: number;
  readonly reservedConnections: number;
  /** Functions of the monitor that the login may not call, with the GRANT that changes it. */
  readonly missingPrivileges: readonly string[];
  /** Whether the login sees more of pg_stat_wal_receiver than its pid. */
  readonly maySeeReceiver: boolean;
  readonly timeline: number | null;
  /** Only of replicas. */
  readonly replica: ReplicaFacts | null;
}

export interface ReplicaFacts {
  /** Whether a WAL receiver streams; null where the login may not see it. */
  readonly isStreaming: boolean | null;
  /** host:port of the server it streams from. */
  readonly upstream: string | null;
  readonly isReplayPaused: boolean;
  /** recovery_min_apply_delay. */
  readonly applyDelayMs: number;
}

export type Probe =
  | { readonly node: NodeConfig; readonly facts: NodeFacts; readonly problem: null }
  | { readonly node: NodeConfig; readonly facts: null; readonly problem: string };

const queryTimeoutMs = 5_000;

const monitorFunctions = [
  'pg_control_system()',
  'pg_control_recovery()',
  'pg_current_wal_insert_lsn()',
  'pg_current_wal_flush_lsn()',
  'pg_last_wal_replay_lsn()',
  'pg_postmaster_start_time()',
  'pg_walfile_name(pg_lsn)',
];

/** Logs in to a node and asks what check reports. Never throws. */
export async function probeNode(node: NodeConfig, config: Config): Promise<Probe> {
  const client = newClient(node, node.user, node.password, config);
  try {
    await client.connect();
    return { node, facts: await readFacts(client, node.user), problem: null };
  } catch (error) {
    return { node, facts: null, problem: explainLoginError(error, node, node.user) };
  } finally {
    // A connection that never came about rejects; there is nothing left to close then.
    await client.end().catch(() => undefined);
  }
}

/** Null where the user can log in to the node, otherwise why not. */
export async function probeUser(
  node: NodeConfig,
  user: UserConfig,
  config: Config,
): Promise<string | null> {
  const client = newClient(node, user.name, user.serverPassword, config);
  try {
    await client.connect();
    return null;
  } catch (error) {
    return explainLoginError(error, node, user.name);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** The replay LSN (of a replica) or insert LSN (of a primary) now; null where it cannot be read. */
export async function probeLsn(probe: Probe, config: Config): Promise<bigint | null> {
  if (probe.facts === null) {
    return null;
  }
  const client = newClient(probe.node, probe.node.user, probe.node.password, config);
  try {
    await client.connect();
    return await readLsn(client, probe.facts.isReplica);
  } catch {
    return null;
  } finally {
    await client.end().catch(() => undefined);
  }
}

function newClient(node: NodeConfig, user: string, password: string, config: Config): Client {
  const client = new Client({
    host: node.host,
    port: node.port,
    user,
    // A function, because pg takes an empty password from PGPASSWORD and ~/.pgpass instead.
    password: () => password,
    database: node.database,
    ssl: false,
    application_name: 'tidemark check',
    connectionTimeoutMillis: config.pool.connectTimeoutMs,
    query_timeout: queryTimeoutMs,
  });
  // A server that goes away later is not news: what was asked by then is what counts.
  client.on('error', () => undefined);
  return client;
}

async function readFacts(client: Client, user: string): Promise<NodeFacts> {
  const { rows } = await client.query(`
    SELECT current_setting('server_version_num')::int AS version_number,
           current_setting('server_version') AS version,
           pg_is_in_recovery() AS is_replica,
           current_setting('max_connections')::int AS max_connections,
           -- reserved_connections is new in 16.
           current_setting('superuser_reserved_connections')::int
             + coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved,
           pg_has_role('pg_read_all_stats', 'USAGE') AS may_see_receiver`);
  const base = rows[0];
  const forbidden = await readForbidden(client);
  const may = (name: string) => !forbidden.some((signature) => signature.startsWith(`${name}(`));
  const isReplica: boolean = base.is_replica;
  const role = `"${user.replaceAll('"', '""')}"`;
  return {
    versionNumber: base.version_number,
    version: String(base.version).split(' ', 1)[0]!,
    isReplica,
    systemIdentifier: may('pg_control_system') ? await readSystemIdentifier(client) : null,
    maxConnections: base.max_connections,
    reservedConnections: base.reserved,
    missingPrivileges: forbidden.map(
      (signature) => `${signature}: GRANT EXECUTE ON FUNCTION ${signature} TO ${role}`,
    ),
    maySeeReceiver: base.may_see_receiver,
    ...(isReplica
      ? await readReplica(client, base.may_see_receiver)
      : {
          timeline: may('pg_walfile_name') ? await readPrimaryTimeline(client) : null,
          replica: null,
        }),
  };
}

/** Which of the functions that the monitor calls this login may not. */
async function readForbidden(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ signature: string }>(
    `SELECT signature FROM unnest($1::text[]) AS signature
     WHERE NOT has_function_privilege(signature, 'EXECUTE')`,
    [monitorFunctions],
  );
  return rows.map(({ signature }) => signature);
}

async function readSystemIdentifier(client: Client): Promise<string> {
  const { rows } = await client.query(
    'SELECT system_identifier::text AS id FROM pg_control_system()',
  );
  return rows[0].id;
}

async function readLsn(client: Client, isReplica: boolean): Promise<bigint | null> {
  const name = isReplica ? 'pg_last_wal_replay_lsn' : 'pg_current_wal_insert_lsn';
  const { rows } = await client.query(`SELECT (${name}() - '0/0')::text AS lsn`);
  return rows[0].lsn === null ? null : BigInt(rows[0].lsn);
}

/** The first eight digits of a WAL file name are the timeline (XLogFileName). */
async function readPrimaryTimeline(client: Client): Promise<number> {
  const { rows } = await client.query(
    'SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8) AS timeline',
  );
  return Number.parseInt(rows[0].timeline, 16);
}

async function readReplica(
  client: Client,
  maySeeReceiver: boolean,
): Promise<{ timeline: number | null; replica: ReplicaFacts }> {
  const { rows } = await client.query(`
    SELECT pg_is_wal_replay_paused() AS paused,
           (SELECT setting::int FROM pg_settings WHERE name = 'recovery_min_apply_delay') AS delay,
           receiver.*
    FROM (SELECT 1) AS one
    LEFT JOIN (SELECT status, received_tli, sender_host, sender_port
               FROM pg_stat_wal_receiver) AS receiver ON true`);
  const row = rows[0];
  return {
    timeline: row.received_tli,
    replica: {
      isStreaming: maySeeReceiver ? row.status === 'streaming' : null,
      upstream: row.sender_host === null ? null : `${row.sender_host}:${row.sender_port}`,
      isReplayPaused: row.paused,
      applyDelayMs: row.delay,
    },
  };
}
