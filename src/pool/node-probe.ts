import type pg from 'pg';
import type { NodeConfig } from '../config.ts';
import { type Lsn, parseLsn } from '../lag/lsn.ts';
import type { NodeFacts, NodeProbe, NodeSample, ProbeSession } from '../lag/node-probe.ts';
import { type ControlClient, controlClient } from './control-client.ts';
import { readTimelineHistory } from './read-timeline-history.ts';
import { PgReplayWaitSession } from './replay-wait-session.ts';

const KEEP_ALIVE_AFTER_MS = 5000;
/** A replica's server process must not be left behind by a query that nobody waits for. */
const STATEMENT_TIMEOUT_MS = 5000;

/**
 * A default of the role or database that would break the probe: a standby refuses SERIALIZABLE,
 * from the first statement on. What the startup packet says wins over such defaults.
 */
const STARTUP_OPTIONS = '-c default_transaction_isolation=read\\ committed';

/** Would cut the monitor off. Not a startup option: servers before 14 do not know it. */
const NO_IDLE_TIMEOUT_SQL = `
  SELECT pg_catalog.set_config(name, '0', false)
  FROM pg_catalog.pg_settings WHERE name = 'idle_session_timeout'`;

/** Sizes come from pg_settings because current_setting() would print them with units. */
const FACTS_SQL = `
  SELECT (SELECT system_identifier::text FROM pg_catalog.pg_control_system()),
         pg_catalog.current_setting('server_version_num'),
         (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_block_size'),
         (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size')`;

/**
 * One statement for both roles, so that a promotion shows in the next answer. Every branch asks for
 * the role itself: pg_current_wal_* fail with 55000 in recovery, and a role read once could be out
 * of date a column later.
 *
 * The replay position is that of both: out of recovery it stands still where recovery ended.
 *
 * Timeline. Primary: the prefix of the current segment's name, right at once after a promotion
 * (pg_control_checkpoint() is not, before the next checkpoint). Standby: what its WAL receiver
 * streams; without a receiver, or without the rights of pg_read_all_stats, the timeline of
 * minRecoveryPoint from the control file, which everybody may read and which is never ahead.
 */
const SAMPLE_SQL = `
  SELECT pg_catalog.pg_is_in_recovery(),
         CASE WHEN NOT pg_catalog.pg_is_in_recovery()
              THEN pg_catalog.pg_current_wal_insert_lsn() END::text,
         CASE WHEN NOT pg_catalog.pg_is_in_recovery()
              THEN pg_catalog.pg_current_wal_flush_lsn() END::text,
         pg_catalog.pg_last_wal_replay_lsn()::text,
         pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())::text,
         CASE WHEN NOT pg_catalog.pg_is_in_recovery()
              THEN pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8)
         END,
         CASE WHEN pg_catalog.pg_is_in_recovery()
              THEN coalesce((SELECT received_tli FROM pg_catalog.pg_stat_get_wal_receiver()),
                            (SELECT nullif(min_recovery_end_timeline, 0)
                             FROM pg_catalog.pg_control_recovery()))
         END::text`;

const sampleQuery = {
  name: 'tidemark_sample',
  text: SAMPLE_SQL,
  values: [] as string[],
  rowMode: 'array' as const,
};

/** Probes one PostgreSQL server over a connection of its own. */
export function createNodeProbe(config: NodeConfig): NodeProbe {
  return {
    open: (onLost) => new PgProbeSession(config, onLost),
    readTimelineHistory: (timeline, signal) => readTimelineHistory(config, timeline, signal),
    openReplayWait: () => new PgReplayWaitSession(config),
  };
}

class PgProbeSession implements ProbeSession {
  readonly facts: Promise<NodeFacts>;
  readonly #control: ControlClient;
  readonly #client: pg.Client;
  #destroyed = false;

  constructor(config: NodeConfig, onLost: (error: Error) => void) {
    this.#control = controlClient(config, {
      options: STARTUP_OPTIONS,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_AFTER_MS,
    });
    this.#client = this.#control.client;
    const lose = (error: Error) => {
      if (this.#destroyed) return;
      this.destroy();
      onLost(error);
    };
    this.#client.on('error', lose);
    this.#client.on('end', () => lose(new Error('the server closed the connection')));
    this.facts = this.#connect();
  }

  async sample(): Promise<NodeSample> {
    const result = await this.#client.query<(string | boolean | null)[]>(sampleQuery);
    return readSample(result.rows[0]!);
  }

  destroy(): void {
    this.#destroyed = true;
    this.#control.cut();
  }

  async #connect(): Promise<NodeFacts> {
    await this.#client.connect();
    await this.#client.query(NO_IDLE_TIMEOUT_SQL);
    const result = await this.#client.query<string[]>({ text: FACTS_SQL, rowMode: 'array' });
    const [systemId, versionNum, walBlockBytes, walSegmentBytes] = result.rows[0]!;
    return {
      systemId: systemId!,
      versionNum: positiveInteger(versionNum),
      walBlockBytes: positiveInteger(walBlockBytes),
      walSegmentBytes: positiveInteger(walSegmentBytes),
    };
  }
}

function readSample(row: readonly (string | boolean | null)[]): NodeSample {
  const [inRecovery, insert, flush, replay, startTime, primaryTimeline, standbyTimeline] = row;
  if (typeof inRecovery !== 'boolean' || typeof startTime !== 'string') {
    throw new Error('the server did not tell its role or start time');
  }
  return {
    inRecovery,
    insertLsn: readLsn(insert),
    flushLsn: readLsn(flush),
    replayLsn: inRecovery ? readLsn(replay) : null,
    recoveryEndLsn: inRecovery ? null : readLsn(replay),
    postmasterStartTime: startTime,
    timeline: readTimeline(primaryTimeline, 16) ?? readTimeline(standbyTimeline, 10),
  };
}

function readLsn(value: string | boolean | null | undefined): Lsn | null {
  return typeof value === 'string' ? parseLsn(value) : null;
}

function readTimeline(value: string | boolean | null | undefined, radix: number): number | null {
  return typeof value === 'string' ? Number.parseInt(value, radix) : null;
}

function positiveInteger(text: string | undefined): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value <= 0) {
    throw new Error(`the server reports ${text} where a size or version belongs`);
  }
  return value;
}
