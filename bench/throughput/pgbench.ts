import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { findProgram, type InstalledProgram } from '../support/find-program.ts';
import {
  type Progress,
  parseLogLatencies,
  parseProgress,
  parseSummary,
  type RunSummary,
} from './pgbench-output.ts';
import type { Destination } from './target.ts';
import { firstVariables, type Protocol, type Workload } from './workloads.ts';

/** Not measured: connections are opened and statements prepared. */
export const rampSeconds = 1;
/** For the logins of all clients. pgbench counts them in its own limit (-T), which is set so high. */
const loginSecondsMax = 300;
/** A run that has not ended so long after its limit has hung. */
const graceMs = 60_000;
const threadsMax = 2;
/** From so many clients on, only a part of the transactions is logged: enough for a p99. */
const manyClients = 32;
const sampledShare = 0.2;
const shownErrorLength = 300;

const missing = `pgbench is not installed, and the bench needs it.
  Debian, Ubuntu:  apt-get install postgresql-contrib   (or postgresql-client-NN)
  Fedora, RHEL:    dnf install postgresql-contrib
  macOS:           brew install postgresql
It is found through PATH.`;

/** @throws Error that says what to install */
export async function requirePgbench(): Promise<InstalledProgram> {
  const found = await findProgram('pgbench', /pgbench \(PostgreSQL\) (\d+(?:\.\d+)*)/);
  if (found === null) throw new Error(missing);
  return found;
}

export interface PgbenchOptions {
  readonly program: InstalledProgram;
  readonly destination: Destination;
  readonly workload: Workload;
  readonly protocol: Protocol;
  readonly clients: number;
  /** Measured, after rampSeconds. */
  readonly seconds: number;
  readonly scale: number;
  /** About once a second in the time that is measured, also at its beginning. */
  readonly onProgress: (line: Progress) => void;
}

export interface PgbenchRun {
  /** Null when the run failed as a whole. */
  readonly summary: RunSummary | null;
  readonly latenciesMicros: readonly number[];
  /** What pgbench complained of, null if of nothing. Holds no password: it is never told one. */
  readonly error: string | null;
}

export async function runPgbench(options: PgbenchOptions): Promise<PgbenchRun> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-pgbench-'));
  try {
    const args = await pgbenchArgs(options, folder);
    const { destination, seconds } = options;
    const child = spawn(options.program.path, args, {
      cwd: folder,
      // Arguments can be read by everybody on the machine; the environment cannot.
      env: { ...process.env, ...passwordOf(destination), LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: (loginSecondsMax + rampSeconds + seconds) * 1_000 + graceMs,
      killSignal: 'SIGKILL',
    });
    const exited = once(child, 'exit');
    const watching = watch(child, options);
    const stdout = await text(child.stdout);
    const { measuredFromMs, complaints } = await watching;
    const [code, signal] = (await exited) as [number | null, string | null];
    if (signal !== null) complaints.push(`pgbench was ended by ${signal}: it had hung`);
    else if (code !== 0) complaints.push(`pgbench ended with code ${code}`);
    return {
      summary: parseSummary(stdout),
      latenciesMicros: await readLogs(folder, measuredFromMs),
      error: complaints.length === 0 ? null : complaints.join('; ').slice(0, shownErrorLength),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Watched {
  /** Of Date.now(), after the ramp. */
  readonly measuredFromMs: number;
  readonly complaints: string[];
}

/** Reads what it says on standard error, and ends it when its time is over. */
async function watch(
  child: ChildProcessByStdio<null, Readable, Readable>,
  { seconds, onProgress }: PgbenchOptions,
): Promise<Watched> {
  const complaints: string[] = [];
  let measuredFromMs = 0;
  let first: Progress | null = null;
  for await (const line of createInterface({ input: child.stderr })) {
    const progress = parseProgress(line);
    if (progress === null) {
      if (/error|fatal|abort/i.test(line)) complaints.push(line);
      continue;
    }
    if (progress.atSeconds < rampSeconds) continue;
    if (first === null) measuredFromMs = Date.now();
    first ??= progress;
    onProgress(progress);
    // As if its limit was reached (handle_sig_alarm in pgbench.c): it ends in order.
    if (progress.atSeconds >= first.atSeconds + seconds) child.kill('SIGALRM');
  }
  return { measuredFromMs, complaints };
}

function passwordOf({ login }: Destination): Readonly<Record<string, string>> {
  return login.password === '' ? {} : { PGPASSWORD: login.password };
}

async function pgbenchArgs(options: PgbenchOptions, folder: string): Promise<string[]> {
  const { destination, workload, protocol, clients, seconds, scale } = options;
  const scripts: string[] = [];
  for (const { name, weight, text } of workload.scripts) {
    const file = join(folder, `${name}.sql`);
    await writeFile(file, text);
    scripts.push('-f', `${file}@${weight}`);
  }
  const variables = Object.entries(firstVariables).flatMap(([name, value]) => [
    '-D',
    `${name}=${value}`,
  ]);
  return [
    ...['-n', '-M', protocol, '-c', `${clients}`, '-j', `${Math.min(clients, threadsMax)}`],
    ...[
      '-T',
      `${loginSecondsMax + rampSeconds + seconds}`,
      '-s',
      `${scale}`,
      '-P',
      '1',
      '-l',
      '--log-prefix',
      join(folder, 'log'),
    ],
    ...(clients >= manyClients ? ['--sampling-rate', `${sampledShare}`] : []),
    ...variables,
    ...scripts,
    destination.connection,
  ];
}

/** Each of its threads has a log of its own. */
async function readLogs(folder: string, sinceMs: number): Promise<number[]> {
  const names = (await readdir(folder)).filter((name) => name.startsWith('log.'));
  const logs = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
  return logs.flatMap((log) => parseLogLatencies(log, sinceMs));
}
