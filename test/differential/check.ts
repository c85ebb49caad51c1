import fc from 'fast-check';
import { type Feature, type GeneratedScript, shown } from './command.ts';
import { compare } from './compare.ts';
import { scripts } from './generator.ts';
import { minimise } from './minimise.ts';
import type { Rig } from './rig.ts';

/** Scripts between two reports of progress; the first that differs ends the batch. */
const batchSize = 100;

export interface CheckOptions {
  readonly scripts: number;
  readonly seed: number;
  readonly leftOut: ReadonlySet<Feature>;
  readonly failuresMax: number;
  readonly progress: (line: string) => void;
}

export interface CheckResult {
  readonly scripts: number;
  /** Each with the smallest script that was found for it. */
  readonly failures: readonly string[];
  /** In how many scripts each allowed difference was met. */
  readonly allowed: ReadonlyMap<string, number>;
}

/** Runs random scripts on both sides, and shrinks those that differ. */
export async function checkScripts(rig: Rig, options: CheckOptions): Promise<CheckResult> {
  const failures: string[] = [];
  const allowed = new Map<string, number>();
  const met = (names: readonly string[]) => {
    for (const name of new Set(names)) allowed.set(name, (allowed.get(name) ?? 0) + 1);
  };
  let ran = 0;
  while (ran < options.scripts && failures.length < options.failuresMax) {
    const numRuns = Math.min(batchSize, options.scripts - ran);
    const seed = options.seed * 1_000_003 + ran;
    const { failure, runs } = await checkBatch(rig, {
      seed,
      numRuns,
      leftOut: options.leftOut,
      met,
    });
    ran += runs;
    if (failure !== null) {
      failures.push(failure);
      options.progress(`\n${failure}\n`);
    }
    options.progress(`${ran} scripts, ${failures.length} differences`);
  }
  return { scripts: ran, failures, allowed };
}

interface Batch {
  readonly seed: number;
  readonly numRuns: number;
  readonly leftOut: ReadonlySet<Feature>;
  readonly met: (allowed: readonly string[]) => void;
}

interface Outcome {
  /** The smallest script that differs, with what differs. */
  readonly failure: string | null;
  /** Without those of shrinking. */
  readonly runs: number;
}

async function checkBatch(rig: Rig, { seed, numRuns, leftOut, met }: Batch): Promise<Outcome> {
  const property = fc.asyncProperty(scripts(leftOut), async (script) => {
    const { difference, allowed } = await compare(rig, script);
    met(allowed);
    if (difference !== null) throw new Error(difference);
  });
  const result = await fc.check(property, { seed, numRuns });
  const { failed, numRuns: runs, numShrinks } = result;
  if (!failed) return { failure: null, runs };
  const [found] = result.counterexample as unknown as [GeneratedScript];
  let why = (result.errorInstance as Error | null)?.message ?? '';
  const smallest = await minimise(found, async (script) => {
    const { difference } = await compare(rig, script);
    if (difference !== null) why = difference;
    return difference !== null;
  });
  const where = `seed ${seed}, script ${runs}, shrunk ${numShrinks} times`;
  return { failure: `${where}: ${shown(smallest)}\n${why}`, runs };
}
