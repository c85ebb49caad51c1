import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { startTestProxy, type TestProxy } from '../support/proxy.ts';
import { type BystanderAddress, Bystanders } from './bystanders.ts';
import { countLines, difference, isExpected, normalised } from './differences.ts';
import { Suite, type SuiteOptions } from './suite.ts';

export interface PairOptions {
  readonly binaries: 'debian15' | 'embedded';
  /** Of all servers. */
  readonly settings: Readonly<Record<string, string>>;
  readonly bystanders: number;
  /** Both sides are servers. */
  readonly isControl: boolean;
  /** A folder that the servers can enter. */
  readonly results: string;
}

export interface Outcome {
  readonly test: string;
  /** Lines that stand on one side only. */
  readonly lines: number;
  /** Directly it gives what PostgreSQL's developers expect. */
  readonly isExpected: boolean;
}

const poolSize = 4;
const replicas = 2;
const trustEverybody = [
  'local all all trust',
  'host all all 127.0.0.1/32 trust',
  'host replication all 127.0.0.1/32 trust',
];

/** A cluster, and Tidemark in front of an equal one. */
export class Pair {
  readonly #options: PairOptions;
  readonly #clusters: readonly [TestCluster, TestCluster];
  readonly #proxy: TestProxy | null;

  private constructor(
    options: PairOptions,
    clusters: readonly [TestCluster, TestCluster],
    proxy: TestProxy | null,
  ) {
    this.#options = options;
    this.#clusters = clusters;
    this.#proxy = proxy;
  }

  static async start(options: PairOptions): Promise<Pair> {
    const { binaries, settings, isControl } = options;
    const start = () => startTestCluster({ replicas, hba: trustEverybody, binaries, settings });
    const direct = await start();
    try {
      const behind = await start();
      const pool = { size: poolSize };
      const proxy = isControl ? null : await startTestProxy(behind, { auth: 'trust', pool });
      return new Pair(options, [direct, behind], proxy);
    } catch (error) {
      await direct.stop();
      throw error;
    }
  }

  /** Runs tests in a fresh database of each side, and gives what came of them one by one. */
  async *run(suite: SuiteOptions, tests: readonly string[]): AsyncGenerator<Outcome> {
    const [direct, behind] = this.#clusters;
    const front = this.#proxy ?? behind.primary;
    const { user } = behind;
    const folder = (name: string) => join(this.#options.results, suite.database, name);
    const sides = await Promise.all([
      Suite.prepare(suite, {
        host: direct.primary.host,
        port: direct.primary.port,
        user,
        folder: folder('primary'),
      }),
      Suite.prepare(suite, {
        host: front.host,
        port: front.port,
        user,
        folder: folder('tidemark'),
      }),
    ]);
    const diffs = folder('diffs');
    await mkdir(diffs, { recursive: true });
    const bystanders = this.#bystanders({
      host: front.host,
      port: front.port,
      user,
      database: suite.database,
    });
    try {
      for (const test of tests) {
        const [byPrimary, byProxy] = await Promise.all([sides[0].run(test), sides[1].run(test)]);
        const diff = await difference(test, diffs, [normalised(byPrimary), normalised(byProxy)]);
        if (diff !== null) await writeFile(join(diffs, `${test}.diff`), diff, 'latin1');
        yield {
          test,
          lines: diff === null ? 0 : countLines(diff),
          isExpected: await isExpected(suite.source, test, byPrimary),
        };
      }
    } finally {
      await bystanders?.stop();
    }
  }

  async stop(): Promise<void> {
    await this.#proxy?.stop();
    for (const cluster of this.#clusters) await cluster.stop();
  }

  #bystanders(address: BystanderAddress): Bystanders | null {
    return this.#proxy === null ? null : Bystanders.start(address, this.#options.bystanders);
  }
}
