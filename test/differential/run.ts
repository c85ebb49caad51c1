/**
 * Compares what random scripts are told by PostgreSQL and through Tidemark:
 * `npm run check:differential -- --scripts 10000 --seed 1 --without listen,role`.
 */
import { parseArgs } from 'node:util';
import { checkScripts } from './check.ts';
import { type Feature, features } from './command.ts';
import { Rig } from './rig.ts';

const { values } = parseArgs({
  options: {
    scripts: { type: 'string', default: process.env.TIDEMARK_TEST_SCRIPTS ?? '10000' },
    seed: { type: 'string', default: process.env.TIDEMARK_TEST_SEED ?? '1' },
    without: { type: 'string', default: '' },
    /** How many differences are shrunk before it ends. */
    failures: { type: 'string', default: '10' },
  },
});

const leftOut = new Set(values.without.split(',').filter((name) => name !== '') as Feature[]);
for (const name of leftOut) {
  if (!features.includes(name)) throw new Error(`features: ${features.join(', ')}`);
}
const rig = await Rig.start();
const result = await checkScripts(rig, {
  scripts: Number(values.scripts),
  seed: Number(values.seed),
  leftOut,
  failuresMax: Number(values.failures),
  progress: (line) => console.log(line),
});
await rig.stop();
for (const [name, count] of result.allowed) console.log(`  allowed: ${name}: ${count} scripts`);
console.log(`${result.scripts} scripts, ${result.failures.length} differences`);
process.exitCode = result.failures.length === 0 ? 0 : 1;
