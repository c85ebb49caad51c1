import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { NodeRole } from '../lag/node-state.ts';
import type { PoolEntry } from '../pool/cluster.ts';
import type { ReplicaReason, RouteReason } from '../router/route.ts';
import type { ClientSession } from '../session/client-session.ts';
import type { AdminSources } from './admin-sources.ts';

type Labels<L extends string> = Record<L, string>;
type Report<L extends string> = (labels: Labels<L>, value: number) => void;

interface Definition<L extends string> {
  readonly name: `tidemark_${string}`;
  readonly help: string;
  readonly labels: readonly L[];
  /** Reports every series there is at the moment of the scrape. */
  readonly read: (report: Report<L>) => void;
}

const nodeRoles: Record<NodeRole, true> = {
  primary: true,
  replica: true,
  down: true,
  fenced: true,
};
const replicaReasons: Record<ReplicaReason, true> = {
  read: true,
  'read-waited': true,
  'read-only-transaction': true,
  session: true,
  retry: true,
};

/**
 * The proxy's own metrics. Their owners count in plain numbers; here they are read when somebody
 * scrapes, so that nothing is added to the path of a statement.
 */
export function createMetrics(sources: AdminSources): Registry {
  const registry = new Registry();
  addRequestMetrics(registry, sources);
  addNodeStates(registry, sources);
  addNodePositions(registry, sources);
  addPoolMetrics(registry, sources);
  addClientMetrics(registry, sources);
  return registry;
}

let processRegistry: Registry | null = null;

/**
 * Memory, CPU, event loop and garbage collection under the names that every Node.js dashboard
 * knows. One for the process, because the observers behind it cannot be taken away again.
 */
export function processMetrics(): Registry {
  if (processRegistry === null) {
    processRegistry = new Registry();
    collectDefaultMetrics({ register: processRegistry });
  }
  return processRegistry;
}

function addGauge<L extends string>(registry: Registry, definition: Definition<L>): void {
  const { name, help, labels, read } = definition;
  new Gauge<L>({
    name,
    help,
    labelNames: [...labels],
    registers: [registry],
    collect() {
      this.reset();
      read((values, value) => this.set(values, value));
    },
  });
}

function addCounter<L extends string>(registry: Registry, definition: Definition<L>): void {
  const { name, help, labels, read } = definition;
  new Counter<L>({
    name,
    help,
    labelNames: [...labels],
    registers: [registry],
    collect() {
      this.reset();
      read((values, value) => this.inc(values, value));
    },
  });
}

function addRequestMetrics(registry: Registry, { routes, cluster }: AdminSources): void {
  addCounter(registry, {
    name: 'tidemark_requests_total',
    help: 'Requests by node, the role they were routed to, and why.',
    labels: ['node', 'role', 'reason'],
    read(report) {
      for (const { node, reason, requests } of routes.entries()) {
        report({ node: cluster.nodes[node]!.name, role: routedTo(reason), reason }, requests);
      }
    },
  });
  addCounter(registry, {
    name: 'tidemark_retries_total',
    help: 'Requests run again on another server before the client saw anything.',
    labels: [],
    read: (report) => report({}, routes.retries),
  });
  addCounter(registry, {
    name: 'tidemark_waits_total',
    help: 'Requests that waited for a fresh replica or for a primary.',
    labels: [],
    read: (report) => report({}, routes.waits),
  });
  addCounter(registry, {
    name: 'tidemark_wait_seconds_total',
    help: 'Time that requests waited for a fresh replica or for a primary.',
    labels: [],
    read: (report) => report({}, routes.waitedMsTotal / 1000),
  });
  addCounter(registry, {
    name: 'tidemark_errors_total',
    help: "Requests and logins answered with an error of the proxy's own, by SQLSTATE.",
    labels: ['sqlstate'],
    read(report) {
      for (const [sqlstate, count] of routes.errors) report({ sqlstate }, count);
    },
  });
}

/** A node's role now would move its series to another label at a failover; the reason stays. */
function routedTo(reason: RouteReason): 'primary' | 'replica' {
  return Object.hasOwn(replicaReasons, reason) ? 'replica' : 'primary';
}

function addNodeStates(registry: Registry, { monitor, cluster }: AdminSources): void {
  const nodeName = (node: number) => cluster.nodes[node]!.name;
  addGauge(registry, {
    name: 'tidemark_node_up',
    help: '1 while the node answers the monitor, also while it is fenced.',
    labels: ['node'],
    read(report) {
      for (const { node, role } of monitor.nodes) {
        report({ node: nodeName(node) }, role === 'down' ? 0 : 1);
      }
    },
  });
  addGauge(registry, {
    name: 'tidemark_node_role',
    help: '1 for the role that the node has, 0 for the others.',
    labels: ['node', 'role'],
    read(report) {
      for (const state of monitor.nodes) {
        for (const role of Object.keys(nodeRoles)) {
          report({ node: nodeName(state.node), role }, role === state.role ? 1 : 0);
        }
      }
    },
  });
  addGauge(registry, {
    name: 'tidemark_node_generation',
    help: "Connections of the monitor to the node and the node's restarts.",
    labels: ['node'],
    read(report) {
      for (const { node, generation } of monitor.nodes)
        report({ node: nodeName(node) }, generation);
    },
  });
  addGauge(registry, {
    name: 'tidemark_node_timeline',
    help: 'Timeline of the node; absent while unknown.',
    labels: ['node'],
    read(report) {
      for (const { node, role, timeline } of monitor.nodes) {
        if (role !== 'down' && timeline !== null) report({ node: nodeName(node) }, timeline);
      }
    },
  });
  addGauge(registry, {
    name: 'tidemark_primary_epoch',
    help: 'Counts primaries and their restarts; 0 before the first.',
    labels: [],
    read: (report) => report({}, monitor.epoch),
  });
}

function addNodePositions(registry: Registry, { monitor, cluster }: AdminSources): void {
  const nodeName = (node: number) => cluster.nodes[node]!.name;
  addGauge(registry, {
    name: 'tidemark_node_staleness_seconds',
    help: 'Proven upper bound: 0 for the primary, +Inf while nothing is proven.',
    labels: ['node'],
    read(report) {
      for (const { node } of monitor.nodes) {
        report({ node: nodeName(node) }, monitor.stalenessMs(node) / 1000);
      }
    },
  });
  addGauge(registry, {
    name: 'tidemark_node_replay_lsn_bytes',
    help: 'How far a replica has replayed, as a number; exact up to 2^53.',
    labels: ['node'],
    read(report) {
      for (const { node, role, replayLsn } of monitor.nodes) {
        if (role === 'replica' && replayLsn !== null) {
          report({ node: nodeName(node) }, Number(replayLsn));
        }
      }
    },
  });
  addGauge(registry, {
    name: 'tidemark_node_insert_lsn_bytes',
    help: "The primary's insert position, as a number; exact up to 2^53.",
    labels: ['node'],
    read(report) {
      for (const { node, role, insertLsn } of monitor.nodes) {
        if (role === 'primary' && insertLsn !== null) {
          report({ node: nodeName(node) }, Number(insertLsn));
        }
      }
    },
  });
}

function addPoolMetrics(registry: Registry, { cluster }: AdminSources): void {
  const labelsOf = ({ node, database, user }: PoolEntry) => ({
    node: cluster.nodes[node]!.name,
    database,
    user,
  });
  addGauge(registry, {
    name: 'tidemark_server_connections',
    help: 'Server connections of a pool by state.',
    labels: ['node', 'database', 'user', 'state'],
    read(report) {
      for (const entry of cluster.entries()) {
        const labels = labelsOf(entry);
        const { active, idle, connecting } = entry.stat;
        report({ ...labels, state: 'active' }, active);
        report({ ...labels, state: 'idle' }, idle);
        report({ ...labels, state: 'connecting' }, connecting);
      }
    },
  });
  addGauge(registry, {
    name: 'tidemark_pool_waiting',
    help: 'Requests that wait for a server connection of a pool.',
    labels: ['node', 'database', 'user'],
    read(report) {
      for (const entry of cluster.entries()) report(labelsOf(entry), entry.stat.waiting);
    },
  });
  addGauge(registry, {
    name: 'tidemark_pool_wait_seconds_max',
    help: 'For how long the first of them has waited; 0 while nobody waits.',
    labels: ['node', 'database', 'user'],
    read(report) {
      for (const entry of cluster.entries()) report(labelsOf(entry), entry.stat.waitMsMax / 1000);
    },
  });
}

function addClientMetrics(registry: Registry, { gate, sessions, version }: AdminSources): void {
  addGauge(registry, {
    name: 'tidemark_clients',
    help: 'Clients that are logged in, by state.',
    labels: ['state'],
    read(report) {
      // Every state has a series, also while nobody is in it.
      const clients: Record<ClientSession['phase'], number> = {
        idle: 0,
        waiting: 0,
        active: 0,
        copying: 0,
        closed: 0,
      };
      for (const { phase } of sessions()) clients[phase] += 1;
      for (const [state, count] of Object.entries(clients)) {
        if (state !== 'closed') report({ state }, count);
      }
    },
  });
  addGauge(registry, {
    name: 'tidemark_gate_waiters',
    help: 'Requests that wait for a fresh replica or for a primary.',
    labels: [],
    read: (report) => report({}, gate.size),
  });
  addGauge(registry, {
    name: 'tidemark_build_info',
    help: 'Always 1; the version is its label.',
    labels: ['version'],
    read: (report) => report({ version }, 1),
  });
}
