import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { startTestProxy, type TestProxy } from '../support/proxy.ts';
import { Bystanders } from './bystanders.ts';
import { countLines, difference, isExpected, normalised } from './differences.ts';
import type { TestGroup } from './schedule.ts';
import { Suite, type SuiteOptions } from './suite.ts';

export interface PairOptions {
  readonly binaries: 'debian15' | 'embedded';
  /** Of all servers. */
  readonly settings: Readonly<Record<string, string>>;
  readonly bystanders: number;
  /** Of each pool of server connections. */
  readonly poolSize: number;
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
    const { binaries, settings, isControl, poolSize } = options;
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

  /** Runs tests in a fresh database of each side, and gives what came of them group by group. */
  async *run(suite: SuiteOptions, groups: readonly TestGroup[]): AsyncGenerator<Outcome> {
    const [direct, behind] = this.#clusters;
    const front = this.#proxy ?? behind.primary;
    const folder = (name: string) => join(this.#options.results, suite.database, name);
    const prepare = ({ host, port }: { host: string; port: number }, name: string) =>
      Suite.prepare(suite, { host, port, user: behind.user, folder: folder(name) });
    const sides = [
      await prepare(direct.primary, 'primary'),
      await prepare(front, 'tidemark'),
    ] as const;
    const { host, port } = front;
    const address = { host, port, user: behind.user, database: suite.database };
    const bystanders =
      this.#proxy === null ? null : Bystanders.start(address, this.#options.bystanders);
    const diffs = folder('diffs');
    await mkdir(diffs, { recursive: true });
    try {
      for (const group of groups) {
        const [byPrimary, byProxy] = await runBoth(sides, group);
        for (const [index, test] of group.entries()) {
          const outputs = [byPrimary[index]!, byProxy[index]!] as const;
          yield await compare(suite, test, diffs, outputs);
        }
      }
    } finally {
      await bystanders?.stop();
    }
  }

  async stop(): Promise<void> {
    await this.#proxy?.stop();
    for (const cluster of this.#clusters) await cluster.stop();
  }
}

/** What the tests of a group printed. A single one runs on both sides at the same time. */
async function runBoth(
  sides: readonly [Suite, Suite],
  group: TestGroup,
): Promise<[string[], string[]]> {
  const outputs = (side: Suite) => Promise.all(group.map((test) => side.run(test)));
  const first = outputs(sides[0]);
  if (group.length > 1) await first;
  const second = outputs(sides[1]);
  return [await first, await second];
}

async function compare(
  { source }: SuiteOptions,
  test: string,
  diffs: string,
  [byPrimary, byProxy]: readonly [string, string],
): Promise<Outcome> {
  const diff = await difference(test, diffs, [normalised(byPrimary), normalised(byProxy)]);
  if (diff !== null) await writeFile(join(diffs, `${test}.diff`), diff, 'latin1');
  return {
    test,
    lines: diff === null ? 0 : countLines(diff),
    isExpected: await isExpected(source, test, byPrimary),
  };
}
