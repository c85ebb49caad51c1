import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Account } from './account.ts';
import { roleOnDisk, writeSettings } from './data-directory.ts';
import type { Installation } from './installation.ts';
import { Postmaster, readLog, type ServerSpec, type StopMode } from './postmaster.ts';
import { cannotContinueLog } from './replication.ts';
import type { Settings } from './settings.ts';

/** A server that does not end within this time is killed. */
const stopLimitMs = 10_000;

export type NodeRole = 'primary' | 'replica';

/** One server of the cluster, running or not. */
export class ClusterServer {
  readonly name: string;
  readonly spec: ServerSpec;
  port: number;
  /** As it was on disk at the last start. */
  role: NodeRole = 'primary';
  readonly #settingsOf: (server: ClusterServer) => Settings;
  #postmaster: Postmaster | null = null;

  /** @param settingsOf asked at every start, when the ports of the other servers are known */
  constructor(
    name: string,
    port: number,
    spec: ServerSpec,
    settingsOf: (server: ClusterServer) => Settings,
  ) {
    this.name = name;
    this.port = port;
    this.spec = spec;
    this.#settingsOf = settingsOf;
  }

  get running(): boolean {
    return this.#postmaster?.running ?? false;
  }

  /** The postmaster's pid, of the last start if it is not running; 0 before the first. */
  get pid(): number {
    return this.#postmaster?.pid ?? 0;
  }

  /** @throws ServerStartError; nothing runs then */
  async start(): Promise<void> {
    this.role = await roleOnDisk(this.spec.dataDir);
    await writeSettings(this.spec.account, this.spec.dataDir, this.#settingsOf(this));
    const hopeless = this.role === 'replica' ? cannotContinueLog : undefined;
    this.#postmaster = await Postmaster.start(this.spec, hopeless);
  }

  async stop(mode: StopMode = 'fast'): Promise<void> {
    await this.#postmaster?.stop(mode, stopLimitMs);
  }

  signalStop(): void {
    this.#postmaster?.signalStop();
  }

  /** True when it has ended or has logged that its upstream cannot serve it any more. */
  async isHopeless(): Promise<boolean> {
    return !this.running || cannotContinueLog.test(await readLog(this.spec));
  }
}

/** How a server named so, in this home folder, is started and found again. */
export function serverSpec(
  home: string,
  name: string,
  installation: Installation,
  account: Account,
): ServerSpec {
  return {
    installation,
    account,
    dataDir: join(home, name),
    clusterName: clusterNameOf(home, name),
    logFile: join(home, `${name}.log`),
  };
}

/** Unique to the data directory; shown in the titles of the server's processes. */
export function clusterNameOf(home: string, name: string): string {
  const key = createHash('sha256').update(home).digest('hex').slice(0, 12);
  return `tidemark-${key}-${name}`;
}
