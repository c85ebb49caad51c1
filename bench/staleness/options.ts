import { parseArgs } from 'node:util';
import type { Program } from '../support/tidemark.ts';
import type { Traffic } from './session.ts';

export interface StalenessOptions {
  /** Measured time for each target and delay, over all its turns. */
  readonly seconds: number;
  /** Turns of each target for each delay. */
  readonly rounds: number;
  readonly sessions: number;
  readonly traffic: Traffic;
  /** recovery_min_apply_delay of the replicas, one after the other. */
  readonly delaysMs: readonly number[];
  /** Keys of targets; null: all that are there. */
  readonly targets: readonly string[] | null;
  readonly fsync: 'on' | 'off';
  readonly program: Program;
  /** Name of the result files, without a suffix; null: they are not written. */
  readonly output: string | null;
  /** Anything that the reader of the results should know. */
  readonly note: string | null;
}

export const help = `npm run bench:staleness -- [options]

  --seconds 6          measured for each target and delay
  --rounds 3           in so many turns, between those of the other targets
  --sessions 16        application sessions at a time
  --own-reads 4        reads of the row just written, after each write
  --other-reads 2      reads of other sessions' rows after those
  --think 0            mean pause after each statement, in ms
  --delays 0,50,500    how far the replicas are held behind, in ms
  --targets a,b        only these (their keys are in the results)
  --fsync on           of all servers: on or off
  --source             run Tidemark from its source, without a build
  --output FILE        results go to FILE.json, FILE.md and FILE.svg (default: bench/results/staleness)
  --no-output          results are only printed
  --note TEXT          printed with the results
`;

const options = {
  seconds: { type: 'string', default: '6' },
  rounds: { type: 'string', default: '3' },
  sessions: { type: 'string', default: '16' },
  'own-reads': { type: 'string', default: '4' },
  'other-reads': { type: 'string', default: '2' },
  think: { type: 'string', default: '0' },
  delays: { type: 'string', default: '0,50,500' },
  targets: { type: 'string' },
  fsync: { type: 'string', default: 'on' },
  source: { type: 'boolean', default: false },
  output: { type: 'string', default: 'bench/results/staleness' },
  'no-output': { type: 'boolean', default: false },
  note: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** Each session of most targets has one connection to the primary, whose servers take 200. */
const sessionsMax = 100;

/**
 * @returns null: help is wanted
 * @throws Error about the first option that is wrong
 */
export function parseOptions(args: readonly string[]): StalenessOptions | null {
  const { values } = parseArgs({ args: [...args], options });
  if (values.help) return null;
  const { fsync } = values;
  if (fsync !== 'on' && fsync !== 'off') throw new Error('--fsync is on or off');
  return {
    seconds: number('--seconds', values.seconds, 0.1, 3_600),
    rounds: whole('--rounds', values.rounds, 1, 1_000),
    sessions: whole('--sessions', values.sessions, 1, sessionsMax),
    traffic: {
      ownReads: whole('--own-reads', values['own-reads'], 0, 1_000),
      otherReads: whole('--other-reads', values['other-reads'], 0, 1_000),
      thinkMs: number('--think', values.think, 0, 60_000),
    },
    delaysMs: values.delays.split(',').map((delay) => whole('--delays', delay, 0, 60_000)),
    targets: values.targets?.split(',') ?? null,
    fsync,
    program: values.source ? 'source' : 'built',
    output: values['no-output'] ? null : values.output,
    note: values.note ?? null,
  };
}

function number(option: string, text: string, min: number, max: number): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (value >= min && value <= max) return value;
  throw new Error(`${option} is a number from ${min} to ${max}, not "${text}"`);
}

function whole(option: string, text: string, min: number, max: number): number {
  const value = number(option, text, min, max);
  if (Number.isInteger(value)) return value;
  throw new Error(`${option} is a whole number, not "${text}"`);
}
