import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { TestCluster } from './cluster.ts';
import type { TestProxyOptions } from './proxy.ts';

const program = fileURLToPath(new URL('./proxy-program.ts', import.meta.url));

/** A proxy in a process of its own, whose memory can be measured. */
export class ProxyProcess {
  readonly host: string;
  readonly port: number;
  readonly url: string;
  readonly httpUrl: string;
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #exit: Promise<unknown[]>;

  private constructor(
    child: ChildProcess,
    address: Omit<ProxyProcess, 'pid' | 'stop' | 'residentBytes'>,
  ) {
    this.host = address.host;
    this.port = address.port;
    this.url = address.url;
    this.httpUrl = address.httpUrl;
    this.pid = child.pid!;
    this.#child = child;
    this.#exit = once(child, 'exit');
  }

  static async start(cluster: TestCluster, options: TestProxyOptions = {}): Promise<ProxyProcess> {
    const nodes = cluster.nodes.map(({ name, host, port, user, password, database }) => ({
      name,
      host,
      port,
      user,
      password,
      database,
    }));
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', program, JSON.stringify(nodes), JSON.stringify(options)],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    const lines = createInterface({ input: child.stdout });
    const [line] = await Promise.race([once(lines, 'line'), once(child, 'exit')]);
    if (typeof line !== 'string') throw new Error(`the proxy did not start: exit code ${line}`);
    return new ProxyProcess(child, JSON.parse(line));
  }

  /** What the process holds of the machine's memory, as the proxy itself reports it. */
  async residentBytes(): Promise<number> {
    const response = await fetch(`${this.httpUrl}/metrics`);
    const found = /^process_resident_memory_bytes (\S+)$/m.exec(await response.text());
    if (found === null) throw new Error('the metrics do not tell the resident memory');
    return Number(found[1]);
  }

  /** Stops it at once, whoever is connected. Resolves with the exit code: 0 unless it crashed. */
  async stop(): Promise<number | null> {
    this.#child.stdin?.end();
    const [code] = await this.#exit;
    return code as number | null;
  }
}
