import pg from 'pg';
import type { Login } from '../support/login.ts';

export const table = 'bench_staleness';
const writeSql = `update ${table} set version = $2 where id = $1`;
/** The server that answers says so itself. Both functions it could use are stable, not volatile. */
const readSql = `select version, inet_server_port() as port from ${table} where id = $1`;

export interface ReadAnswer {
  readonly version: number;
  readonly onReplica: boolean;
}

/** How a session of an application reaches its database. One statement at a time. */
export interface Link {
  write(row: number, version: number): Promise<void>;
  read(row: number): Promise<ReadAnswer>;
  close(): Promise<void>;
}

async function connect(login: Login, settings: string | undefined): Promise<pg.Client> {
  const client = new pg.Client({ ...login, ...(settings !== undefined && { options: settings }) });
  // The statement under way fails too, and tells.
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function write(client: pg.Client, row: number, version: number): Promise<void> {
  const { rowCount } = await client.query(writeSql, [row, version]);
  if (rowCount !== 1) throw new Error(`a write changed ${rowCount} rows`);
}

async function read(client: pg.Client, row: number, primaryPort: number): Promise<ReadAnswer> {
  const { rows } = await client.query<{ version: number; port: number }>(readSql, [row]);
  const [found] = rows;
  if (found === undefined) throw new Error('a read found no row');
  return { version: found.version, onReplica: found.port !== primaryPort };
}

/** Everything over one connection: a proxy, or the primary itself. */
export async function singleLink(
  login: Login,
  primaryPort: number,
  settings?: string,
): Promise<Link> {
  const client = await connect(login, settings);
  return {
    write: (row, version) => write(client, row, version),
    read: (row) => read(client, row, primaryPort),
    close: () => client.end(),
  };
}

export interface SplitOptions {
  readonly primary: Login;
  readonly replicas: readonly Login[];
  /** Which replica is first. */
  readonly turn: number;
  /** For so long after a write of the session its reads go to the primary, too; 0: never. */
  readonly primaryAfterWriteMs: number;
}

/** The application's own splitter: writes to the primary's DSN, reads to the replicas' in turn. */
export async function splitLink(options: SplitOptions): Promise<Link> {
  const clients: pg.Client[] = [];
  const close = async () => {
    await Promise.all(clients.map((client) => client.end()));
  };
  try {
    for (const login of [options.primary, ...options.replicas]) {
      clients.push(await connect(login, undefined));
    }
  } catch (error) {
    await close();
    throw error;
  }
  const [primary, ...replicas] = clients as [pg.Client, ...pg.Client[]];
  const primaryPort = options.primary.port;
  let turn = options.turn;
  let wroteMs = Number.NEGATIVE_INFINITY;
  return {
    async write(row, version) {
      await write(primary, row, version);
      wroteMs = performance.now();
    },
    read(row) {
      const isPinned = performance.now() - wroteMs < options.primaryAfterWriteMs;
      const replica = replicas[turn++ % replicas.length];
      return read(isPinned || replica === undefined ? primary : replica, row, primaryPort);
    },
    close,
  };
}
