import type { TestCluster } from '../../test/support/cluster.ts';

const shownSettings = ['server_version', 'fsync', 'synchronous_commit', 'shared_buffers'] as const;

/** What the results tell of the servers. */
export async function describePostgres(cluster: TestCluster): Promise<Record<string, string>> {
  const found: Record<string, string> = {
    servers: `1 primary, ${cluster.replicas.length} streaming replicas`,
  };
  for (const name of shownSettings) {
    const [row] = await cluster.primary.query('select current_setting($1) as value', [name]);
    found[name] = row.value;
  }
  return found;
}
