/** The setting files of the cluster's servers: what they have in common, and a replica's upstream. */
export type Settings = Readonly<Record<string, string>>;

export interface Upstream {
  readonly port: number;
  readonly user: string;
  readonly password: string;
}

/** Physical replication slots a primary can have, and connections that feed from it. */
const replicationMax = '20';

/**
 * The same on every server: a standby refuses to start with fewer connections or prepared
 * transactions than its primary (CheckRequiredParameterValues in xlogrecovery.c).
 */
export function commonSettings(port: number, clusterName: string): Settings {
  return {
    listen_addresses: '127.0.0.1',
    port: String(port),
    // No socket file: nothing in a shared folder, and no limit on the length of its path.
    unix_socket_directories: '',
    cluster_name: clusterName,
    max_connections: '200',
    max_prepared_transactions: '20',
    wal_level: 'replica',
    max_wal_senders: replicationMax,
    max_replication_slots: replicationMax,
    // A replica that is down keeps its WAL on the primary through its slot, but not the disk full.
    max_slot_wal_keep_size: '1GB',
    hot_standby: 'on',
    hot_standby_feedback: 'off',
    // A replica looks for its returned primary this often; PostgreSQL's 5s suits a slow network.
    wal_retrieve_retry_interval: '200ms',
    // Parsed by this program.
    lc_messages: 'C',
    logging_collector: 'off',
    log_destination: 'stderr',
  };
}

/** What makes a standby stream from its upstream, through the slot that bears its name. */
export function upstreamSettings(name: string, upstream: Upstream): Settings {
  const parts = {
    host: '127.0.0.1',
    port: String(upstream.port),
    user: upstream.user,
    password: upstream.password,
    application_name: name,
    sslmode: 'disable',
    gssencmode: 'disable',
  };
  const conninfo = Object.entries(parts).map(([key, value]) => `${key}=${quoteConninfo(value)}`);
  return { primary_conninfo: conninfo.join(' '), primary_slot_name: name };
}

/** Manual of libpq, "Keyword/Value Connection Strings". */
function quoteConninfo(value: string): string {
  return /^[\w.-]+$/.test(value) ? value : `'${value.replace(/[\\']/g, '\\$&')}'`;
}
