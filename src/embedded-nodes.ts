import type { EmbeddedConfig, NodeConfig, UserConfig } from './config.ts';
import { startEmbeddedCluster } from './embedded/start-embedded-cluster.ts';

export interface EmbeddedNodes {
  readonly nodes: readonly NodeConfig[];
  /** The cluster's superuser, who may log in through the proxy. */
  readonly user: UserConfig;
  stop(): Promise<void>;
}

/** Starts the embedded cluster and says how to reach it in the configuration's terms. */
export async function startEmbeddedNodes(
  { dataDir, replicas }: EmbeddedConfig,
  progress: (line: string) => void,
): Promise<EmbeddedNodes> {
  const cluster = await startEmbeddedCluster({ dataDir, replicas, progress });
  const { user, password, database } = cluster;
  return {
    nodes: cluster.nodes.map(({ name, host, port }) => ({
      name,
      host,
      port,
      user,
      password,
      database,
    })),
    user: { name: user, secret: password, serverPassword: password },
    stop: () => cluster.stop(),
  };
}
