/**
 * Plays rounds of random sessions and faults and holds what they saw to what was promised:
 * `npm run check:consistency -- --minutes 10 --seed 1`. Ends with 1 after the first round with a
 * violation; `--seed` of that round alone plays it again, as far as timing lets it.
 */
import { parseArgs } from 'node:util';
import { analyse } from './analysis.ts';
import { type BreakageName, breakages } from './breakages.ts';
import { playRound } from './round.ts';
import { Summary } from './summary.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    clients: { type: 'string', default: '24' },
    /** Breaks the proxy on purpose: one of the names in breakages.ts. */
    breakage: { type: 'string' },
  },
});

/** How long each of a round's three primaries serves. */
const erasMs = [45_000, 30_000, 15_000];
const replicas = 3;
const shownViolations = 5;

const limitMs = Number(values.minutes) * 60_000;
const firstSeed = Number(values.seed);
const breakage = values.breakage === undefined ? null : breakages[values.breakage as BreakageName];
if (breakage === undefined) {
  throw new Error(`breakages: ${Object.keys(breakages).join(', ')}`);
}

const summary = new Summary();
const restore = breakage?.();
while (summary.tookMs < limitMs && summary.violationCount === 0) {
  const seed = firstSeed + summary.rounds;
  const round = await playRound({
    seed,
    replicas,
    clients: Number(values.clients),
    erasMs: erasMs.map((eraMs) => Math.min(eraMs, limitMs / erasMs.length)),
    secondProxy: breakage === null ? 'process' : 'here',
  });
  const verdict = analyse(round.history);
  summary.add(round, verdict);
  const { length } = round.history.operations;
  console.log(
    `round ${summary.rounds} (seed ${seed}): ${length} operations, ${verdict.violationCount} violations`,
  );
  for (const { rule, message } of verdict.violations.slice(0, shownViolations)) {
    console.log(`\n${rule}: ${message}`);
  }
}
restore?.();
console.log(`\n${summary.text()}`);
process.exitCode = summary.violationCount === 0 ? 0 : 1;
