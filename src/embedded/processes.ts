import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const execFileAsync = promisify(execFile);
const pollMs = 20;

interface ProcessRow {
  readonly pid: number;
  readonly parentPid: number;
  /** Command line; arguments joined by one space. */
  readonly command: string;
}

/** True while the process exists, whoever owns it. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Sends the signal; false when the process is gone. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/**
 * What tells a process from a later one that was given the same pid: its start time, with the
 * boot it counts from. Null when the process is gone.
 */
export async function processIdentity(pid: number): Promise<string | null> {
  if (process.platform === 'linux') {
    try {
      const [stat, boot] = await Promise.all([
        readFile(`/proc/${pid}/stat`, 'utf8'),
        readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
      ]);
      // proc(5): field 22 is the start time; the command in field 2 may hold spaces and brackets.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return fields[0] === 'Z' ? null : `${boot.trim()}/${fields[19]}`;
    } catch {
      return null;
    }
  }
  try {
    const { stdout } = await execFileAsync('ps', ['-o', 'lstart=', '-p', String(pid)]);
    return stdout.trim() || null;
  } catch {
    return null;
  }
}

/**
 * The processes of the server that runs, or ran, on a data directory; the postmaster first.
 *
 * They are known by their command line, which everybody may read: /proc/PID/cwd would be the
 * better proof, but root in a default container lacks the capability to read it of another user's
 * process. The postmaster carries `-D dataDir`; its children are known by their parent and, when
 * the postmaster is gone, by the cluster name in their title (set_ps_display in ps_status.c).
 *
 * @param clusterName the setting cluster_name, unique to this data directory
 */
export async function serverProcesses(dataDir: string, clusterName: string): Promise<number[]> {
  const rows = await listProcesses();
  const postmasters = rows
    .filter((row) => isPostmasterOf(row.command, dataDir))
    .map((row) => row.pid);
  const title = `postgres: ${clusterName}: `;
  const children = rows.filter(
    (row) =>
      !postmasters.includes(row.pid) &&
      (postmasters.includes(row.parentPid) || row.command.startsWith(title)),
  );
  return [...postmasters, ...children.map((row) => row.pid)];
}

function isPostmasterOf(command: string, dataDir: string): boolean {
  const [program, ...rest] = command.split(' -D ');
  return program !== undefined && /(^|\/)postgres$/.test(program) && rest.join(' -D ') === dataDir;
}

async function listProcesses(): Promise<ProcessRow[]> {
  if (process.platform !== 'linux') {
    const { stdout } = await execFileAsync('ps', ['-Aww', '-o', 'pid=,ppid=,args=']);
    return stdout.split('\n').flatMap((line) => {
      const [, pid, parentPid, command] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
      return command === undefined
        ? []
        : [{ pid: Number(pid), parentPid: Number(parentPid), command }];
    });
  }
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const rows = await Promise.all(pids.map((pid) => readLinuxProcess(Number(pid))));
  return rows.filter((row) => row !== null);
}

async function readLinuxProcess(pid: number): Promise<ProcessRow | null> {
  try {
    const [command, stat] = await Promise.all([
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
      readFile(`/proc/${pid}/stat`, 'utf8'),
    ]);
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return {
      pid,
      parentPid: Number(fields[1]),
      // A rewritten title is padded with zero bytes.
      command: command.replace(/\0+$/, '').replaceAll('\0', ' '),
    };
  } catch {
    return null;
  }
}

/** Resolves true as soon as the condition holds, false after the time limit. */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  limitMs: number,
): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    if (await condition()) return true;
    if (performance.now() >= deadline) return false;
    await sleep(pollMs);
  }
}

/**
 * Ends a server that this program did not start, or that does not end by itself: fast shutdown
 * first, SIGKILL for whatever is left after the time limit. False when there was none.
 */
export async function endServer(
  dataDir: string,
  clusterName: string,
  fastLimitMs: number,
): Promise<boolean> {
  const found = await serverProcesses(dataDir, clusterName);
  const [first] = found;
  if (first === undefined) return false;
  for (const pid of found) signal(pid, 'SIGCONT');
  signal(first, 'SIGINT');
  const gone = async () => (await serverProcesses(dataDir, clusterName)).length === 0;
  if (!(await waitUntil(gone, fastLimitMs))) await killServer(dataDir, clusterName);
  return true;
}

/** SIGKILL to the postmaster and all its children, until none is left. */
export async function killServer(dataDir: string, clusterName: string): Promise<void> {
  for (;;) {
    const left = await serverProcesses(dataDir, clusterName);
    if (left.length === 0) return;
    for (const pid of left) signal(pid, 'SIGKILL');
    await sleep(pollMs);
  }
}
