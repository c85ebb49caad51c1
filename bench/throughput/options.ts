import { parseArgs } from 'node:util';
import type { Program } from '../support/tidemark.ts';
import { wholeNumber } from '../support/whole-number.ts';
import { schema } from './bench-tables.ts';
import { type NamedUrl, parseNamedUrl } from './named-url.ts';
import { targetKeys } from './targets.ts';
import { type Protocol, protocols, type WorkloadKey, workloadKeys } from './workloads.ts';

export interface ThroughputOptions {
  /** Keys of targets; null: all that are there. */
  readonly targets: readonly string[] | null;
  readonly workloads: readonly WorkloadKey[];
  readonly protocols: readonly Protocol[];
  readonly clients: readonly number[];
  /** Of each run of pgbench. */
  readonly seconds: number;
  readonly repetitions: number;
  /** As pgbench -s: 100,000 accounts each. */
  readonly scale: number;
  /** Server connections of each proxy's pools. */
  readonly poolSize: number;
  readonly fsync: 'on' | 'off';
  readonly program: Program;
  /** The user's own servers instead of a cluster of the bench's. */
  readonly urls: readonly NamedUrl[];
  /** What to do with the tables at the first of those. */
  readonly tables: 'use' | 'create' | 'drop';
  /** Name of the result files, without a suffix; null: they are not written. */
  readonly output: string | null;
  readonly note: string | null;
}

export const help = `npm run bench -- [options]

  --targets a,b         of ${targetKeys.join(', ')} (default: all that are
                        installed, except forwarder)
  --workloads a,b       of ${workloadKeys.join(', ')} (default: all)
  --protocols a,b       of ${protocols.join(', ')} (default: all)
  --clients 1,8,32,128,500
  --seconds 5           of each run of pgbench
  --repetitions 5       the targets take turns in each
  --scale 10            as pgbench -s: 100,000 accounts each
  --pool-size 20        server connections of each proxy's pools
  --fsync on            of all servers: on or off
  --source              run Tidemark from its source, without a build
  --output FILE         results go to FILE.json, FILE.md and FILE.svg (default: bench/results/throughput)
  --no-output           results are only printed
  --note TEXT           printed with the results

Against servers of your own, instead of a cluster that the bench starts:

  --url [NAME=]URL      postgres://user:password@host:port/database; repeat it to compare several
                        ways to the same database, such as Tidemark, a pooler and no proxy at all.
                        The URL's password, or else PGPASSWORD, is used and never printed.
  --init                first make the tables through the first URL: a schema ${schema} in
                        that database, 16 MB for each --scale. Nothing else is touched.
  --drop                remove that schema, and do nothing else
`;

const options = {
  targets: { type: 'string' },
  workloads: { type: 'string', default: workloadKeys.join(',') },
  protocols: { type: 'string', default: protocols.join(',') },
  clients: { type: 'string', default: '1,8,32,128,500' },
  seconds: { type: 'string', default: '5' },
  repetitions: { type: 'string', default: '5' },
  scale: { type: 'string', default: '10' },
  'pool-size': { type: 'string', default: '20' },
  fsync: { type: 'string', default: 'on' },
  source: { type: 'boolean', default: false },
  url: { type: 'string', multiple: true, default: [] as string[] },
  init: { type: 'boolean', default: false },
  drop: { type: 'boolean', default: false },
  output: { type: 'string', default: 'bench/results/throughput' },
  'no-output': { type: 'boolean', default: false },
  note: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

const clientsMax = 5_000;

/**
 * @returns null: help is wanted
 * @throws Error about the first option that is wrong
 */
export function parseOptions(args: readonly string[]): ThroughputOptions | null {
  const { values } = parseArgs({ args: [...args], options });
  if (values.help) return null;
  const { fsync, init, drop } = values;
  if (fsync !== 'on' && fsync !== 'off') throw new Error('--fsync is on or off');
  const urls = values.url.map(parseNamedUrl);
  if (urls.length === 0 && (init || drop)) throw new Error('--init and --drop go with --url');
  if (new Set(urls.map(({ name }) => name)).size < urls.length) {
    throw new Error('--url: two have the same name; give each its own: NAME=postgres://...');
  }
  if (init && drop) throw new Error('--init or --drop, not both');
  if (urls.length > 0 && values.targets !== undefined) {
    throw new Error(
      '--targets is for the cluster of the bench: with --url the URLs are the targets',
    );
  }
  return {
    targets: values.targets === undefined ? null : chosen('--targets', values.targets, targetKeys),
    workloads: chosen('--workloads', values.workloads, workloadKeys),
    protocols: chosen('--protocols', values.protocols, protocols),
    clients: values.clients.split(',').map((one) => wholeNumber('--clients', one, 1, clientsMax)),
    seconds: wholeNumber('--seconds', values.seconds, 1, 3_600),
    repetitions: wholeNumber('--repetitions', values.repetitions, 1, 1_000),
    scale: wholeNumber('--scale', values.scale, 1, 10_000),
    poolSize: wholeNumber('--pool-size', values['pool-size'], 1, 1_000),
    fsync,
    program: values.source ? 'source' : 'built',
    urls,
    tables: init ? 'create' : drop ? 'drop' : 'use',
    output: values['no-output'] ? null : values.output,
    note: values.note ?? null,
  };
}

function chosen<Key extends string>(option: string, text: string, keys: readonly Key[]): Key[] {
  return text.split(',').map((word) => {
    const key = keys.find((one) => one === word);
    if (key === undefined) throw new Error(`${option}: "${word}" is not one of ${keys.join(', ')}`);
    return key;
  });
}
