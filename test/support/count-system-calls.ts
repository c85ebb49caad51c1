import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { findProgram } from '../../bench/support/find-program.ts';

/**
 * System calls of a process with all its threads while `work` runs. A string says why they cannot
 * be counted here.
 */
export async function countSystemCalls(
  pid: number,
  work: () => Promise<void>,
): Promise<number | string> {
  const strace = await findProgram('strace', /version (\S+)/);
  if (strace === null) return 'strace is not installed';
  const child = spawn(strace.path, ['-c', '-f', '-p', `${pid}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const printed = text(child.stderr);
  const attached = once(child.stderr, 'data');
  const [first] = (await Promise.race([attached, once(child, 'exit')])) as [Buffer | number];
  if (!String(first).includes('attached')) return `strace may not look at the process: ${first}`;
  await work();
  child.kill('SIGINT');
  // The last line: percent, seconds, calls, errors if there were any, "total".
  const total = /^\s*100\.00\s+\S+\s+(?:\d+\s+)?(\d+)\s+(?:\d+\s+)?total$/m.exec(await printed);
  return total === null ? 'strace has printed no total' : Number(total[1]);
}
