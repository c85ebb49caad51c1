import { addressText } from './config/address.ts';
import type { Address, Config, UserConfig } from './config.ts';
import type { Monitor } from './lag/monitor.ts';
import type { NodeState } from './lag/node-state.ts';

/** What is said of a node. */
export interface NodeStatus extends Pick<NodeState, 'role' | 'lastError'> {
  /** Proven upper bound; Infinity while nothing is proven. */
  readonly stalenessMs: number;
}

/** In the order of the configuration. */
export function nodeStatuses(monitor: Monitor): readonly NodeStatus[] {
  return monitor.nodes.map(({ node, role, lastError }) => {
    return { role, lastError, stalenessMs: monitor.stalenessMs(node) };
  });
}

/** An address to connect to, where the program listens on all of them. */
function reachable({ host, port }: Address): Address {
  if (host === '0.0.0.0') return { host: '127.0.0.1', port };
  if (host === '::') return { host: '::1', port };
  return { host, port };
}

/**
 * The URL for an application. Only the password of an embedded cluster is shown: it was made up
 * by this program, and nobody could log in without it.
 */
function databaseUrl(config: Config, listen: Address): string {
  const user: UserConfig | undefined = config.users.at(-1);
  const name = user?.name ?? config.nodes[0]?.user ?? '';
  const database = config.nodes[0]?.database ?? name;
  const secret = config.embedded === null ? '' : (user?.secret ?? '');
  const hidden = config.embedded === null && config.auth !== 'trust' ? ':PASSWORD' : '';
  const password = secret === '' ? hidden : `:${encodeURIComponent(secret)}`;
  const place = addressText(reachable(listen));
  return `postgres://${encodeURIComponent(name)}${password}@${place}/${encodeURIComponent(database)}`;
}

/** What is printed when the program serves. */
export function banner(
  config: Config,
  addresses: { readonly listenAddress: Address; readonly httpAddress: Address | null },
  statuses: readonly NodeStatus[],
): string {
  const lines = [
    'Tidemark is ready.',
    '',
    `DATABASE_URL=${databaseUrl(config, addresses.listenAddress)}`,
    '',
  ];
  for (const [index, node] of config.nodes.entries()) {
    const { role, lastError, stalenessMs } = statuses[index]!;
    const lag = Number.isFinite(stalenessMs) ? `at most ${Math.ceil(stalenessMs)} ms behind` : '';
    const note = role === 'replica' ? lag || 'not proven fresh yet' : (lastError ?? '');
    const place = addressText({ host: node.host, port: node.port });
    lines.push(`  ${node.name.padEnd(12)} ${place.padEnd(21)} ${role.padEnd(8)} ${note}`.trimEnd());
  }
  if (addresses.httpAddress !== null) {
    lines.push('', `Metrics: http://${addressText(reachable(addresses.httpAddress))}/metrics`);
  }
  lines.push('Where a statement went and why: SHOW tidemark.route');
  return lines.join('\n');
}
