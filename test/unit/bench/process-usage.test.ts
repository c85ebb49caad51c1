import { describe, expect, it } from 'vitest';
import {
  cpuOfTree,
  memoryOfTree,
  parseCpuTicks,
  parsePss,
} from '../../../bench/support/process-usage.ts';

describe('the usage of processes', () => {
  it('is read after a name that may hold anything', () => {
    const stat =
      '42 (a ) b (c) R 1 42 42 0 -1 4194304 900 0 0 0 70 30 5 2 20 0 1 0 123 1 2 18446744073709551615';
    expect(parseCpuTicks(stat)).toBe(107);
    expect(parseCpuTicks('')).toBeNull();
  });

  it('has the share of memory that is the process', () => {
    expect(parsePss('Rss:  900 kB\nPss:                 512 kB\nPss_Anon: 1 kB\n')).toBe(512);
    expect(parsePss('')).toBeNull();
  });

  it.runIf(process.platform === 'linux')('is that of a running one, and null of none', async () => {
    const before = (await cpuOfTree(process.pid))!;
    const untilMs = performance.now() + 5_000;
    let after = before;
    while (after <= before && performance.now() < untilMs) {
      for (let work = 0; work < 1e7; work++) Math.sqrt(work);
      after = (await cpuOfTree(process.pid))!;
    }
    expect(after).toBeGreaterThan(before);
    expect(await memoryOfTree(process.pid)).toBeGreaterThan(10);
    const noProcess = 2 ** 30;
    expect(await cpuOfTree(noProcess)).toBeNull();
    expect(await memoryOfTree(noProcess)).toBeNull();
  });
});
