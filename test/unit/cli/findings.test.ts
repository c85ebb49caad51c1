import { describe, expect, it } from 'vitest';
import { explainLoginError } from '../../../src/check/explain-error.ts';
import {
  clusterProblems,
  describeNode,
  nodeNotes,
  nodeProblems,
} from '../../../src/check/findings.ts';
import type { NodeFacts, Probe, ReplicaFacts } from '../../../src/check/probe-node.ts';
import { parseConfig } from '../../../src/config/load.ts';
import type { NodeConfig } from '../../../src/config.ts';

const config = parseConfig('nodes: [{ url: "postgres://app:x@h" }]', 'config.yaml');

function nodeNamed(name: string): NodeConfig {
  return { name, host: name, port: 5432, user: 'app', password: 'geheim', database: 'db' };
}

const primaryFacts: NodeFacts = {
  versionNumber: 180_004,
  version: '18.4',
  isReplica: false,
  systemIdentifier: '7001',
  maxConnections: 100,
  reservedConnections: 3,
  missingPrivileges: [],
  maySeeReceiver: true,
  timeline: 1,
  replica: null,
};
const streaming: ReplicaFacts = {
  isStreaming: true,
  upstream: 'one:5432',
  isReplayPaused: false,
  applyDelayMs: 0,
};

function primary(name: string, over: Partial<NodeFacts> = {}): Probe {
  return { node: nodeNamed(name), facts: { ...primaryFacts, ...over }, problem: null };
}

function replica(
  name: string,
  over: Partial<NodeFacts> = {},
  ofReplica: Partial<ReplicaFacts> = {},
): Probe {
  return primary(name, { isReplica: true, replica: { ...streaming, ...ofReplica }, ...over });
}

const down: Probe = { node: nodeNamed('down'), facts: null, problem: 'nothing listens' };

describe('a node in one line', () => {
  it.each([
    [primary('one'), null, 'one: primary, PostgreSQL 18.4, timeline 1'],
    [
      replica('two'),
      0n,
      'two: replica, PostgreSQL 18.4, timeline 1, streaming from one:5432, caught up',
    ],
    [
      replica('two', {}, { upstream: null }),
      63n,
      'two: replica, PostgreSQL 18.4, timeline 1, streaming, caught up',
    ],
    [
      replica('two', { timeline: null }, { isStreaming: false }),
      64n,
      'two: replica, PostgreSQL 18.4, 64 bytes of WAL behind the primary',
    ],
    [
      replica('two', {}, { isStreaming: null }),
      null,
      'two: replica, PostgreSQL 18.4, timeline 1, lag unknown',
    ],
    [down, null, 'down: not reachable'],
  ])('%#', (probe, lagBytes, line) => {
    expect(describeNode(probe, lagBytes)).toBe(line);
  });
});

describe('the problems of one node', () => {
  it.each<[string, Probe, RegExp | null]>([
    ['none', primary('one'), null],
    ['none of a replica', replica('two'), null],
    ['down', down, /^nothing listens$/],
    [
      'an old version',
      primary('one', { versionNumber: 130_020, version: '13.20' }),
      /^PostgreSQL 13.20 is not supported: upgrade to 14 or newer$/,
    ],
    ['the oldest version', primary('one', { versionNumber: 140_000 }), null],
    [
      'a missing privilege',
      primary('one', { missingPrivileges: ['f(): GRANT'] }),
      /^user app may not call f\(\): GRANT$/,
    ],
    ['no stream', replica('two', {}, { isStreaming: false }), /^it does not stream/],
    ['a stream that cannot be seen', replica('two', {}, { isStreaming: null }), null],
    ['paused replay', replica('two', {}, { isReplayPaused: true }), /^replay is paused/],
    [
      'a delay as long as the budget',
      replica('two', {}, { applyDelayMs: 5_000 }),
      /^recovery_min_apply_delay is 5000 ms and freshness.max_staleness_ms 5000/,
    ],
    ['a delay within the budget', replica('two', {}, { applyDelayMs: 4_999 }), null],
    ['just enough connections', primary('one', { maxConnections: 25 }), null],
    [
      'one connection too few',
      primary('one', { maxConnections: 24 }),
      /a pool.size of 20 for one user takes 20: lower pool.size to 19 or raise max_connections to 25$/,
    ],
  ])('%s', (_, probe, problem) => {
    expect(nodeProblems(probe, config)).toEqual(
      problem === null ? [] : [expect.stringMatching(problem)],
    );
  });

  it('counts the pools of all users', () => {
    const users = parseConfig(
      'nodes: [{ url: "postgres://a:x@h" }]\nusers: [{ name: b, password: x }, { name: c, password: x }]\npool: { size: 40 }',
      'config.yaml',
    );
    expect(nodeProblems(primary('one'), users)).toEqual([
      'max_connections is 100 (3 of them reserved) and a pool.size of 40 for each of 3 users takes 120: lower pool.size to 31 or raise max_connections to 125',
    ]);
  });

  it('leaves the delay alone where reads may be as old as they like', () => {
    const eventual = parseConfig(
      'nodes: [{ url: "postgres://a:x@h" }]\nfreshness: { consistency: eventual }',
      'config.yaml',
    );
    expect(nodeProblems(replica('two', {}, { applyDelayMs: 60_000 }), eventual)).toEqual([]);
  });

  it('notes a WAL receiver that cannot be seen, on a replica only', () => {
    expect(nodeNotes(replica('two', { maySeeReceiver: false }))).toEqual([
      expect.stringContaining('GRANT pg_monitor TO "app"'),
    ]);
    expect(nodeNotes(primary('one', { maySeeReceiver: false }))).toEqual([]);
    expect(nodeNotes(down)).toEqual([]);
  });
});

describe('the problems of the nodes together', () => {
  it.each<[string, Probe[], RegExp | null]>([
    ['none', [primary('one'), replica('two'), down], null],
    ['two primaries', [primary('one'), primary('two')], /^two primaries \(one, two\)/],
    ['no primary', [replica('one'), down], /^no primary among the nodes/],
    ['nobody at all', [down], null],
    [
      'another cluster',
      [primary('one'), replica('two', { systemIdentifier: '7002' })],
      /^two belongs to another cluster than one \(system identifiers 7002 and 7001\)/,
    ],
    [
      'an identifier that cannot be read',
      [primary('one'), replica('two', { systemIdentifier: null })],
      null,
    ],
    [
      'another timeline',
      [primary('one', { timeline: 2 }), replica('two')],
      /^two follows timeline 1, the primary one is on 2/,
    ],
    ['a timeline that cannot be read', [primary('one'), replica('two', { timeline: null })], null],
  ])('%s', (_, probes, problem) => {
    expect(clusterProblems(probes, 'down')).toEqual(
      problem === null ? [] : [expect.stringMatching(problem)],
    );
  });

  it('names a --primary that is a replica', () => {
    expect(clusterProblems([replica('one'), primary('two')], 'one')).toEqual([
      'one was given as --primary but is a replica; the primary is two. Tidemark goes by what it measures',
    ]);
    expect(clusterProblems([primary('one'), replica('two')], 'one')).toEqual([]);
  });
});

describe('a failed login in words', () => {
  it.each([
    [
      { code: 'ECONNREFUSED' },
      'nothing listens on two:5432: is the server running, and on that port?',
    ],
    [{ code: 'ENOTFOUND' }, 'the host name two cannot be resolved'],
    [{ code: 'EHOSTUNREACH' }, 'cannot be reached over the network'],
    [{ code: 'ECONNRESET' }, 'is it a PostgreSQL server?'],
    [{ code: '28P01' }, 'the password for user app is wrong'],
    [
      { code: '28000', message: 'no pg_hba.conf entry' },
      'does not let user app in: no pg_hba.conf entry',
    ],
    [{ code: '3D000' }, 'the database db does not exist'],
    [{ code: '42501' }, 'GRANT CONNECT'],
    [{ code: '53300' }, 'raise its max_connections'],
    [{ code: '57P03', detail: 'Hot standby mode is disabled.' }, 'hot_standby = off'],
    [
      { code: '57P03', message: 'the database system is starting up' },
      'yet: the database system is starting up',
    ],
    [new Error('timeout expired'), 'no answer from two:5432 in time'],
    [
      new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a non-empty string'),
      'the server asks for the password of user app, and none is configured',
    ],
    [new Error('something else'), 'something else'],
  ])('%#', (error, text) => {
    expect(explainLoginError(error, nodeNamed('two'), 'app')).toContain(text);
  });
});
