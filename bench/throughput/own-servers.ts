import pg from 'pg';
import { describeMachine } from '../support/machine.ts';
import { createTables, dropTables, findScale, schema } from './bench-tables.ts';
import { commandLine } from './command-line.ts';
import type { NamedUrl } from './named-url.ts';
import type { ThroughputOptions } from './options.ts';
import { requirePgbench } from './pgbench.ts';
import { playAll } from './play.ts';
import type { ThroughputResults } from './results.ts';
import type { Target } from './target.ts';

type Progress = (line: string) => void;

/**
 * Plays the same workloads through each of the URLs, in turns.
 *
 * @returns null: the tables were removed, as was asked
 */
export async function benchOwnServers(
  options: ThroughputOptions,
  progress: Progress,
): Promise<ThroughputResults | null> {
  const machine = describeMachine();
  const pgbench = await requirePgbench();
  const first = options.urls[0]!;
  const control = new pg.Client(first.login());
  control.on('error', () => undefined);
  await control.connect();
  try {
    if (options.tables === 'drop') {
      progress(`${first.shown}: removing the schema ${schema}`);
      await dropTables(control);
      return null;
    }
    const scale = await prepareTables(control, first, options, progress);
    const targets = options.urls.map(targetOf);
    const baselines = [first.name];
    for (const { name, login } of options.urls) await requireTables(name, new pg.Client(login()));
    const played = await playAll({
      ...{ options, pgbench, targets, baselines, scale, control, progress },
    });
    const { rows } = await control.query<{ value: string }>(
      `select current_setting('server_version') as value`,
    );
    return {
      at: new Date().toISOString(),
      command: commandLine(options),
      machine,
      settings: { seconds: options.seconds, repetitions: options.repetitions, scale },
      postgres: { servers: "the user's", server_version: rows[0]!.value },
      versions: { pgbench: pgbench.version },
      note: options.note,
      leftOut: [
        'CPU and memory of the proxies, and the share of reads on replicas: they cannot be seen from here.',
      ],
      targets: targets.map(({ key, name, settings }) => ({ key, name, settings })),
      baselines,
      ...played,
    };
  } finally {
    await control.end();
  }
}

async function prepareTables(
  control: pg.Client,
  { shown }: NamedUrl,
  { tables, scale }: ThroughputOptions,
  progress: Progress,
): Promise<number> {
  const found = await findScale(control);
  if (tables === 'create') {
    if (found !== null) {
      throw new Error(`there is a schema ${schema} already: leave --init out, or --drop it first`);
    }
    progress(`${shown}: making the schema ${schema} with pgbench's tables, scale ${scale}`);
    await createTables(control, scale);
    return scale;
  }
  if (found === null) {
    throw new Error(
      `the bench writes to tables of its own, which are not there: --init makes them in ${shown}, in a schema ${schema}, which --drop removes`,
    );
  }
  progress(`${shown}: using the tables in the schema ${schema}, scale ${found}`);
  return found;
}

/** All URLs must lead to the same tables; a replica behind a proxy may still be receiving them. */
async function requireTables(name: string, client: pg.Client): Promise<void> {
  client.on('error', () => undefined);
  await client.connect();
  try {
    if ((await findScale(client)) === null) {
      throw new Error(`${name} does not have the schema ${schema}: do all URLs name one database?`);
    }
  } finally {
    await client.end();
  }
}

function targetOf({ name, shown, connection, login }: NamedUrl): Target {
  const destination = { connection, login: login() };
  return {
    key: name,
    name,
    settings: { url: shown },
    destinationFor: () => destination,
    pid: null,
    readCounts: null,
  };
}
