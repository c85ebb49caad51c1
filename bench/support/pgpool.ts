import { chown, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chooseAccount } from '../../src/embedded/account.ts';
import { findPort } from '../../src/embedded/ports.ts';
import type { TestCluster } from '../../test/support/cluster.ts';
import { canLogIn } from './can-log-in.ts';
import { findProgram, type InstalledProgram } from './find-program.ts';
import type { Login } from './login.ts';
import { TiedProcess } from './tied-process.ts';

const startLimitMs = 30_000;
export type PgpoolProgram = InstalledProgram;

/** The installed pgpool, or null. */
export async function findPgpool(): Promise<PgpoolProgram | null> {
  return await findProgram('pgpool', /version (\d+(?:\.\d+)*)/);
}

export type PgpoolSettings = Readonly<Record<string, string>>;

/** True when the version is at least `major.minor`. */
export function isAtLeast(version: string, major: number, minor: number): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split('.').map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

/** pgpool.conf: `name = 'value'` each. */
export function pgpoolConf(settings: PgpoolSettings): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`)
    .join('');
}

export interface PgpoolOptions {
  readonly program: PgpoolProgram;
  readonly cluster: TestCluster;
  /** Is made, and given to the account that it runs as. */
  readonly folder: string;
  /** Client connections at one time. */
  readonly sessions: number;
  readonly settings: PgpoolSettings;
}

export interface RunningPgpool {
  readonly login: Login;
  /** Of its parent process. */
  readonly pid: number;
  stop(): Promise<void>;
}

/** Starts Pgpool-II in streaming replication mode in front of the cluster. */
export async function startPgpool(options: PgpoolOptions): Promise<RunningPgpool> {
  const { program, cluster, folder } = options;
  const { user, password, database } = cluster;
  const account = await chooseAccount(folder);
  const port = await findPort(new Set());
  const pcpPort = await findPort(new Set([port]));
  await mkdir(folder, { recursive: true });
  const settings = { ...baseSettings(options, port, pcpPort), ...options.settings };
  const files = {
    'pgpool.conf': pgpoolConf(settings),
    'pcp.conf': '',
    // Clients are let in; it logs in to the servers with the password of pool_passwd.
    'pool_hba.conf': 'host all all 127.0.0.1/32 trust\n',
    pool_passwd: `${user}:TEXT${password}\n`,
  };
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder, name), content, { mode: 0o600 });
  }
  const { uid, gid } = account.ids;
  if (uid !== undefined && gid !== undefined) {
    for (const name of ['.', ...Object.keys(files)]) await chown(join(folder, name), uid, gid);
  }
  const at = (name: string) => join(folder, name);
  const child = new TiedProcess({
    name: 'Pgpool-II',
    file: program.path,
    args: ['-n', '-f', at('pgpool.conf'), '-F', at('pcp.conf'), '-a', at('pool_hba.conf')],
    logFile: `${folder}.log`,
    ids: account.ids,
  });
  const login = { host: '127.0.0.1', port, user, password, database };
  try {
    await child.until('ready', startLimitMs, () => canLogIn(login));
  } catch (error) {
    await child.stop();
    throw error;
  }
  return { login, pid: await child.pid, stop: () => child.stop() };
}

function baseSettings(options: PgpoolOptions, port: number, pcpPort: number): PgpoolSettings {
  const { program, cluster, folder, sessions } = options;
  const socketFolder = isAtLeast(program.version, 4, 4)
    ? { unix_socket_directories: folder, pcp_socket_dir: folder }
    : { socket_dir: folder, pcp_socket_dir: folder };
  const backends = cluster.nodes.flatMap((node, index) => [
    [`backend_hostname${index}`, node.host],
    [`backend_port${index}`, String(node.port)],
    // As with the other splitters, no read goes to the primary without a reason.
    [`backend_weight${index}`, index === 0 ? '0' : '1'],
    [`backend_data_directory${index}`, node.dataDir],
    [`backend_application_name${index}`, node.name],
    [`backend_flag${index}`, 'DISALLOW_TO_FAILOVER'],
  ]);
  return {
    backend_clustering_mode: 'streaming_replication',
    listen_addresses: '127.0.0.1',
    port: String(port),
    pcp_listen_addresses: '127.0.0.1',
    pcp_port: String(pcpPort),
    ...socketFolder,
    pid_file_name: join(folder, 'pgpool.pid'),
    logdir: folder,
    num_init_children: String(sessions + 4),
    enable_pool_hba: 'on',
    pool_passwd: join(folder, 'pool_passwd'),
    load_balance_mode: 'on',
    sr_check_user: cluster.user,
    sr_check_password: `TEXT${cluster.password}`,
    sr_check_database: cluster.database,
    ...Object.fromEntries(backends),
  };
}
