import { describe, expect, it } from 'vitest';
import { StalenessBudget } from '../../../src/lag/staleness-budget.ts';

describe('StalenessBudget', () => {
  it('lets a node out at the limit and back in at half of it', () => {
    const budget = new StalenessBudget(100, 2);
    expect(budget.maxStalenessMs).toBe(100);
    expect(budget.admits(0, 100)).toBe(true);
    expect(budget.admits(0, 100.5)).toBe(false);
    expect(budget.admits(0, 99)).toBe(false);
    expect(budget.admits(0, 50.5)).toBe(false);
    expect(budget.admits(0, 50)).toBe(true);
    expect(budget.admits(0, 99)).toBe(true);
  });

  it('keeps the nodes apart', () => {
    const budget = new StalenessBudget(100, 2);
    expect(budget.admits(0, 200)).toBe(false);
    expect(budget.admits(1, 90)).toBe(true);
    expect(budget.admits(0, 90)).toBe(false);
  });

  it('takes infinite staleness, and a limit of nothing', () => {
    const budget = new StalenessBudget(0, 1);
    expect(budget.admits(0, Number.POSITIVE_INFINITY)).toBe(false);
    expect(budget.admits(0, 1)).toBe(false);
    expect(budget.admits(0, 0)).toBe(true);
  });

  it('does not flap when staleness swings around the limit', () => {
    const budget = new StalenessBudget(100, 1);
    let changes = 0;
    let before = true;
    for (let i = 0; i < 1000; i++) {
      const admitted = budget.admits(0, 100 + 30 * Math.sin(i / 3));
      if (admitted !== before) changes++;
      before = admitted;
    }
    expect(changes).toBe(1);
  });
});
