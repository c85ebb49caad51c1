import type { Config } from '../config.ts';
import type { NodeFacts, Probe } from './probe-node.ts';

/** Below this the lag is the WAL page header that an idle replica never reaches. */
const caughtUpBytes = 64n;
const oldestVersionNumber = 140_000;
/** Control connections that each worker keeps to a node beside its pools. */
const controlConnections = 2;

/** What one node is, in one line. */
export function describeNode(probe: Probe, lagBytes: bigint | null): string {
  const { node, facts } = probe;
  if (facts === null) {
    return `${node.name}: not reachable`;
  }
  const parts = [
    `${node.name}: ${facts.isReplica ? 'replica' : 'primary'}`,
    `PostgreSQL ${facts.version}`,
  ];
  if (facts.timeline !== null) {
    parts.push(`timeline ${facts.timeline}`);
  }
  if (facts.replica !== null) {
    if (facts.replica.isStreaming === true) {
      parts.push(
        `streaming${facts.replica.upstream === null ? '' : ` from ${facts.replica.upstream}`}`,
      );
    }
    parts.push(describeLag(lagBytes));
  }
  return parts.join(', ');
}

function describeLag(lagBytes: bigint | null): string {
  if (lagBytes === null) {
    return 'lag unknown';
  }
  return lagBytes < caughtUpBytes ? 'caught up' : `${lagBytes} bytes of WAL behind the primary`;
}

/** What one node cannot do that Tidemark can do without. */
export function nodeNotes({ node, facts }: Probe): string[] {
  if (facts?.replica == null || facts.maySeeReceiver) {
    return [];
  }
  return [
    `user ${node.user} does not see the WAL receiver, so that its timeline and its state are known less exactly: GRANT pg_monitor TO "${node.user.replaceAll('"', '""')}"`,
  ];
}

/** What is wrong with one node by itself. */
export function nodeProblems(probe: Probe, config: Config): string[] {
  const { facts } = probe;
  if (facts === null) {
    return [probe.problem];
  }
  const problems = facts.missingPrivileges.map(
    (privilege) => `user ${probe.node.user} may not call ${privilege}`,
  );
  if (facts.versionNumber < oldestVersionNumber) {
    problems.push(`PostgreSQL ${facts.version} is not supported: upgrade to 14 or newer`);
  }
  problems.push(...replicaProblems(facts, config), ...connectionProblems(facts, config));
  return problems;
}

function replicaProblems({ replica }: NodeFacts, config: Config): string[] {
  if (replica === null) {
    return [];
  }
  const problems: string[] = [];
  if (replica.isStreaming === false) {
    problems.push(
      'it does not stream from any server (no WAL receiver): check its primary_conninfo and its log',
    );
  }
  if (replica.isReplayPaused) {
    problems.push('replay is paused, so that its data grows old: SELECT pg_wal_replay_resume()');
  }
  const { consistency, maxStalenessMs } = config.freshness;
  if (consistency !== 'eventual' && replica.applyDelayMs >= maxStalenessMs) {
    problems.push(
      `recovery_min_apply_delay is ${replica.applyDelayMs} ms and freshness.max_staleness_ms ${maxStalenessMs}: it will never be fresh enough for a read`,
    );
  }
  return problems;
}

function connectionProblems(facts: NodeFacts, config: Config): string[] {
  const free =
    facts.maxConnections - facts.reservedConnections - controlConnections * config.workers;
  const users = Math.max(1, config.users.length);
  const wanted = config.pool.size * users;
  if (wanted <= free) {
    return [];
  }
  const fitting = Math.max(1, Math.floor(free / users));
  return [
    `max_connections is ${facts.maxConnections} (${facts.reservedConnections} of them reserved) and a pool.size of ${config.pool.size} for ${users === 1 ? 'one user' : `each of ${users} users`} takes ${wanted}: lower pool.size to ${fitting} or raise max_connections to ${wanted + facts.maxConnections - free}`,
  ];
}

/**
 * What is wrong with the nodes together.
 * @param claimedPrimary the name of the node that the command line calls the primary
 */
export function clusterProblems(probes: readonly Probe[], claimedPrimary: string | null): string[] {
  const reached = probes.filter((probe) => probe.facts !== null);
  const primaries = reached.filter(({ facts }) => !facts.isReplica);
  const problems: string[] = [];
  if (primaries.length > 1) {
    problems.push(
      `two primaries (${primaries.map(({ node }) => node.name).join(', ')}): Tidemark uses the one on the higher timeline and fences the other; make that one a replica again`,
    );
  }
  if (primaries.length === 0 && reached.length > 0) {
    problems.push(
      'no primary among the nodes that can be reached: writes would wait and then fail',
    );
  }
  const claimed = reached.find(({ node }) => node.name === claimedPrimary);
  if (claimed?.facts.isReplica === true) {
    problems.push(
      `${claimed.node.name} was given as --primary but is a replica${primaries.length === 1 ? `; the primary is ${primaries[0]!.node.name}` : ''}. Tidemark goes by what it measures`,
    );
  }
  const first = reached.find(({ facts }) => facts.systemIdentifier !== null);
  for (const { node, facts } of reached) {
    const known = facts.systemIdentifier;
    if (first !== undefined && known !== null && known !== first.facts.systemIdentifier) {
      problems.push(
        `${node.name} belongs to another cluster than ${first.node.name} (system identifiers ${known} and ${first.facts.systemIdentifier}): list only one primary and its replicas`,
      );
    }
  }
  const primary = primaries.length === 1 ? primaries[0]! : null;
  for (const { node, facts } of reached) {
    if (
      primary !== null &&
      facts.isReplica &&
      facts.timeline !== null &&
      facts.timeline !== primary.facts.timeline
    ) {
      problems.push(
        `${node.name} follows timeline ${facts.timeline}, the primary ${primary.node.name} is on ${primary.facts.timeline}: it has not followed the last promotion`,
      );
    }
  }
  return problems;
}
