import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { PoolConfig } from '../../../src/config.ts';
import { ProxyError } from '../../../src/errors.ts';
import type { NodeRole } from '../../../src/lag/node-state.ts';
import { noRequirement } from '../../../src/lag/read-requirement.ts';
import { ServerConnectError, ServerLoginError } from '../../../src/pool/server-handshake.ts';
import type { Route } from '../../../src/router/route.ts';
import { FallbackLimit } from '../../../src/session/fallback-limit.ts';
import {
  type Placed,
  Placement,
  type PlacementFailure,
  type WaitPolicy,
} from '../../../src/session/placement.ts';
import { FakeNodes, FakeServers, settle } from './fake-cluster.ts';

const read: Route = { target: 'replica', reason: 'read', fresh: true };
const anywhere: Route = { target: 'replica', reason: 'session', fresh: false };
const write: Route = { target: 'primary', reason: 'write' };
const requirement = { ...noRequirement, freshAsOfMs: 5 };
const waitTimeoutMs = 100;
const policy: WaitPolicy = { waitTimeoutMs, onTimeout: 'primary' };
const primaryWaitTimeoutMs = 3_000;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function setUp(
  roles: readonly NodeRole[],
  config: Partial<PoolConfig> = {},
  fallbacks = new FallbackLimit(0),
  isLogin = false,
) {
  const nodes = new FakeNodes(roles);
  const servers = new FakeServers(roles.length, config);
  const placed: Placed[] = [];
  const failed: PlacementFailure[] = [];
  const gaveUp: number[] = [];
  const placement = new Placement({
    cluster: servers.cluster,
    monitor: nodes.monitor,
    gate: nodes.gate,
    login: { user: 'u', password: '', database: 'd' },
    fallbacks,
    primaryWaitTimeoutMs,
    isLogin,
    placed: (one) => placed.push(one),
    failed: (failure) => failed.push(failure),
    gaveUp: (waitedMs) => gaveUp.push(waitedMs),
  });
  const outcome = () => placed.map(({ node, reason }) => `${node} ${reason}`);
  const codes = () => failed.map((failure) => (failure as ProxyError).code ?? failure.sqlstate);
  return { nodes, servers, placed, failed, placement, outcome, codes, gaveUp };
}

const threeNodes: readonly NodeRole[] = ['primary', 'replica', 'replica'];

describe('a read', () => {
  it('goes to the least busy of the replicas that are fresh enough', async () => {
    const { nodes, servers, placement, outcome } = setUp(threeNodes, { size: 5 });
    nodes.eligible.delete(2);
    const node1 = Array(4).fill('1 read');
    for (const _ of node1) placement.place(read, requirement, policy);
    while (servers.pending[1]!.length > 0) await servers.accept(1);
    expect(outcome()).toEqual(node1);
    nodes.eligible.add(2);
    const node2 = Array(4).fill('2 read');
    for (const _ of node2) placement.place(read, requirement, policy);
    while (servers.pending[2]!.length > 0) await servers.accept(2);
    expect(outcome()).toEqual([...node1, ...node2]);
  });

  it('is shared by replicas that are equally busy', async () => {
    const { servers, placement, placed } = setUp(threeNodes);
    const counts = [0, 0, 0];
    for (let i = 0; i < 200; i++) {
      placement.place(read, requirement, policy);
      for (const node of [1, 2])
        while (servers.pending[node]!.length > 0) await servers.accept(node);
      const { node, pool, server } = placed.at(-1)!;
      counts[node]! += 1;
      pool.release(server);
    }
    expect(counts[0]).toBe(0);
    expect(Math.min(counts[1]!, counts[2]!)).toBeGreaterThan(20);
  });

  it('waits at the gate, with its requirement and deadline', async () => {
    const { nodes, servers, placement, placed, outcome } = setUp(threeNodes);
    nodes.eligible.clear();
    const sinceMs = performance.now();
    placement.place(read, requirement, policy);
    expect(nodes.waiting).toMatchObject([{ requirement, deadlineMs: sinceMs + waitTimeoutMs }]);
    vi.advanceTimersByTime(30);
    nodes.eligible.add(2);
    nodes.arrive(2);
    await servers.accept(2);
    expect(outcome()).toEqual(['2 read-waited']);
    expect(placed[0]!.waitedMs).toBe(30);
  });

  it('falls back to the primary when none arrives in time', async () => {
    const { nodes, servers, placement, outcome } = setUp(threeNodes);
    nodes.eligible.clear();
    placement.place(read, requirement, policy);
    vi.advanceTimersByTime(waitTimeoutMs);
    nodes.arrive(-1);
    await servers.accept(0);
    expect(outcome()).toEqual(['0 wait-timeout']);
  });

  it('goes there at once where waiting is of no use', async () => {
    for (const [roles, waitMs, reason] of [
      [threeNodes, 0, 'no-fresh-replica'],
      [threeNodes, waitTimeoutMs, 'no-fresh-replica'],
      [['primary', 'down', 'fenced'], waitTimeoutMs, 'no-replica'],
      [['primary'], waitTimeoutMs, 'no-replica'],
    ] as const) {
      const { nodes, servers, placement, outcome } = setUp(roles);
      nodes.eligible.clear();
      nodes.isHopeless = true;
      placement.place(read, requirement, { ...policy, waitTimeoutMs: waitMs });
      await servers.accept(0);
      expect(outcome()).toEqual([`0 ${reason}`]);
    }
  });

  it('asks for no freshness where the route does not', () => {
    const { nodes, placement } = setUp(threeNodes);
    placement.place(anywhere, requirement, policy);
    expect([...nodes.asked]).toEqual([noRequirement]);
  });

  it('fails rather than go to the primary where that is asked for', () => {
    const strict: WaitPolicy = { waitTimeoutMs, onTimeout: 'error' };
    const { nodes, placement, codes, servers, gaveUp } = setUp(threeNodes);
    nodes.eligible.clear();
    // A guess is no reason to fail.
    nodes.isHopeless = true;
    placement.place(read, requirement, strict);
    expect(codes()).toEqual([]);
    vi.advanceTimersByTime(waitTimeoutMs);
    nodes.arrive(-1);
    expect(codes()).toEqual(['notFreshInTime']);
    expect(gaveUp).toEqual([waitTimeoutMs]);
    expect(servers.pending[0]).toHaveLength(0);
    // What asks for no freshness goes anywhere.
    for (const state of nodes.nodes) if (state.role === 'replica') state.role = 'down';
    placement.place(anywhere, requirement, strict);
    expect(servers.pending[0]).toHaveLength(1);
  });

  it('waits for a place on the primary, or for a replica, whichever comes first', async () => {
    const limit = new FallbackLimit(1);
    const [first, second, third] = [0, 1, 2].map(() => setUp(threeNodes, {}, limit));
    for (const { nodes, placement } of [first!, second!, third!]) {
      nodes.eligible.clear();
      nodes.isHopeless = true;
      placement.place(read, requirement, policy);
    }
    await first!.servers.accept(0);
    expect(first!.outcome()).toEqual(['0 no-fresh-replica']);
    expect(second!.nodes.waiting).toHaveLength(1);
    third!.nodes.eligible.add(2);
    third!.nodes.arrive(2);
    await third!.servers.accept(2);
    expect(third!.outcome()).toEqual(['2 read-waited']);
    first!.placement.endFallback();
    await second!.servers.accept(0);
    expect(second!.outcome()).toEqual(['0 no-fresh-replica']);
    expect(second!.nodes.waiting).toEqual([]);
    second!.placement.close();
    expect(limit.inUse).toBe(0);
  });

  it('says so when neither comes in time', () => {
    const limit = new FallbackLimit(1);
    limit.tryTake();
    const { nodes, placement, codes } = setUp(threeNodes, {}, limit);
    nodes.eligible.clear();
    placement.place(read, requirement, policy);
    vi.advanceTimersByTime(waitTimeoutMs);
    nodes.arrive(-1);
    expect(codes()).toEqual(['fallbackLimit']);
    expect(limit.refused).toBe(1);
    // Where no replica is up, there is none to catch up.
    for (const state of nodes.nodes) if (state.role === 'replica') state.role = 'down';
    placement.place(read, requirement, policy);
    expect(codes()).toHaveLength(1);
  });

  it('tries the other replica when one does not let it in, then the primary', async () => {
    const { nodes, servers, placement, outcome } = setUp(threeNodes);
    placement.place(read, requirement, policy);
    const first = servers.pending[1]!.length > 0 ? 1 : 2;
    await servers.refuse(first);
    expect(nodes.nudged).toEqual([first]);
    const second = 3 - first;
    await servers.refuse(second);
    await servers.accept(0);
    expect(outcome()).toEqual(['0 no-replica']);
    placement.forgetFailures();
    placement.place(read, requirement, policy);
    expect(servers.pending[1]!.length + servers.pending[2]!.length).toBe(1);
  });

  it('tries the other replica also when the monitor has seen the first one go', async () => {
    const { nodes, servers, placement, outcome } = setUp(threeNodes);
    placement.place(read, requirement, policy);
    const first = servers.pending[1]!.length > 0 ? 1 : 2;
    nodes.nodes[first]!.role = 'down';
    nodes.eligible.delete(first);
    await servers.refuse(first);
    await servers.accept(3 - first);
    expect(outcome()).toEqual([`${3 - first} retry`]);
  });

  it('avoids the node that failed it', async () => {
    const { servers, placement, outcome } = setUp(threeNodes);
    placement.avoid(1);
    placement.place(read, requirement, policy);
    await servers.accept(2);
    expect(outcome()).toEqual(['2 read']);
  });

  it('looks again when the replica lost its freshness while it connected', async () => {
    const { nodes, servers, placement, outcome } = setUp(threeNodes);
    nodes.eligible.delete(2);
    placement.place(read, requirement, policy);
    nodes.eligible.delete(1);
    nodes.eligible.add(2);
    await servers.accept(1);
    await servers.accept(2);
    expect(outcome()).toEqual(['2 read']);
    expect(servers.pools[1]!.stat).toMatchObject({ active: 0, idle: 1 });
  });
});

describe('a write', () => {
  it('goes to the primary', async () => {
    const { servers, placement, placed, outcome } = setUp(threeNodes);
    placement.place(write, requirement, policy);
    await servers.accept(0);
    expect(outcome()).toEqual(['0 write']);
    expect(placed[0]!.isPrimary).toBe(true);
  });

  it('waits for one, for so long', async () => {
    const { nodes, servers, placement, outcome, codes } = setUp(['down', 'replica']);
    const sinceMs = performance.now();
    placement.place(write, requirement, policy);
    expect(nodes.waiting).toEqual([
      {
        requirement: null,
        deadlineMs: sinceMs + primaryWaitTimeoutMs,
        done: expect.any(Function),
      },
    ]);
    vi.advanceTimersByTime(1_000);
    nodes.nodes[1]!.role = 'primary';
    nodes.arrive(1);
    await servers.accept(1);
    expect(outcome()).toEqual(['1 write']);
    nodes.nodes[1]!.role = 'down';
    placement.place(write, requirement, policy);
    vi.advanceTimersByTime(primaryWaitTimeoutMs);
    nodes.arrive(-1);
    expect(codes()).toEqual(['noPrimary']);
  });

  it('tries again while the primary does not let it in, until the deadline', async () => {
    const { nodes, servers, placement, outcome, codes } = setUp(['primary']);
    placement.place(write, requirement, policy);
    await servers.refuse(0);
    vi.advanceTimersByTime(49);
    expect(servers.pending[0]).toHaveLength(0);
    vi.advanceTimersByTime(1);
    await servers.accept(0);
    expect(outcome()).toEqual(['0 write']);
    expect(nodes.nudged).toEqual([0]);
    placement.place(write, requirement, policy);
    servers.opened[0]![0]!.connection.close('server-closed');
    await settle();
    for (let tries = 0; codes().length === 0; tries++) {
      expect(tries).toBeLessThan(primaryWaitTimeoutMs / 50 + 2);
      await servers.refuse(0);
      vi.advanceTimersByTime(50);
    }
    expect(codes()).toEqual(['connectFailed']);
  });

  it('follows the primary that changed while it connected', async () => {
    const { nodes, servers, placement, outcome } = setUp(['primary', 'replica']);
    placement.place(write, requirement, policy);
    nodes.nodes[0]!.role = 'down';
    nodes.nodes[1]!.role = 'primary';
    await servers.refuse(0);
    await servers.accept(1);
    expect(outcome()).toEqual(['1 write']);
  });
});

describe('a refusal', () => {
  const login = (sqlstate: string) => new ServerLoginError(sqlstate, 'no', Buffer.alloc(0));

  it('of the login by a replica sends the read on: it may not have the role yet', async () => {
    const { nodes, servers, placement, codes, outcome } = setUp(['primary', 'replica']);
    placement.place(read, requirement, policy);
    await servers.refuse(1, login('28000'));
    await servers.accept(0);
    expect(codes()).toEqual([]);
    expect(outcome()).toEqual(['0 no-replica']);
    // The node itself is well: other roles go on using it.
    expect(nodes.nudged).toEqual([]);
  });

  it('is final when Tidemark itself has not what the server asks for', async () => {
    const { nodes, servers, placement, codes } = setUp(['primary', 'replica']);
    placement.place(write, requirement, policy);
    await servers.refuse(0, new ServerConnectError('authentication', 'no password'));
    expect(codes()).toEqual(['serverLoginImpossible']);
    expect(nodes.nudged).toEqual([]);
  });

  it('of the login by the primary is the answer, unless it passes', async () => {
    const { servers, placement, codes, outcome } = setUp(['primary', 'replica']);
    placement.place(write, requirement, policy);
    await servers.refuse(0, login('28P01'));
    expect(codes()).toEqual(['28P01']);
    for (const sqlstate of ['57P03', '57P01', '57P02', '53300', '53400']) {
      placement.place(write, requirement, policy);
      await servers.refuse(0, login(sqlstate));
      vi.advanceTimersByTime(50);
      await servers.accept(0);
      servers.opened[0]!.at(-1)!.connection.close('lifetime');
      await settle();
    }
    expect(codes()).toHaveLength(1);
    expect(outcome()).toHaveLength(5);
  });

  it('for want of connections is the answer to whoever logs in', async () => {
    for (const sqlstate of ['53300', '53400']) {
      const { servers, placement, codes } = setUp(
        ['primary', 'replica'],
        {},
        new FallbackLimit(0),
        true,
      );
      placement.place(write, requirement, policy);
      await servers.refuse(0, login(sqlstate));
      expect(codes()).toEqual([sqlstate]);
    }
  });

  it('for want of connections is the answer to a session that has waited in vain', async () => {
    const { servers, placement, codes } = setUp(['primary']);
    placement.place(write, requirement, policy);
    for (let tries = 0; codes().length === 0 && tries < 1_000; tries++) {
      await servers.refuse(0, login('53300'));
      vi.advanceTimersByTime(50);
      await settle();
    }
    expect(codes()).toEqual(['53300']);
  });

  it('of the pool says why', async () => {
    const { servers, placement, failed, codes } = setUp(['primary']);
    placement.place(write, requirement, policy);
    await servers.accept(0);
    placement.place(write, requirement, policy);
    vi.advanceTimersByTime(1_001);
    expect(failed[0]!.message).toBe('no server connection became free within 1000 ms (pool of 1)');
    placement.place(write, requirement, policy);
    servers.pools[0]!.close();
    placement.place(write, requirement, policy);
    expect(codes()).toEqual(['poolTimeout', 'shuttingDown', 'shuttingDown']);
    expect(failed[0]).toBeInstanceOf(ProxyError);
  });
});

describe('cancelling', () => {
  it('at any stage calls nobody, and leaves nothing behind', async () => {
    // At the gate.
    const atGate = setUp(threeNodes);
    atGate.nodes.eligible.clear();
    atGate.placement.place(read, requirement, policy);
    atGate.placement.cancel();
    expect(atGate.nodes.waiting).toEqual([]);
    // Waiting for a primary.
    const noPrimary = setUp(['down']);
    noPrimary.placement.place(write, requirement, policy);
    noPrimary.placement.cancel();
    expect(noPrimary.nodes.waiting).toEqual([]);
    // In the pool's queue, also after a retry.
    const inPool = setUp(threeNodes);
    inPool.placement.place(read, requirement, policy);
    const first = inPool.servers.pending[1]!.length > 0 ? 1 : 2;
    await inPool.servers.refuse(first);
    inPool.placement.cancel();
    await inPool.servers.accept(3 - first);
    expect(inPool.servers.pools[3 - first]!.stat).toMatchObject({ idle: 1, active: 0, waiting: 0 });
    // In the pause before the next attempt.
    const inPause = setUp(['primary']);
    inPause.placement.place(write, requirement, policy);
    await inPause.servers.refuse(0);
    inPause.placement.cancel();
    vi.advanceTimersByTime(10_000);
    expect(inPause.servers.pending[0]).toEqual([]);
    for (const { placed, failed } of [atGate, noPrimary, inPool, inPause]) {
      expect([placed, failed]).toEqual([[], []]);
    }
    expect(vi.getTimerCount()).toBe(0);
  });

  it('by the end of the session lets go of the pools', async () => {
    const { servers, placement } = setUp(threeNodes);
    placement.place(read, requirement, policy);
    placement.place(write, requirement, policy);
    expect(servers.pools[0]!.holders).toBe(1);
    placement.close();
    placement.close();
    expect(servers.pools.map(({ holders }) => holders)).toEqual([0, 0, 0]);
  });
});
