import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseConfig } from '../../../src/config/load.ts';
import { shareOf, withShareOfLimits } from '../../../src/workers/share-of-limits.ts';

it('the shares are the total together, and as equal as can be', () => {
  const counts = fc.integer({ min: 1, max: 128 });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 100_000 }), counts, (total, count) => {
      const shares = Array.from({ length: count }, (_, index) => shareOf(total, { index, count }));
      expect(shares.reduce((sum, share) => sum + share, 0)).toBe(total);
      expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
      if (total >= count) expect(Math.min(...shares)).toBeGreaterThan(0);
    }),
  );
});

it('divides what is a limit of all, and leaves the rest as it is', () => {
  const config = parseConfig(
    'embedded:\nworkers: 3\nclients: { max: 10 }\npool: { size: 4 }\nfreshness: { fallback_reads_max: 0 }',
    'config.yaml',
  );
  const limits = [0, 1, 2].map((index) => {
    const { clients, pool, freshness, http, ...rest } = withShareOfLimits(config, {
      index,
      count: 3,
    });
    expect(http).toBeNull();
    expect(rest.workers).toBe(3);
    expect({ ...pool, size: 4 }).toEqual(config.pool);
    return [clients.max, pool.size, freshness.fallbackReadsMax];
  });
  expect(limits).toEqual([
    [4, 2, 0],
    [3, 1, 0],
    [3, 1, 0],
  ]);
});
