import { pauseFunction, schema, sessionsTable } from './bench-tables.ts';

export const workloadKeys = ['select-only', 'tpcb', 'mixed', 'slow-neighbour'] as const;
export type WorkloadKey = (typeof workloadKeys)[number];

export const protocols = ['simple', 'extended', 'prepared'] as const;
/** What pgbench calls query modes. */
export type Protocol = (typeof protocols)[number];

interface Script {
  readonly name: string;
  /** How often it is chosen, relative to the workload's others. */
  readonly weight: number;
  readonly text: string;
}

export interface Workload {
  readonly key: WorkloadKey;
  readonly title: string;
  readonly scripts: readonly Script[];
  /** Single statements, so that reads can be told from writes by their number. */
  readonly countsReads: boolean;
  /** Its sessions look whether their reads have what they wrote. */
  readonly watchesOwnWrites: boolean;
  /** Beside it, a slow read is sent every second. */
  readonly hasSlowNeighbour: boolean;
}

/** pgbench's own script of that name, with the schema named: a pooler keeps no search_path. */
const selectAccount = `\\set aid random(1, 100000 * :scale)
SELECT abalance FROM ${schema}.pgbench_accounts WHERE aid = :aid;
`;

/** pgbench's own tpcb-like. */
const tpcb = `\\set aid random(1, 100000 * :scale)
\\set bid random(1, 1 * :scale)
\\set tid random(1, 10 * :scale)
\\set delta random(-5000, 5000)
BEGIN;
UPDATE ${schema}.pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM ${schema}.pgbench_accounts WHERE aid = :aid;
UPDATE ${schema}.pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE ${schema}.pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO ${schema}.pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);
END;
`;

/** A client's variables outlive a script: its next write brings along what its reads have seen. */
const writeOwnRow = `\\set written :written + 1
UPDATE ${sessionsTable} SET version = :written, own_reads = :own_reads, stale_reads = :stale_reads WHERE id = :client_id;
`;

const readOwnRow = `SELECT version AS seen FROM ${sessionsTable} WHERE id = :client_id \\gset
\\set own_reads :own_reads + 1
\\if :seen < :written
\\set stale_reads :stale_reads + 1
\\endif
`;

/** The neighbour's statement, as far as a proxy can tell before it has run: mostly it is short. */
const noPause = `SELECT ${pauseFunction}(0);
`;

/** Of all clients at their start, for -D. */
export const firstVariables = { written: 0, own_reads: 0, stale_reads: 0 } as const;

export const workloads: Readonly<Record<WorkloadKey, Workload>> = {
  'select-only': {
    key: 'select-only',
    title: 'Select-only',
    scripts: [{ name: 'select', weight: 1, text: selectAccount }],
    countsReads: true,
    watchesOwnWrites: false,
    hasSlowNeighbour: false,
  },
  tpcb: {
    key: 'tpcb',
    title: 'TPC-B-like',
    scripts: [{ name: 'tpcb', weight: 1, text: tpcb }],
    countsReads: false,
    watchesOwnWrites: false,
    hasSlowNeighbour: false,
  },
  mixed: {
    key: 'mixed',
    title: 'Mixed: 90 % reads, a third of them of what the session wrote',
    scripts: [
      { name: 'read', weight: 6, text: selectAccount },
      { name: 'read-own', weight: 3, text: readOwnRow },
      { name: 'write-own', weight: 1, text: writeOwnRow },
    ],
    countsReads: true,
    watchesOwnWrites: true,
    hasSlowNeighbour: false,
  },
  'slow-neighbour': {
    key: 'slow-neighbour',
    title: 'Short reads beside one of 2 seconds every second',
    scripts: [
      { name: 'read', weight: 9, text: selectAccount },
      { name: 'no-pause', weight: 1, text: noPause },
    ],
    countsReads: true,
    watchesOwnWrites: false,
    hasSlowNeighbour: true,
  },
};
