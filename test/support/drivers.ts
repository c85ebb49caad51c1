import pg from 'pg';
import postgres from 'postgres';
import type { TestProxy } from './proxy.ts';

// biome-ignore lint/suspicious/noExplicitAny: rows are whatever the test asked for
export type Row = Record<string, any>;

/** One client connection, however its library talks. Only integers are given as values. */
export interface Driver {
  readonly kind: DriverKind;
  query(text: string, values?: readonly number[]): Promise<Row[]>;
  end(): Promise<void>;
}

export const driverKinds = ['simple', 'extended', 'named', 'postgres.js'] as const;
export type DriverKind = (typeof driverKinds)[number];

/** Connects through the proxy. `options`: as in the startup packet, `-c name=value`. */
export async function connectDriver(
  kind: DriverKind,
  proxy: TestProxy,
  options = '',
): Promise<Driver> {
  return kind === 'postgres.js'
    ? connectPostgresJs(proxy, options)
    : connectNodePostgres(kind, proxy, options);
}

async function connectNodePostgres(
  kind: Exclude<DriverKind, 'postgres.js'>,
  proxy: TestProxy,
  options: string,
): Promise<Driver> {
  const client = new pg.Client({ connectionString: proxy.url, options });
  client.on('error', () => {});
  await client.connect();
  const names = new Map<string, string>();
  const run = async (text: string, values: readonly number[]) => {
    // Without values node-postgres speaks the simple protocol.
    if (kind === 'simple') return client.query(withLiterals(text, values));
    if (values.length === 0) return client.query(text);
    if (kind === 'extended') return client.query(text, [...values]);
    const name = names.get(text) ?? `statement_${names.size}`;
    names.set(text, name);
    return client.query({ name, text, values: [...values] });
  };
  return {
    kind,
    query: async (text, values = []) => {
      const result: pg.QueryResult | pg.QueryResult[] = await run(text, values);
      return (Array.isArray(result) ? result.at(-1) : result)?.rows ?? [];
    },
    end: () => client.end(),
  };
}

/** It describes a statement, waits for the answer, and then executes it: two trips, one batch. */
async function connectPostgresJs(proxy: TestProxy, options: string): Promise<Driver> {
  const sql = postgres(proxy.url, {
    max: 1,
    prepare: true,
    onnotice: () => {},
    ...(options !== '' && { connection: { options } }),
  });
  await sql`select 1`;
  return {
    kind: 'postgres.js',
    query: async (text, values = []) => [...(await sql.unsafe(text, [...values]))],
    end: () => sql.end({ timeout: 5 }),
  };
}

function withLiterals(text: string, values: readonly number[]): string {
  return text.replace(/\$(\d+)/g, (_, index) => `${values[Number(index) - 1]}`);
}
