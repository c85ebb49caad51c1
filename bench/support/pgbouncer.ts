import { chown, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chooseAccount } from '../../src/embedded/account.ts';
import { findPort } from '../../src/embedded/ports.ts';
import type { TestNode } from '../../test/support/cluster.ts';
import { canLogIn } from './can-log-in.ts';
import { findProgram, type InstalledProgram } from './find-program.ts';
import type { Login } from './login.ts';
import { isAtLeast } from './pgpool.ts';
import { TiedProcess } from './tied-process.ts';

const startLimitMs = 30_000;
const spareClients = 50;
/** As Tidemark's `pool.statements_max`. */
const preparedStatementsMax = 200;

/** The installed pgbouncer, or null. */
export async function findPgbouncer(): Promise<InstalledProgram | null> {
  return await findProgram('pgbouncer', /PgBouncer (\d+(?:\.\d+)*)/);
}

/** Since 1.21 it keeps track of the prepared statements of clients in transaction mode. */
export function knowsPreparedStatements({ version }: InstalledProgram): boolean {
  return isAtLeast(version, 1, 21);
}

export interface PgbouncerOptions {
  readonly program: InstalledProgram;
  readonly primary: TestNode;
  /** Is made, and given to the account that it runs as. */
  readonly folder: string;
  /** Client connections at one time. */
  readonly clientsMax: number;
  /** Server connections in transaction mode. */
  readonly poolSize: number;
}

export interface RunningPgbouncer {
  readonly transactionLogin: Login;
  /** Each client has a server connection of its own for as long as it is connected. */
  readonly sessionLogin: Login;
  readonly pid: number;
  stop(): Promise<void>;
}

const sessionDatabase = 'in_session_mode';

/** Starts PgBouncer in front of the primary, with a database in each of its two modes. */
export async function startPgbouncer(options: PgbouncerOptions): Promise<RunningPgbouncer> {
  const { program, primary, folder } = options;
  const { user, password, database } = primary;
  const account = await chooseAccount(folder);
  const port = await findPort(new Set());
  await mkdir(folder, { recursive: true });
  const files = {
    'pgbouncer.ini': pgbouncerIni(options, port),
    'users.txt': `"${quoted(user)}" "${quoted(password)}"\n`,
  };
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder, name), content, { mode: 0o600 });
  }
  const { uid, gid } = account.ids;
  if (uid !== undefined && gid !== undefined) {
    for (const name of ['.', ...Object.keys(files)]) await chown(join(folder, name), uid, gid);
  }
  const child = new TiedProcess({
    name: 'PgBouncer',
    file: program.path,
    args: [join(folder, 'pgbouncer.ini')],
    logFile: `${folder}.log`,
    ids: account.ids,
  });
  const transactionLogin = { host: '127.0.0.1', port, user, password, database };
  try {
    await child.until('ready', startLimitMs, () => canLogIn(transactionLogin));
  } catch (error) {
    await child.stop();
    throw error;
  }
  return {
    transactionLogin,
    sessionLogin: { ...transactionLogin, database: sessionDatabase },
    pid: await child.pid,
    stop: () => child.stop(),
  };
}

function pgbouncerIni(options: PgbouncerOptions, port: number): string {
  const { program, primary, folder, clientsMax, poolSize } = options;
  const server = `host=${primary.host} port=${primary.port} dbname=${primary.database}`;
  const settings = {
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: '',
    auth_type: 'scram-sha-256',
    auth_file: join(folder, 'users.txt'),
    pool_mode: 'transaction',
    default_pool_size: poolSize,
    max_client_conn: clientsMax + spareClients,
    ignore_startup_parameters: 'extra_float_digits',
    // Not a line for each client that comes and goes.
    log_connections: 0,
    log_disconnections: 0,
    // Connections stay open between a target's turns, as they do in use.
    server_idle_timeout: 0,
    ...(knowsPreparedStatements(program) && { max_prepared_statements: preparedStatementsMax }),
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
  return `[databases]
${primary.database} = ${server}
${sessionDatabase} = ${server} pool_mode=session pool_size=${clientsMax}

[pgbouncer]
${lines.join('\n')}
`;
}

/** A double quote in its auth_file is written twice. */
function quoted(value: string): string {
  return value.replaceAll('"', '""');
}
