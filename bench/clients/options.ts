import { parseArgs } from 'node:util';
import type { Program } from '../support/tidemark.ts';
import { wholeNumber } from '../support/whole-number.ts';

export interface ClientsOptions {
  /** Idle ones, in all. */
  readonly clients: number;
  /** They log in so many at once. */
  readonly logins: number;
  /** Clients that send statements without a pause. */
  readonly busy: number;
  /** Of each load. */
  readonly seconds: number;
  /** Between the last login and the look at what the idle clients take. */
  readonly settleSeconds: number;
  /** Server connections of a pool. */
  readonly poolSize: number;
  readonly fsync: 'on' | 'off';
  readonly program: Program;
  /** Name of the result files, without a suffix; null: they are not written. */
  readonly output: string | null;
  readonly note: string | null;
}

export const help = `npm run bench:clients -- [options]

  --clients 10000       idle clients in all; each has run a query
  --logins 1000         of them log in at once, with SCRAM
  --busy 32             clients that send statements without a pause
  --seconds 5           of each load of those
  --settle 15           seconds between the last login and the look at the memory
  --pool-size 20        server connections of each pool
  --fsync on            of all servers: on or off
  --source              run Tidemark from its source, without a build
  --output FILE         results go to FILE.json and FILE.md (default: bench/results/clients)
  --no-output           results are only printed
  --note TEXT           printed with the results
`;

const options = {
  clients: { type: 'string', default: '10000' },
  logins: { type: 'string', default: '1000' },
  busy: { type: 'string', default: '32' },
  seconds: { type: 'string', default: '5' },
  settle: { type: 'string', default: '15' },
  'pool-size': { type: 'string', default: '20' },
  fsync: { type: 'string', default: 'on' },
  source: { type: 'boolean', default: false },
  output: { type: 'string', default: 'bench/results/clients' },
  'no-output': { type: 'boolean', default: false },
  note: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** Linux has 28,000 ports for connections to one address, unless it was told otherwise. */
const clientsMax = 25_000;

/**
 * @returns null: help is wanted
 * @throws Error about the first option that is wrong
 */
export function parseOptions(args: readonly string[]): ClientsOptions | null {
  const { values } = parseArgs({ args: [...args], options });
  if (values.help) return null;
  const { fsync } = values;
  if (fsync !== 'on' && fsync !== 'off') throw new Error('--fsync is on or off');
  const clients = wholeNumber('--clients', values.clients, 1, clientsMax);
  const logins = wholeNumber('--logins', values.logins, 1, clientsMax);
  return {
    clients,
    logins: Math.min(logins, clients),
    busy: wholeNumber('--busy', values.busy, 1, 1_000),
    seconds: wholeNumber('--seconds', values.seconds, 1, 3_600),
    settleSeconds: wholeNumber('--settle', values.settle, 0, 3_600),
    poolSize: wholeNumber('--pool-size', values['pool-size'], 1, 1_000),
    fsync,
    program: values.source ? 'source' : 'built',
    output: values['no-output'] ? null : values.output,
    note: values.note ?? null,
  };
}

/** What makes the same run again. */
export function commandLine(options: ClientsOptions): string {
  const { clients, logins, busy, seconds, settleSeconds, poolSize, fsync, program } = options;
  return [
    'npm run bench:clients --',
    `--clients ${clients} --logins ${logins} --busy ${busy} --seconds ${seconds}`,
    `--settle ${settleSeconds} --pool-size ${poolSize} --fsync ${fsync}`,
    ...(program === 'source' ? ['--source'] : []),
  ].join(' ');
}
