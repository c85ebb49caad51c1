import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { processIdentity, signal, waitUntil } from '../../../src/embedded/processes.ts';

test('two processes have two identities, one keeps its own, a dead one has none', async () => {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  await once(child, 'spawn');
  const pid = child.pid ?? 0;
  const identity = await processIdentity(pid);
  expect(identity).not.toBeNull();
  expect(await processIdentity(pid)).toBe(identity);
  expect(await processIdentity(process.pid)).not.toBe(identity);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(await processIdentity(pid)).toBeNull();
  expect(signal(pid, 'SIGTERM')).toBe(false);
});

test('waits for a condition, but not for ever', async () => {
  let looks = 0;
  expect(await waitUntil(() => ++looks === 3, 60_000)).toBe(true);
  expect(looks).toBe(3);
  expect(await waitUntil(() => false, 50)).toBe(false);
});
