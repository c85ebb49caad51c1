import type { AdminSources } from '../../../src/admin/admin-sources.ts';
import type { NodeConfig } from '../../../src/config.ts';
import type { PoolEntry } from '../../../src/pool/cluster.ts';
import type { PinReason } from '../../../src/router/statement.ts';
import type { ClientSession } from '../../../src/session/client-session.ts';
import { DurationHistogram } from '../../../src/session/duration-histogram.ts';
import { RouteCounts } from '../../../src/session/route-counts.ts';
import type { Harness } from '../lag/monitor-harness.ts';
import { MAX_STALENESS_MS } from '../lag/monitor-harness.ts';

export const PASSWORD = 'very-secret-password';

/** Nodes named a, b, c ... */
export function nodeConfigs(count: number): NodeConfig[] {
  return Array.from({ length: count }, (_, node) => ({
    name: 'abcdefgh'[node]!,
    host: '127.0.0.1',
    port: 1,
    user: 'monitor',
    password: PASSWORD,
    database: 'app',
  }));
}

export interface AdminHarness {
  readonly sources: AdminSources;
  readonly routes: RouteCounts;
  readonly staleness: DurationHistogram[];
  readonly fallbackLimit: { inUse: number; refused: number };
  readonly pools: PoolEntry[];
  readonly phases: ClientSession['phase'][];
  readonly pinned: PinReason[];
}

/** What the admin side reads from, over a running monitor; pools and clients as the test says. */
export function adminHarness({ monitor, gate }: Pick<Harness, 'monitor' | 'gate'>): AdminHarness {
  const routes = new RouteCounts(monitor.nodes.length);
  const staleness = monitor.nodes.map(() => new DurationHistogram());
  const fallbackLimit = { inUse: 0, refused: 0 };
  const pools: PoolEntry[] = [];
  const phases: ClientSession['phase'][] = [];
  const pinned: PinReason[] = [];
  const sources: AdminSources = {
    monitor,
    gate,
    cluster: { nodes: nodeConfigs(monitor.nodes.length), entries: () => pools },
    routes,
    staleness,
    fallbackLimit,
    sessions: () => phases.map((phase) => ({ phase, pinReasons: pinned })),
    maxStalenessMs: MAX_STALENESS_MS,
    version: '1.2.3',
  };
  return { sources, routes, staleness, fallbackLimit, pools, phases, pinned };
}
