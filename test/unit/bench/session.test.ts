import { describe, expect, it } from 'vitest';
import type { Link, ReadAnswer } from '../../../bench/staleness/links.ts';
import { RowHistory } from '../../../bench/staleness/row-history.ts';
import { type Phase, Session } from '../../../bench/staleness/session.ts';
import { summarise } from '../../../bench/staleness/summary.ts';
import { Tally } from '../../../bench/staleness/tally.ts';
import type { Target, Vows } from '../../../bench/staleness/target.ts';

/** What a read of the row shows, of what has been written to it so far. */
type Server = (row: number, written: number, read: number) => ReadAnswer;

const traffic = { ownReads: 3, otherReads: 0, thinkMs: 0 };
const vowsAll: Vows = { session: true, current: true, maxAgeMs: 0 };

/** A session against a made-up server: two cycles of one write and three reads of its own row. */
async function play(server: Server): Promise<Tally> {
  const tally = new Tally();
  const phase: Phase = { tally, over: false };
  let written = 0;
  let reads = 0;
  const link: Link = {
    async write(_row, version) {
      written = version;
    },
    async read(row) {
      const answer = server(row, written, reads++);
      phase.over = reads >= 2 * traffic.ownReads;
      return answer;
    },
    close: async () => undefined,
  };
  const row = new RowHistory(1);
  await new Session(link, row, [row], traffic, phase).run();
  return tally;
}

function target(vows: Vows): Target {
  const connect = () => Promise.reject(new Error('not in this test'));
  return { key: 'made-up', name: 'Made up', promise: '', vows, settings: {}, connect };
}

describe('a session of the staleness bench', () => {
  it('finds nothing wrong with a server that has all it wrote', async () => {
    const tally = await play((_row, written) => ({ version: written, onReplica: true }));
    const outcome = summarise(target(vowsAll), tally);
    expect(outcome).toMatchObject({ ownReads: 6, staleReads: 0, wentBack: 0, outdated: 0 });
    expect(outcome).toMatchObject({ shareOnReplicas: 1, shareStale: 0, broken: [] });
    expect(tally.writes.summary().count).toBe(2);
  });

  it('counts reads that miss its own write, and how long they had been out of date', async () => {
    const tally = await play((_row, written, read) => ({
      version: read < 3 ? written : written - 1,
      onReplica: read >= 3,
    }));
    const outcome = summarise(target(vowsAll), tally);
    expect(outcome).toMatchObject({ staleReads: 3, wentBack: 0, shareStale: 0.5, outdated: 3 });
    expect(outcome.shareOnReplicas).toBe(0.5);
    expect(outcome.oldestMs).toBeGreaterThan(0);
    expect(outcome.broken.join()).toContain('3 reads missed');
  });

  it('counts reads that are older than an earlier one', async () => {
    const tally = await play((_row, written, read) => ({
      version: read === 4 ? 0 : written,
      onReplica: true,
    }));
    expect(summarise(target({ ...vowsAll, current: false, maxAgeMs: null }), tally)).toMatchObject({
      staleReads: 1,
      wentBack: 1,
      broken: ["1 reads missed the session's own write", '1 reads went back in time'],
    });
  });

  it('holds a target to no more than it promises', async () => {
    const tally = await play(() => ({ version: 0, onReplica: true }));
    const none: Vows = { session: false, current: false, maxAgeMs: null };
    expect(summarise(target(none), tally)).toMatchObject({ staleReads: 6, broken: [] });
    expect(summarise(target({ ...none, maxAgeMs: 60_000 }), tally).broken).toEqual([]);
    expect(summarise(target({ ...none, maxAgeMs: 0 }), tally).broken).toHaveLength(1);
  });

  it('goes on after an error of a statement, and ends with its connection', async () => {
    const failing = (severity: string) =>
      play((_row, written, read) => {
        if (read === 1) throw Object.assign(new Error('gone'), { code: '40001', severity });
        return { version: written, onReplica: true };
      });
    const errors = { '40001': 1 };
    // The rest of the first cycle is left out.
    expect(summarise(target(vowsAll), await failing('ERROR'))).toMatchObject({
      ownReads: 5,
      errors,
    });
    expect(summarise(target(vowsAll), await failing('FATAL'))).toMatchObject({
      ownReads: 1,
      errors,
    });
  });
});

describe('RowHistory', () => {
  it('tells for how long a version had been replaced when a read was sent', () => {
    const row = new RowHistory(1);
    row.acknowledge(10);
    row.acknowledge(25);
    expect(row.acknowledged).toBe(2);
    expect(row.ageMs(0, 30)).toBe(20);
    expect(row.ageMs(1, 30)).toBe(5);
    expect(row.ageMs(1, 25)).toBe(0);
    expect(row.ageMs(2, 30)).toBeNull();
    // Replaced while the read was under way: it may return either.
    expect(row.ageMs(1, 20)).toBeNull();
    // Committed, and not yet acknowledged.
    expect(row.ageMs(3, 30)).toBeNull();
  });
});

describe('Tally', () => {
  it('counts the requests between two looks by their reason', () => {
    const tally = new Tally();
    tally.sawRequests(
      new Map([['replica read', 5]]),
      new Map([
        ['replica read', 8],
        ['primary write', 1],
      ]),
    );
    expect(summarise(target(vowsAll), tally).reasons).toEqual({
      'replica read': 0.75,
      'primary write': 0.25,
    });
  });
});
