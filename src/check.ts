import { existsSync } from 'node:fs';
import { clusterProblems, describeNode, nodeNotes, nodeProblems } from './check/findings.ts';
import { type Probe, probeLsn, probeNode, probeUser } from './check/probe-node.ts';
import { addressText } from './config/address.ts';
import type { Config, NodeConfig } from './config.ts';

export interface CheckReport {
  /** For people, without a newline at the end. */
  readonly text: string;
  readonly problemCount: number;
}

/** Logins tried at one time: enough to be quick, too few to fill a server. */
const loginsAtOnce = 4;

/**
 * Asks every node whether Tidemark could work with it, and says so in words. Never throws for
 * what it finds; takes at most some multiples of pool.connect_timeout_ms.
 * @param claimedPrimary the name of the node that the command line calls the primary
 */
export async function checkCluster(
  config: Config,
  claimedPrimary: string | null,
): Promise<CheckReport> {
  const lines = [describeConfig(config)];
  if (config.embedded !== null) {
    lines.push(describeEmbedded(config.embedded));
    return { text: lines.join('\n'), problemCount: 0 };
  }
  const probes = await Promise.all(config.nodes.map((node) => probeNode(node, config)));
  const lags = await measureLags(probes, config);
  const refusedLogins = await tryLogins(probes, config);
  let problemCount = 0;
  const addProblems = (problems: readonly string[], indent: string) => {
    problemCount += problems.length;
    lines.push(...problems.map((problem) => `${indent}PROBLEM: ${problem}`));
  };
  for (const probe of probes) {
    lines.push(describeNode(probe, lags.get(probe) ?? null));
    lines.push(...nodeNotes(probe).map((note) => `  note: ${note}`));
    addProblems([...nodeProblems(probe, config), ...(refusedLogins.get(probe.node) ?? [])], '  ');
  }
  addProblems(clusterProblems(probes, claimedPrimary), '');
  lines.push(
    problemCount === 0
      ? 'Everything is in order.'
      : `${problemCount} ${problemCount === 1 ? 'problem' : 'problems'} found.`,
  );
  return { text: lines.join('\n'), problemCount };
}

function describeConfig(config: Config): string {
  const http = config.http === null ? 'off' : addressText(config.http);
  return `The configuration is valid: listen ${addressText(config.listen)}, http ${http}, auth ${config.auth}, users ${config.users.length}, workers ${config.workers}.`;
}

function describeEmbedded({ replicas, dataDir }: NonNullable<Config['embedded']>): string {
  const servers = `one primary and ${replicas} ${replicas === 1 ? 'replica' : 'replicas'}`;
  const state = existsSync(dataDir)
    ? `with the data kept in ${dataDir}`
    : `with new data folders in ${dataDir}`;
  return `The cluster is embedded: a start would run ${servers} ${state}. There is nothing to connect to before.`;
}

/** The primary is asked first: a replica asked later can only look better than it is by what it replayed since. */
async function measureLags(probes: readonly Probe[], config: Config): Promise<Map<Probe, bigint>> {
  const lags = new Map<Probe, bigint>();
  const primary = probes.find(({ facts }) => facts !== null && !facts.isReplica);
  const written = primary === undefined ? null : await probeLsn(primary, config);
  if (written === null) {
    return lags;
  }
  const replicas = probes.filter(({ facts }) => facts?.isReplica === true);
  await Promise.all(
    replicas.map(async (probe) => {
      const replayed = await probeLsn(probe, config);
      if (replayed !== null) {
        lags.set(probe, written > replayed ? written - replayed : 0n);
      }
    }),
  );
  return lags;
}

/** Why users cannot log in, by node. The node's own login has been tried already. */
async function tryLogins(
  probes: readonly Probe[],
  config: Config,
): Promise<Map<NodeConfig, string[]>> {
  const refused = new Map<NodeConfig, string[]>();
  const tries = probes
    .filter(({ facts }) => facts !== null)
    .flatMap(({ node }) =>
      config.users
        .filter(
          ({ name, serverPassword }) => name !== node.user || serverPassword !== node.password,
        )
        .map((user) => ({ node, user })),
    );
  const worker = async () => {
    for (let next = tries.shift(); next !== undefined; next = tries.shift()) {
      const problem = await probeUser(next.node, next.user, config);
      if (problem !== null) {
        refused.set(next.node, [
          ...(refused.get(next.node) ?? []),
          `user ${next.user.name} cannot log in: ${problem}`,
        ]);
      }
    }
  };
  await Promise.all(Array.from({ length: loginsAtOnce }, worker));
  return refused;
}
