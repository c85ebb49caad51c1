/**
 * Functions, relations and settings whose routing does not follow from what the catalog declares.
 * Names are those of pg_catalog or of the extension that brings them; they are matched in whatever
 * schema they are named, which at worst sends a read to the primary. docs/introspection.md gives the
 * reasons one by one.
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

/** Of pg_catalog alone: a function of that name in another schema is what it is declared to be. */
export function isHarmless(schema: string, name: string): boolean {
  return schema === 'pg_catalog' && HARMLESS.has(name);
}

/**
 * They tell what one server, or its connection, is or does: each server answers for itself. Asking
 * changes nothing, so a hint may ask a replica.
 */
const SERVER_FACTS: ReadonlySet<string> = new Set([
  'pg_is_in_recovery',
  'pg_is_wal_replay_paused',
  'pg_postmaster_start_time',
  'pg_conf_load_time',
  'pg_hba_file_rules',
  'pg_ident_file_mappings',
  'pg_current_logfile',
  'pg_tablespace_location',
  'pg_config',
  'pg_available_extensions',
  'pg_available_extension_versions',
  'pg_jit_available',
  'version',
  'inet_client_addr',
  'inet_client_port',
  'pg_backend_pid',
  // Transactions and snapshots: a standby assigns no transaction ids and lags behind.
  'pg_current_snapshot',
  'pg_current_xact_id_if_assigned',
  'pg_xact_status',
  'pg_xact_commit_timestamp',
  'pg_xact_commit_timestamp_origin',
  'pg_last_committed_xact',
  // Sequences: WAL is 32 values ahead of what was consumed.
  'pg_sequence_last_value',
  'pg_get_sequence_data',
  // What only one server counts.
  'pg_notification_queue_usage',
  'pg_prepared_xact',
  'pg_lock_status',
  'pg_blocking_pids',
  'pg_safe_snapshot_blocking_pids',
  'pg_get_replication_slots',
]);

/** Families of the same kind; new members appear with every release. */
const SERVER_FACT_PREFIXES: readonly string[] = [
  'pg_stat_',
  'pg_show_',
  'pg_current_wal_',
  'pg_last_',
  'pg_get_wal_',
  'pg_wal_',
  'pg_walfile_',
  'pg_split_walfile_',
  'pg_control_',
  'pg_ls_',
  'pg_read_',
];

/**
 * Run on a standby without an error, or are not volatile, and are wrong there for certain: state of
 * the session that another server connection does not have, and effects on the wrong server.
 */
const PRIMARY_ONLY: ReadonlySet<string> = new Set([
  'currval',
  'lastval',
  'pg_listening_channels',
  'pg_cursor',
  'pg_prepared_statement',
  'setseed',
  'pg_current_xact_id',
  'pg_export_snapshot',
  'pg_notify',
  'pg_cancel_backend',
  'pg_terminate_backend',
  'pg_reload_conf',
  'pg_rotate_logfile',
  'pg_promote',
  'pg_switch_wal',
  'pg_log_backend_memory_contexts',
  'pg_nextoid',
]);

const PRIMARY_ONLY_PREFIXES: readonly string[] = [
  'pg_advisory_',
  'pg_try_advisory_',
  // dblink_exec on a replica wrote to the primary behind the proxy's back.
  'dblink',
  'txid_',
  'pg_stat_reset',
  'pg_stat_clear_',
  'pg_stat_force_',
  'pg_stat_statements_reset',
  'pg_wal_replay_',
  'pg_logical_',
  'pg_replication_',
  'pg_create_',
  'pg_drop_',
  'pg_copy_',
  'pg_backup_',
  'pg_file_',
  'lo_',
];

/** Fail with 25006 in a READ ONLY transaction on any server (PreventCommandIfReadOnly). */
const SEQUENCE_WRITERS: ReadonlySet<string> = new Set(['nextval', 'setval']);

/** Stable by declaration, and run whatever a text argument of theirs says or names. */
const RUNS_TEXT: ReadonlySet<string> = new Set([
  'table_to_xml',
  'table_to_xml_and_xmlschema',
  'schema_to_xml',
  'schema_to_xml_and_xmlschema',
  'database_to_xml',
  'database_to_xml_and_xmlschema',
  // Of the extensions tablefunc and xml2.
  'crosstab',
  'crosstab2',
  'crosstab3',
  'crosstab4',
  'connectby',
  'xpath_table',
]);

export type FunctionRule = 'server-fact' | 'primary-only' | 'sequence' | 'runs-text';

/** null: what the catalog says of it decides. */
export function functionRule(name: string): FunctionRule | null {
  if (HARMLESS.has(name)) return null;
  if (SEQUENCE_WRITERS.has(name)) return 'sequence';
  if (PRIMARY_ONLY.has(name)) return 'primary-only';
  if (SERVER_FACTS.has(name)) return 'server-fact';
  if (RUNS_TEXT.has(name)) return 'runs-text';
  for (const prefix of PRIMARY_ONLY_PREFIXES) if (name.startsWith(prefix)) return 'primary-only';
  for (const prefix of SERVER_FACT_PREFIXES) if (name.startsWith(prefix)) return 'server-fact';
  return null;
}

/**
 * Views over state of one server or session, also before the catalog is loaded, which finds the
 * others. pg_stats is not one: its statistics are replicated.
 */
const SERVER_FACT_RELATION =
  /^pg_(stat_|statio_|(locks|prepared_xacts|prepared_statements|cursors|sequences|settings|file_settings|hba_file_rules|ident_file_mappings|replication_slots|replication_origin_status|backend_memory_contexts|dsm_registry_allocations|shmem_allocations|shmem_allocations_numa|aios|wait_events)$)/;

export function isServerFactRelation(name: string): boolean {
  return SERVER_FACT_RELATION.test(name);
}

/**
 * Settings that a session may change, and that tell servers apart all the same: drivers compare them
 * to find the primary. Those that no session can change are known from the catalog.
 */
const SERVER_FACT_SETTING =
  /^(all|transaction_read_only|default_transaction_read_only|in_hot_standby|port|listen_addresses|unix_socket_directories|data_directory|config_file|hba_file|ident_file|external_pid_file|cluster_name|primary_conninfo|primary_slot_name|restore_command|recovery_.*|hot_standby.*|synchronous_standby_names|synchronized_standby_slots)$/;

export function isServerFactSetting(name: string): boolean {
  return SERVER_FACT_SETTING.test(name);
}
