/**
 * Functions and relations whose routing does not follow from their volatility. Names are those of
 * pg_catalog or of the extension that brings them; they are matched in whatever schema they are
 * named, which at worst sends a read to the primary.
 */

/**
 * Volatile by declaration, yet as good on a replica: they leave nothing behind and promise no
 * relation to what another call returned. Everything else that is volatile goes to the primary.
 */
const HARMLESS: ReadonlySet<string> = new Set([
  // A new value each time is the point; no state but the random generator of the backend.
  'random',
  'random_normal',
  'array_sample',
  'array_shuffle',
  'gen_random_uuid',
  'uuidv4',
  // Clocks: those of the servers are as far apart as now() is, which is stable and a read.
  'clock_timestamp',
  'timeofday',
  'uuidv7',
  // Take time, do nothing.
  'pg_sleep',
  'pg_sleep_for',
  'pg_sleep_until',
  // Read what replay copies byte for byte: large objects, main forks, catalogs.
  'lo_get',
  'pg_relation_size',
  'pg_table_size',
  'pg_indexes_size',
  'pg_total_relation_size',
  'pg_partition_tree',
  'pg_partition_ancestors',
]);

/**
 * Run on a standby without an error, or are not volatile, and are wrong there: state of one server
 * or of one session, values that WAL does not carry, effects on the wrong server.
 */
const PRIMARY_ONLY: ReadonlySet<string> = new Set([
  // Sequences: WAL is 32 values ahead of what was consumed; currval belongs to a session.
  'currval',
  'lastval',
  'pg_sequence_last_value',
  'pg_get_sequence_data',
  // Transactions and snapshots: a standby assigns no transaction ids and lags behind.
  'pg_current_snapshot',
  'pg_current_xact_id',
  'pg_current_xact_id_if_assigned',
  'pg_export_snapshot',
  'pg_xact_status',
  'pg_xact_commit_timestamp',
  'pg_xact_commit_timestamp_origin',
  // Which server is it? An answer that changes from call to call helps nobody.
  'pg_is_in_recovery',
  'pg_backend_pid',
  'pg_postmaster_start_time',
  'pg_conf_load_time',
  'pg_show_all_settings',
  'pg_show_all_file_settings',
  'pg_hba_file_rules',
  'pg_ident_file_mappings',
  'pg_current_logfile',
  // State of the session that another server connection does not have.
  'pg_listening_channels',
  'pg_cursor',
  'pg_prepared_statement',
  'pg_my_temp_schema',
  'pg_is_other_temp_schema',
  'setseed',
  // State of one server.
  'pg_notification_queue_usage',
  'pg_prepared_xact',
  'pg_lock_status',
  'pg_blocking_pids',
  'pg_safe_snapshot_blocking_pids',
  'pg_get_replication_slots',
  // Effects, some of them on files of the server.
  'pg_notify',
  'pg_cancel_backend',
  'pg_terminate_backend',
  'pg_reload_conf',
  'pg_rotate_logfile',
  'pg_promote',
  'pg_log_backend_memory_contexts',
  'pg_nextoid',
]);

/** Families of the same kinds; new members appear with every release. */
const PRIMARY_ONLY_PREFIXES: readonly string[] = [
  'pg_advisory_',
  'pg_try_advisory_',
  // dblink_exec on a replica wrote to the primary behind the proxy's back.
  'dblink',
  'txid_',
  'pg_stat_',
  'pg_current_wal_',
  'pg_last_',
  'pg_wal_',
  'pg_walfile_',
  'pg_logical_',
  'pg_replication_',
  'pg_create_',
  'pg_drop_',
  'pg_copy_',
  'pg_backup_',
  'pg_control_',
  'pg_ls_',
  'pg_read_',
  'pg_file_',
  'lo_',
];

/** Fail with 25006 in a READ ONLY transaction on any server (PreventCommandIfReadOnly). */
const REFUSED_READ_ONLY: ReadonlySet<string> = new Set(['nextval', 'setval']);

export type FunctionRule = 'harmless' | 'primary-only' | 'refused-read-only' | null;

/** null: its volatility decides. `schema` null: not qualified. */
export function functionRule(schema: string | null, name: string): FunctionRule {
  if (HARMLESS.has(name)) return schema === null || schema === 'pg_catalog' ? 'harmless' : null;
  if (REFUSED_READ_ONLY.has(name)) return 'refused-read-only';
  if (PRIMARY_ONLY.has(name)) return 'primary-only';
  for (const prefix of PRIMARY_ONLY_PREFIXES) if (name.startsWith(prefix)) return 'primary-only';
  return null;
}

/** Views over state of one server or session. pg_stats is not one: its statistics are replicated. */
const PRIMARY_ONLY_RELATION =
  /^pg_(stat_|statio_|(locks|prepared_xacts|prepared_statements|cursors|sequences|settings|file_settings|hba_file_rules|ident_file_mappings|replication_slots|replication_origin_status|backend_memory_contexts|dsm_registry_allocations|shmem_allocations|shmem_allocations_numa|aios|wait_events)$)/;

export function isPrimaryOnlyRelation(name: string): boolean {
  return PRIMARY_ONLY_RELATION.test(name);
}

/** Settings that tell servers apart; drivers compare them to find the primary. */
const PRIMARY_ONLY_SETTING =
  /^(all|transaction_read_only|default_transaction_read_only|in_hot_standby|port|listen_addresses|unix_socket_directories|data_directory|config_file|hba_file|ident_file|external_pid_file|cluster_name|primary_conninfo|primary_slot_name|restore_command|recovery_.*|hot_standby.*|synchronous_standby_names|synchronized_standby_slots)$/;

export function isPrimaryOnlySetting(name: string): boolean {
  return PRIMARY_ONLY_SETTING.test(name);
}
