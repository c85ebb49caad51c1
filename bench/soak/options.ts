import { parseArgs } from 'node:util';
import type { Program } from '../support/tidemark.ts';
import { wholeNumber } from '../support/whole-number.ts';

export interface SoakOptions {
  readonly minutes: number;
  /** Clients at one time. */
  readonly players: number;
  /** Server connections of a pool. */
  readonly poolSize: number;
  readonly seed: number;
  readonly program: Program;
  /** Name of the result files, without a suffix; null: they are not written. */
  readonly output: string | null;
  readonly note: string | null;
}

export const help = `npm run bench:soak -- [options]

  --minutes 30          a fraction is taken, too
  --players 40          clients at one time, each coming and going
  --pool-size 20        server connections of each pool
  --seed 1              another one: other clients do other things
  --source              run Tidemark from its source, without a build
  --output FILE         results go to FILE.json, FILE.md and FILE.svg (default: bench/results/soak)
  --no-output           results are only printed
  --note TEXT           printed with the results
`;

const options = {
  minutes: { type: 'string', default: '30' },
  players: { type: 'string', default: '40' },
  'pool-size': { type: 'string', default: '20' },
  seed: { type: 'string', default: '1' },
  source: { type: 'boolean', default: false },
  output: { type: 'string', default: 'bench/results/soak' },
  'no-output': { type: 'boolean', default: false },
  note: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

const minutesMax = 10_000;

/**
 * @returns null: help is wanted
 * @throws Error about the first option that is wrong
 */
export function parseOptions(args: readonly string[]): SoakOptions | null {
  const { values } = parseArgs({ args: [...args], options });
  if (values.help) return null;
  const minutes = Number(values.minutes);
  if (!(minutes > 0 && minutes <= minutesMax)) {
    throw new Error(`--minutes is a number up to ${minutesMax}, not "${values.minutes}"`);
  }
  return {
    minutes,
    players: wholeNumber('--players', values.players, 1, 900),
    poolSize: wholeNumber('--pool-size', values['pool-size'], 1, 100),
    seed: wholeNumber('--seed', values.seed, 0, 2 ** 32 - 1),
    program: values.source ? 'source' : 'built',
    output: values['no-output'] ? null : values.output,
    note: values.note ?? null,
  };
}

/** What makes the same run again. */
export function commandLine({ minutes, players, poolSize, seed, program }: SoakOptions): string {
  const words = `npm run bench:soak -- --minutes ${minutes} --players ${players} --pool-size ${poolSize} --seed ${seed}`;
  return program === 'source' ? `${words} --source` : words;
}
