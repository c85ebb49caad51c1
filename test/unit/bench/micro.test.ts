import { describe, expect, it } from 'vitest';
import { checkout } from '../../../bench/micro/checkout.ts';
import { classification } from '../../../bench/micro/classification.ts';
import { framing } from '../../../bench/micro/framing.ts';
import { freshness } from '../../../bench/micro/freshness.ts';

describe('the micro benches', () => {
  it.each([framing, classification, checkout, freshness])(
    'can be repeated: %o',
    async (makeGroup) => {
      const { benches, end } = await makeGroup();
      try {
        expect(benches.length).toBeGreaterThan(0);
        for (const { run, count } of benches) {
          expect(count).toBeGreaterThan(0);
          for (let again = 0; again < 3; again++) run();
        }
      } finally {
        await end?.();
      }
    },
  );
});
