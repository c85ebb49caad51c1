import { readFile } from 'node:fs/promises';

/** USER_HZ is 100 in every Linux of today: a tick of utime and stime. */
const msPerTick = 10;
const kibPerMib = 1_024;

/** @returns null where there is no /proc, or no such process */
export async function cpuOfTree(pid: number): Promise<number | null> {
  const pids = await treeOf(pid);
  const ticks = await Promise.all(pids.map(async (one) => parseCpuTicks(await read(one, 'stat'))));
  const total = ticks.reduce<number>((sum, one) => sum + (one ?? 0), 0);
  return ticks[0] == null ? null : total * msPerTick;
}

/** @returns null where it is not readable */
export async function memoryOfTree(pid: number): Promise<number | null> {
  const pids = await treeOf(pid);
  const kib = await Promise.all(pids.map(async (one) => parsePss(await read(one, 'smaps_rollup'))));
  const total = kib.reduce<number>((sum, one) => sum + (one ?? 0), 0);
  return kib[0] == null ? null : total / kibPerMib;
}

/**
 * utime + stime + cutime + cstime of /proc/pid/stat. The name before them may hold spaces and
 * parentheses.
 */
export function parseCpuTicks(stat: string): number | null {
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const [utime, stime, cutime, cstime] = fields.slice(11, 15);
  if (utime === undefined || stime === undefined) return null;
  return utime + stime + (cutime ?? 0) + (cstime ?? 0);
}

/** Pss of /proc/pid/smaps_rollup, in KiB. */
export function parsePss(rollup: string): number | null {
  const kib = /^Pss:\s+(\d+) kB/m.exec(rollup)?.[1];
  return kib === undefined ? null : Number(kib);
}

async function treeOf(pid: number): Promise<number[]> {
  const children = (await read(pid, `task/${pid}/children`))
    .split(' ')
    .filter((one) => one.trim() !== '')
    .map(Number);
  const below = await Promise.all(children.map(treeOf));
  return [pid, ...below.flat()];
}

/** Empty when the process is gone. */
async function read(pid: number, file: string): Promise<string> {
  return await readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
}
