import type { NodeRole, NodeState } from '../lag/node-state.ts';
import type { AdminSources } from './admin-sources.ts';
import { type Labels, type Merge, type MetricSet, single } from './metric-set.ts';

const nodeRoles: Record<NodeRole, true> = {
  primary: true,
  replica: true,
  down: true,
  fenced: true,
};

/**
 * What the monitor knows of the nodes. Where several processes have looked, the worst counts: what
 * one of them cannot use is not well. A node's role is that of one view, so that it has one.
 */
export function addNodeMetrics(metrics: MetricSet, sources: AdminSources): void {
  const { monitor } = sources;
  const labelsOf = ({ node }: NodeState): Labels => ({ node: sources.cluster.nodes[node]!.name });
  /** A gauge with a series for each node that has a value, which is not null. */
  const perNode = (
    name: `tidemark_node_${string}`,
    help: string,
    read: (state: NodeState) => number | bigint | null,
    merge: Merge,
  ) =>
    metrics.gauge(
      name,
      help,
      function* () {
        for (const state of monitor.nodes) {
          const value = read(state);
          if (value !== null) yield [labelsOf(state), Number(value)];
        }
      },
      merge,
    );
  perNode(
    'tidemark_node_up',
    '1 while the node answers the monitor, also while it is fenced.',
    ({ role }) => (role === 'down' ? 0 : 1),
    'min',
  );
  metrics.gauge(
    'tidemark_node_role',
    '1 for the role that the node has, 0 for the others.',
    function* () {
      for (const state of monitor.nodes) {
        for (const role of Object.keys(nodeRoles)) {
          yield [{ ...labelsOf(state), role }, role === state.role ? 1 : 0];
        }
      }
    },
    'first',
  );
  perNode(
    'tidemark_node_generation',
    "Connections of the monitor to the node and the node's restarts.",
    ({ generation }) => generation,
    'max',
  );
  perNode(
    'tidemark_node_timeline',
    'Timeline of the node; absent while unknown.',
    ({ role, timeline }) => (role === 'down' ? null : timeline),
    'max',
  );
  metrics.gauge(
    'tidemark_primary_epoch',
    'Counts primaries and their restarts; 0 before the first.',
    () => single(monitor.epoch),
    'max',
  );
  perNode(
    'tidemark_node_staleness_seconds',
    'Proven upper bound: 0 for the primary, +Inf while nothing is proven.',
    ({ node }) => monitor.stalenessMs(node) / 1000,
    'max',
  );
  perNode(
    'tidemark_node_replay_lsn_bytes',
    'How far a replica has replayed, as a number; exact up to 2^53.',
    ({ role, replayLsn }) => (role === 'replica' ? replayLsn : null),
    'min',
  );
  perNode(
    'tidemark_node_insert_lsn_bytes',
    "The primary's insert position, as a number; exact up to 2^53.",
    ({ role, insertLsn }) => (role === 'primary' ? insertLsn : null),
    'max',
  );
}
