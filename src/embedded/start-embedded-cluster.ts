import type { NodeRole } from './cluster-server.ts';
import { OpenCluster } from './open-cluster.ts';

export interface EmbeddedNode {
  /** primary, replica1, replica2...: the name of its folder, which stays when the role changes. */
  readonly name: string;
  readonly host: '127.0.0.1';
  readonly port: number;
  /** As found at the start: a promotion that was made by hand is kept. */
  readonly role: NodeRole;
  readonly dataDir: string;
  readonly logFile: string;
  readonly pid: number;
}

export interface EmbeddedCluster {
  readonly nodes: readonly EmbeddedNode[];
  /** A superuser. */
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** Shuts all servers down, those that take too long by force. No process is left. */
  stop(): Promise<void>;
}

export interface EmbeddedClusterOptions {
  /** Kept between starts; made when it does not exist. */
  readonly dataDir: string;
  /** Streaming replicas beside the primary, 0 to 8. */
  readonly replicas: number;
  /** Told what goes on, in plain words. */
  readonly progress: (line: string) => void;
  /** Ends the start between two steps; what runs by then is stopped, and the start rejects. */
  readonly signal?: AbortSignal;
}

/**
 * Starts a primary and its streaming replicas, with the data of the start before if there was
 * one. They listen on 127.0.0.1 only.
 *
 * Servers that a killed program left running on the same data are stopped first. When the program
 * ends without stop(), the servers are told to shut down and do so by themselves.
 *
 * @throws EmbeddedError, with nothing left running, when another living program uses the data
 * folder, or when the servers cannot be started; its message is for the user
 */
export async function startEmbeddedCluster(
  options: EmbeddedClusterOptions,
): Promise<EmbeddedCluster> {
  const cluster = await OpenCluster.open(options);
  return {
    nodes: cluster.servers.map((server) => ({
      name: server.name,
      host: '127.0.0.1',
      port: server.port,
      role: server.role,
      dataDir: server.spec.dataDir,
      logFile: server.spec.logFile,
      pid: server.pid,
    })),
    user: cluster.user,
    password: cluster.password,
    database: cluster.database,
    stop: () => cluster.stop(),
  };
}
