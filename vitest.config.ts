import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    reporters: ['default', './test/support/count-reporter.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          // First: what is wrong in the small shows in the large as well.
          sequence: { groupOrder: 0 },
          include: ['test/unit/**/*.test.ts'],
          // A slow machine must not fail a property test: only a hung one is to.
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'integration',
          sequence: { groupOrder: 1 },
          include: ['test/integration/**/*.test.ts'],
          // Every file starts a real cluster: a hung one must fail, not stall the run.
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // Clusters of three servers each: few at a time, or they starve each other.
          maxWorkers: 2,
        },
      },
    ],
  },
});
