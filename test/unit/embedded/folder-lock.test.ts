import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { lockFolder } from '../../../src/embedded/folder-lock.ts';
import { processIdentity } from '../../../src/embedded/processes.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-lock-'));
});

afterEach(() => rmSync(folder, { recursive: true }));

const put = (pid: number, identity: string, content = 'held\n') => {
  const digest = createHash('sha256').update(identity).digest('hex').slice(0, 12);
  writeFileSync(join(folder, `lock.${pid}.${digest}.00ff`), content);
};

test('keeps a second user out, by name, until it is released', async () => {
  const lock = await lockFolder(folder);
  await expect(lockFolder(folder)).rejects.toThrow(`another Tidemark (pid ${process.pid})`);
  await lock.release();
  const again = await lockFolder(folder);
  await again.release();
  expect(readdirSync(folder)).toEqual([]);
});

test('a living holder keeps it', async () => {
  put(process.ppid, (await processIdentity(process.ppid)) ?? '');
  await expect(lockFolder(folder)).rejects.toThrow(`pid ${process.ppid}`);
});

test.each([
  ['a holder that died', 999_999_999],
  ['a holder whose pid is now a stranger', process.pid],
])('%s does not block', async (_name, pid) => {
  put(pid, 'boot/1');
  const lock = await lockFolder(folder);
  await expect(lockFolder(folder)).rejects.toThrow(`pid ${process.pid}`);
  await lock.release();
  expect(readdirSync(folder)).toEqual([]);
});

test('of many that find a dead holder at the same time, at most one gets it', async () => {
  let winnersSeen = 0;
  for (let round = 0; round < 20; round++) {
    put(999_999_999, 'boot/1');
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => lockFolder(folder)));
    const winners = results.filter((result) => result.status === 'fulfilled');
    expect(winners.length).toBeLessThanOrEqual(1);
    winnersSeen += winners.length;
    await winners[0]?.value.release();
    expect(readdirSync(folder)).toEqual([]);
  }
  expect(winnersSeen).toBeGreaterThan(0);
});
