import { beforeEach, describe, expect, it } from 'vitest';
import { analyse } from '../../checker/analysis.ts';
import { HistoryBuilder, initial, primary, promoted, replica } from './history-builder.ts';

let history: HistoryBuilder;

beforeEach(() => {
  history = new HistoryBuilder();
});

/** The rules that the history breaks, each once. */
function broken(): string[] {
  return [...new Set(analyse(history.build()).violations.map(({ rule }) => rule))];
}

/** The sessions of the two operations that the only violation names. */
function pair(): (number | undefined)[] {
  const { violations } = analyse(history.build());
  expect(violations).toHaveLength(1);
  const [{ operation, earlier, message }] = violations as [(typeof violations)[0]];
  expect(message).toContain('session');
  return [operation?.session, earlier?.session];
}

describe('a session', () => {
  it('may not read less than it has written', () => {
    history.write(0, 1, { at: [0, 1] });
    history.read(initial(0), { at: [2, 3] });
    expect(broken()).toEqual(['read-your-writes']);
    expect(pair()).toEqual([0, 0]);
  });

  it('may read what came after its write', () => {
    history.write(0, 1, { at: [0, 1] });
    const later = history.write(0, 2, { session: 1, at: [2, 3] });
    history.read(later, { at: [4, 5] });
    expect(broken()).toEqual([]);
  });

  it('may not read less than it has read', () => {
    const value = history.write(0, 1, { session: 1, at: [0, 1] });
    history.read(value, { at: [2, 3] });
    history.read(initial(0), { at: [4, 5] });
    expect(broken()).toEqual(['monotonic-reads']);
    expect(pair()).toEqual([0, 0]);
  });

  it('holds also to what it has read at a level that promises nothing', () => {
    const value = history.write(0, 1, { session: 1, at: [0, 1] });
    history.read(value, { level: 'eventual', at: [2, 3] });
    history.read(initial(0), { at: [4, 5] });
    expect(broken()).toEqual(['monotonic-reads']);
  });

  it('may read less than others have written or read', () => {
    const value = history.write(0, 1, { session: 1, at: [0, 1] });
    history.read(value, { session: 2, at: [2, 3] });
    history.read(initial(0), { at: [4, 5] });
    expect(broken()).toEqual([]);
  });

  it('need not see its write before that is acknowledged', () => {
    history.write(0, 1, { session: 1, at: [0, 9] });
    history.read(initial(0), { session: 1, at: [2, 3] });
    expect(broken()).toEqual([]);
  });

  it.each(['eventual', 'bounded'] as const)('that asks for %s reads may go back', (level) => {
    const value = history.write(0, 1, { at: [0, 1] });
    history.read(value, { level, at: [2, 3] });
    history.read(initial(0), { level, at: [4, 5] });
    expect(broken()).toEqual([]);
  });
});

describe('a global read', () => {
  it('sees what was acknowledged through its proxy', () => {
    history.write(0, 1, { session: 1, at: [0, 1] });
    history.read(initial(0), { level: 'global', at: [2, 3] });
    expect(broken()).toEqual(['global']);
    expect(pair()).toEqual([0, 1]);
  });

  it('need not see what was acknowledged through another', () => {
    history.write(0, 1, { session: 1, proxy: 1, at: [0, 1] });
    history.read(initial(0), { level: 'global', at: [2, 3] });
    expect(broken()).toEqual([]);
  });

  it('need not see what was acknowledged after it began', () => {
    history.write(0, 1, { session: 1, at: [0, 3] });
    history.read(initial(0), { level: 'global', at: [2, 5] });
    expect(broken()).toEqual([]);
  });
});

describe('a token', () => {
  it.each(['bounded', 'session'] as const)('brings what was written to a %s read', (level) => {
    history.write(0, 1, { session: 1, at: [0, 1] });
    history.take(7, { session: 1, at: [2, 3] });
    history.read(initial(0), { level, token: 7, proxy: 1, at: [4, 5] });
    expect(broken()).toEqual(['causal']);
    expect(pair()).toEqual([0, 1]);
  });

  it('brings what was read', () => {
    const value = history.write(0, 1, { session: 2, at: [0, 1] });
    history.read(value, { session: 1, at: [2, 3] });
    history.take(7, { session: 1, at: [4, 5] });
    history.read(initial(0), { token: 7, proxy: 1, at: [6, 7] });
    expect(broken()).toEqual(['causal']);
    expect(pair()).toEqual([0, 1]);
  });

  it('does not bring what came after it was taken', () => {
    history.take(7, { session: 1, at: [0, 1] });
    history.write(0, 1, { session: 1, at: [2, 3] });
    history.read(initial(0), { token: 7, at: [4, 5] });
    expect(broken()).toEqual([]);
  });

  it('counts only while it is in force', () => {
    history.write(0, 1, { session: 1, at: [0, 1] });
    history.take(7, { session: 1, at: [2, 3] });
    history.read(initial(0), { at: [4, 5] });
    expect(broken()).toEqual([]);
  });
});

describe('a strong read', () => {
  it('sees what anybody was told to be committed', () => {
    history.write(0, 1, { session: 1, proxy: 1, at: [0, 1] });
    history.read(initial(0), { level: 'strong', at: [2, 3] });
    expect(broken()).toEqual(['strong']);
    expect(pair()).toEqual([0, 1]);
  });

  it('sees what anybody has seen, of a write that is not acknowledged', () => {
    const value = history.write(0, 1, { session: 1, at: [0, 9] });
    history.read(value, { session: 2, level: 'strong', at: [1, 2] });
    history.read(initial(0), { level: 'strong', at: [3, 4] });
    expect(broken()).toEqual(['strong']);
    expect(pair()).toEqual([0, 2]);
  });

  it('may see either side of a write that runs meanwhile', () => {
    const value = history.write(0, 1, { session: 1, at: [0, 9] });
    history.read(initial(0), { session: 2, level: 'strong', at: [1, 4] });
    history.read(value, { session: 3, level: 'strong', at: [1, 5] });
    expect(broken()).toEqual([]);
  });

  it('may see a write of unknown outcome, then or any time later', () => {
    const written = { session: 1, at: [0, 1] } as const;
    const value = history.write(0, 1, written, { outcome: 'unknown', version: null });
    history.read(initial(0), { level: 'strong', at: [2, 3] });
    history.read(initial(0), { level: 'strong', at: [20, 30] });
    history.read(value, { level: 'strong', at: [40, 50] });
    expect(broken()).toEqual([]);
    history.read(initial(0), { session: 5, level: 'strong', at: [60, 70] });
    expect(broken()).toEqual(['strong']);
  });
});

describe('a bounded read', () => {
  const bounded = { level: 'bounded', maxStalenessMs: 100 } as const;

  it('sees what was acknowledged longer ago than the bound', () => {
    history.write(0, 1, { session: 1, proxy: 1, at: [0, 1] });
    history.read(initial(0), { ...bounded, at: [102, 103] });
    expect(broken()).toEqual(['bounded']);
    expect(pair()).toEqual([0, 1]);
  });

  it('need not see what is younger', () => {
    history.write(0, 1, { session: 1, at: [0, 1] });
    history.read(initial(0), { ...bounded, at: [100, 203] });
    expect(broken()).toEqual([]);
  });

  it.each(['session', 'global', 'strong'] as const)('is what a %s read is, too', (level) => {
    history.write(0, 1, { session: 1, proxy: 1, at: [0, 1] });
    history.read(initial(0), { ...bounded, level, at: [102, 103] });
    expect(broken()).toContain('bounded');
  });
});

describe('a read at any level', () => {
  const anyhow = { level: 'eventual' } as const;

  it('shows only what was written', () => {
    history.read({ register: 0, version: 1, writer: 99 }, { ...anyhow, at: [0, 1] });
    expect(broken()).toEqual(['invented']);
  });

  it('shows it as it was written', () => {
    const value = history.write(0, 1, { session: 1, at: [0, 1] });
    history.read({ ...value, version: 2 }, { ...anyhow, at: [2, 3] });
    expect(broken()).toEqual(['invented']);
  });

  it('does not foresee', () => {
    const value = history.write(0, 1, { session: 1, at: [5, 6] });
    history.read(value, { ...anyhow, at: [2, 3] });
    expect(broken()).toEqual(['future']);
    expect(pair()).toEqual([0, 1]);
  });

  it('does not show what was rolled back', () => {
    const value = history.write(0, 1, { session: 1, at: [0, 1] }, { outcome: 'failed' });
    history.read(value, { ...anyhow, at: [2, 3] });
    expect(broken()).toEqual(['rolled-back']);
  });

  it('does not show what is in no history', () => {
    const written = { session: 1, at: [0, 1] } as const;
    const value = history.write(0, 1, written, { outcome: 'unknown', isLost: true });
    expect(broken()).toEqual([]);
    history.read(value, { ...anyhow, at: [2, 3] });
    expect(broken()).toEqual(['invented']);
  });
});

describe('a snapshot', () => {
  beforeEach(() => {
    history.write(0, 1, { session: 1, at: [0, 1] }, { transaction: 100 });
    history.write(1, 1, { session: 1, at: [0, 1] }, { transaction: 100 });
  });

  const eventual = { level: 'eventual', at: [2, 3] } as const;
  const first = { register: 0, version: 1, writer: 1 };
  const second = { register: 1, version: 1, writer: 2 };

  it('shows all of a transaction or nothing', () => {
    history.read([first, second], eventual);
    history.read([initial(0), initial(1)], eventual);
    expect(broken()).toEqual([]);
    history.read([initial(0), second], eventual);
    expect(broken()).toEqual(['snapshot']);
    expect(pair()).toEqual([0, 1]);
  });

  it('is not what several statements see', () => {
    history.read([initial(0), second], { ...eventual, isSnapshot: false });
    expect(broken()).toEqual([]);
  });
});

describe('the log', () => {
  it('holds what was acknowledged', () => {
    history.write(0, 1, { at: [0, 1] }, { isLost: true });
    expect(broken()).toEqual(['lost-write']);
  });

  it('does not hold what failed', () => {
    const value = history.write(0, 1, { at: [0, 1] }, { outcome: 'failed', version: null });
    history.log.push({ ...value, port: primary });
    expect(broken()).toEqual(['rolled-back']);
  });

  it.each([
    ['a gap', { register: 0, version: 2, writer: 1, port: primary }],
    ['a stranger', { register: 0, version: 1, writer: 9, port: primary }],
    ['a write of a replica', { register: 0, version: 1, writer: 1, port: replica }],
  ])('does not have %s', (_, entry) => {
    history.write(0, 1, { at: [0, 1] }, { outcome: 'unknown', version: null, isLost: true });
    history.log.push(entry);
    expect(broken()).toContain('broken-log');
  });

  it('shows no write that went back', () => {
    history.write(0, 2, { at: [0, 1] });
    history.write(0, 1, { session: 1, at: [2, 3] });
    expect(broken()).toEqual(['write-order']);
    expect(pair()).toEqual([1, 0]);
  });
});

describe('a commit seen on a replica before the primary shows it', () => {
  it('excuses a read of the primary that is one behind', () => {
    const value = history.write(0, 1, { session: 1, at: [0, 9] });
    history.read(value, { at: [1, 2] });
    history.read(initial(0), { servedByPrimary: true, node: primary, at: [3, 4] });
    expect(analyse(history.build())).toMatchObject({ violationCount: 0, earlySightings: 1 });
  });

  it('excuses no read of a replica', () => {
    const value = history.write(0, 1, { session: 1, at: [0, 9] });
    history.read(value, { at: [1, 2] });
    history.read(initial(0), { at: [3, 4] });
    expect(broken()).toEqual(['monotonic-reads']);
  });

  it('excuses none that is two behind', () => {
    history.write(0, 1, { session: 1, at: [0, 1] });
    const value = history.write(0, 2, { session: 1, at: [0, 9] });
    history.read(value, { at: [1, 2] });
    history.read(initial(0), { servedByPrimary: true, node: primary, at: [3, 4] });
    expect(broken()).toEqual(['monotonic-reads']);
  });

  it('excuses none once it is acknowledged', () => {
    const value = history.write(0, 1, { session: 1, at: [0, 3] });
    history.read(value, { at: [1, 2] });
    history.read(initial(0), { servedByPrimary: true, node: primary, at: [4, 5] });
    expect(broken()).toEqual(['monotonic-reads']);
  });
});

describe('a promotion', () => {
  const lost = { isLost: true };

  beforeEach(() => {
    history.write(0, 1, { session: 1, at: [0, 1] });
    history.promote(promoted, 100);
  });

  it('may lose what was acknowledged', () => {
    history.write(0, 2, { at: [2, 3] }, lost);
    history.read({ register: 0, version: 1, writer: 1 }, { level: 'strong', at: [90, 101] });
    const again = history.write(0, 2, { node: promoted, at: [110, 111] });
    history.read(again, { level: 'strong', at: [112, 113] });
    expect(analyse(history.build())).toMatchObject({ violationCount: 0, lostWrites: 1 });
  });

  it('excuses no read that was over before it', () => {
    history.write(0, 2, { at: [2, 3] }, lost);
    history.read({ register: 0, version: 1, writer: 1 }, { at: [4, 99] });
    expect(broken()).toEqual(['read-your-writes']);
  });

  it('keeps what survived of what a session saw', () => {
    const value = history.write(0, 2, { session: 1, at: [2, 3] }, lost);
    history.read(value, { at: [4, 5] });
    history.read(initial(0), { at: [110, 111] });
    expect(broken()).toEqual(['monotonic-reads']);
  });

  it('excuses no return to the lost branch by who has seen the new one', () => {
    const old = history.write(0, 2, { session: 1, at: [2, 3] }, lost);
    const again = history.write(0, 2, { session: 1, proxy: 1, node: promoted, at: [110, 111] });
    history.read(old, { session: 3, at: [112, 113] });
    expect(broken()).toEqual([]);
    history.read(again, { at: [112, 113] });
    history.read(old, { at: [114, 115] });
    expect(broken()).toEqual(['monotonic-reads']);
  });

  it('is known to a proxy that has used the new primary', () => {
    const old = history.write(0, 2, { session: 1, at: [2, 3] }, lost);
    history.read(initial(1), { servedByPrimary: true, node: promoted, at: [110, 111] });
    history.read(old, { session: 3, level: 'bounded', at: [110, 115] });
    history.read(old, { session: 3, level: 'eventual', at: [112, 115] });
    expect(broken()).toEqual([]);
    history.read(old, { session: 3, level: 'bounded', at: [112, 115] });
    expect(broken()).toEqual(['lost-history']);
  });

  it('ends the writing on the old primary by a proxy that has used the new one', () => {
    history.write(1, 1, { node: promoted, at: [110, 111] });
    history.write(0, 2, { session: 1, at: [112, 113] }, lost);
    expect(broken()).toEqual(['lost-history']);
  });

  describe('that the proxy has noticed', () => {
    beforeEach(() => {
      history.write(0, 2, { at: [2, 3] }, lost);
      history.take(7, { at: [4, 5] });
      history.read(initial(1), {
        session: 2,
        servedByPrimary: true,
        node: promoted,
        at: [110, 111],
      });
    });

    const kept = { register: 0, version: 1, writer: 1 };

    it('is told to the sessions that lost something', () => {
      history.read(kept, { level: 'eventual', at: [110, 112] });
      history.read(kept, { level: 'eventual', warnedMs: 113, at: [112, 114] });
      expect(broken()).toEqual([]);
      history.read(kept, { level: 'eventual', warnedMs: 99, at: [112, 115] });
      expect(broken()).toEqual(['silent-loss']);
      expect(pair()).toEqual([0, 0]);
    });

    it('ends the use of tokens of what was lost', () => {
      history.read(kept, { session: 3, token: 7, at: [109, 120] });
      expect(broken()).toEqual([]);
      history.read(kept, { session: 3, token: 7, at: [112, 120] });
      expect(broken()).toEqual(['lost-token']);
      expect(pair()).toEqual([3, 0]);
    });

    it('leaves a token in force that was taken after it', () => {
      history.take(8, { at: [111, 112] });
      history.read(kept, { session: 3, token: 8, at: [113, 120] });
      expect(broken()).toEqual([]);
    });
  });

  it('may lose or keep what nobody was told about', () => {
    const unknown = { outcome: 'unknown', version: null } as const;
    const value = history.write(0, 2, { session: 1, at: [2, 3] }, { ...unknown, ...lost });
    history.read(value, { at: [4, 5] });
    history.read({ register: 0, version: 1, writer: 1 }, { at: [110, 111] });
    expect(broken()).toEqual([]);
  });

  it('does not shift what comes after it: a stale read there is one', () => {
    history.write(0, 2, { node: promoted, at: [110, 111] });
    history.read({ register: 0, version: 1, writer: 1 }, { at: [112, 113] });
    expect(broken()).toEqual(['read-your-writes']);
  });

  it('that is the second one loses what the first did not', () => {
    history.write(0, 2, { node: promoted, at: [110, 111] }, lost);
    history.promote(replica, 200);
    const last = history.write(0, 2, { session: 1, node: replica, at: [210, 211] });
    history.read({ register: 0, version: 1, writer: 1 }, { at: [150, 199] });
    expect(broken()).toEqual(['read-your-writes']);
    history.read(last, { at: [220, 221] });
    expect(analyse(history.build())).toMatchObject({ violationCount: 1, lostWrites: 1 });
  });
});
