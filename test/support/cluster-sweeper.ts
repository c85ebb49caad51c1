import { spawn } from 'node:child_process';
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { processIdentity } from '../../src/embedded/processes.ts';

const prefix = 'tidemark-test-';
const ownerFile = 'owner';
/** A folder stays without an owner file for moments only. */
const ownerlessLimitMs = 600_000;

/**
 * Ends every server below the folder, then removes it. Postmasters are known by an argument below
 * the folder, which their children do not have. SIGQUIT lets them give back their shared memory;
 * SIGKILL is for those that do not end. Where there is no /proc, only the folder is removed.
 */
const removal = `
postmasters() {
  for file in $(grep -lsz "^$1/" /proc/[0-9]*/cmdline); do
    entry=\${file%/cmdline}
    [ "$(cat "$entry/comm")" = postgres ] && echo "\${entry#/proc/}"
  done
}
pids=$(postmasters "$1")
for pid in $pids; do
  children=$(cat /proc/$pid/task/*/children 2>/dev/null)
  kill -CONT $pid $children 2>/dev/null
  kill -QUIT $pid 2>/dev/null
done
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  [ -z "$(postmasters "$1")" ] && break
  sleep 0.2
done
for pid in $(postmasters "$1"); do
  kill -KILL $(cat /proc/$pid/task/*/children 2>/dev/null) $pid 2>/dev/null
done
# A postmaster that was killed could not give back its System V segment (line 7: key and id).
for file in "$1"/*/*/postmaster.pid; do
  set -- "$1" $(sed -n 7p "$file" 2>/dev/null)
  [ -n "$(awk -v key="$2" -v id="$3" '$1 == key && $2 == id && $7 == 0' /proc/sysvipc/shm)" ] &&
    ipcrm -m "$3"
done
# An initdb or copy that was under way may still be writing.
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  rm -rf "$1" && break
  sleep 0.5
done
`;

/** A folder that is removed, and whose servers are ended, when this process is gone in any way. */
export interface WatchedFolder {
  readonly path: string;
  /** Ends what runs below it and removes it. */
  remove(): Promise<void>;
}

/** Makes a folder in the system's temp folder; removes those of test processes that are dead. */
export async function watchedFolder(): Promise<WatchedFolder> {
  await sweepDead();
  const path = realpathSync(mkdtempSync(join(tmpdir(), prefix)));
  // Root's servers run as another account.
  chmodSync(path, 0o755);
  writeFileSync(join(path, ownerFile), `${process.pid} ${await processIdentity(process.pid)}`);
  // Blocks until its input ends, which happens when this process ends, also by SIGKILL. In a
  // session of its own, so that Ctrl-C on the test run does not take it along.
  const watchdog = spawn('/bin/sh', ['-c', `cat > /dev/null; ${removal}`, 'sh', path], {
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  watchdog.unref();
  const input = watchdog.stdin as typeof watchdog.stdin & { unref(): void };
  input.unref();
  return {
    path,
    remove: () =>
      new Promise((resolve) => {
        watchdog.ref();
        watchdog.once('exit', () => resolve());
        input.end();
      }),
  };
}

/** What is left of a run whose watchdog was killed too, or of a machine that was switched off. */
async function sweepDead(): Promise<void> {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(prefix)) continue;
    const path = join(tmpdir(), name);
    // What another account has left is for that to remove.
    if (!isOurs(path) || (await isOwned(path))) continue;
    await new Promise((resolve) => {
      spawn('/bin/sh', ['-c', removal, 'sh', path], { stdio: 'ignore' }).once('exit', resolve);
    });
    rmSync(path, { recursive: true, force: true });
  }
}

async function isOwned(path: string): Promise<boolean> {
  try {
    const [pid, ...identity] = readFileSync(join(path, ownerFile), 'utf8').split(' ');
    return (await processIdentity(Number(pid))) === identity.join(' ');
  } catch {
    // Being made or removed by another test process at this moment, or forgotten half-way.
    const changed = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    return Date.now() - changed < ownerlessLimitMs;
  }
}

/** Of our account; root may remove everybody's. False too if it has just gone. */
function isOurs(path: string): boolean {
  const own = process.getuid?.();
  const owner = statSync(path, { throwIfNoEntry: false })?.uid;
  return owner !== undefined && (own === 0 || own === undefined || own === owner);
}
