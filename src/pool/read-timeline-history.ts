import pg from 'pg';
import type { NodeConfig } from '../config.ts';
import { controlClient } from './control-client.ts';

const TIMEOUT_MS = 5000;
/** 58P01 ERRCODE_UNDEFINED_FILE: the server has no history file of that name. */
const UNDEFINED_FILE = '58P01';

const MAY_SQL = `
  SELECT pg_catalog.has_function_privilege('pg_catalog.pg_read_file(text)', 'EXECUTE'),
         coalesce((SELECT rolreplication FROM pg_catalog.pg_roles WHERE rolname = current_user),
                  false)`;

/** What walsender sends is not escaped as its column types would have it: all is taken as text. */
const asText = { getTypeParser: () => (value: string) => value };

/**
 * The text of a timeline's history file: from the file where this role may read it, else over the
 * replication protocol where it may use that, else null. Rejects when the server cannot be asked.
 */
export async function readTimelineHistory(
  config: NodeConfig,
  timeline: number,
  signal: AbortSignal,
): Promise<string | null> {
  const rights = await withClient(config, signal, {}, async (client) => {
    const result = await client.query<boolean[]>({ text: MAY_SQL, rowMode: 'array' });
    const [mayReadFile, mayReplicate] = result.rows[0]!;
    return { text: mayReadFile ? await readFile(client, timeline) : null, mayReplicate };
  });
  if (rights.text !== null || !rights.mayReplicate) return rights.text;
  return await withClient(config, signal, { replication: 'database' }, (client) =>
    requestHistory(client, timeline),
  );
}

async function readFile(client: pg.Client, timeline: number): Promise<string | null> {
  // TLHistoryFileName: eight upper-case hexadecimal digits.
  const name = `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`;
  const text = 'SELECT pg_catalog.pg_read_file($1)';
  return await orMissing(async () => {
    const values = [`pg_wal/${name}`];
    const result = await client.query<string[]>({ text, values, rowMode: 'array' });
    return result.rows[0]![0]!;
  });
}

/** protocol-replication.html: one row of the file's name and its content. */
async function requestHistory(client: pg.Client, timeline: number): Promise<string | null> {
  return await orMissing(async () => {
    const text = `TIMELINE_HISTORY ${timeline}`;
    const result = await client.query<string[]>({ text, rowMode: 'array', types: asText });
    return result.rows[0]![1]!;
  });
}

async function orMissing(read: () => Promise<string>): Promise<string | null> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === UNDEFINED_FILE) return null;
    throw error;
  }
}

async function withClient<T>(
  config: NodeConfig,
  signal: AbortSignal,
  more: { readonly replication?: 'database' },
  use: (client: pg.Client) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const { client, cut } = controlClient(config, {
    connectionTimeoutMillis: TIMEOUT_MS,
    query_timeout: TIMEOUT_MS,
    ...more,
  } as pg.ClientConfig);
  // Whatever is under way rejects by itself.
  client.on('error', () => undefined);
  const abort = () => cut(new Error('not wanted any more'));
  signal.addEventListener('abort', abort);
  try {
    await client.connect();
    return await use(client);
  } finally {
    signal.removeEventListener('abort', abort);
    cut();
  }
}
