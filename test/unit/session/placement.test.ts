import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { PoolConfig } from '../../../src/config.ts';
import { ProxyError } from '../../../src/errors.ts';
import type { NodeRole } from '../../../src/lag/node-state.ts';
import { noRequirement } from '../../../src/lag/read-requirement.ts';
import { ServerConnectError, ServerLoginError } from '../../../src/pool/server-handshake.ts';
import type { Route } from '../../../src/router/route.ts';
import { type Placed, Placement, type PlacementFailure } from '../../../src/session/placement.ts';
import { FakeNodes, FakeServers, settle } from './fake-cluster.ts';

const read: Route = { target: 'replica', reason: 'read', fresh: true };
const anywhere: Route = { target: 'replica', reason: 'session', fresh: false };
const write: Route = { target: 'primary', reason: 'write' };
const requirement = { ...noRequirement, freshAsOfMs: 5 };
const waitTimeoutMs = 100;
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
  waitMs = waitTimeoutMs,
) {
  const nodes = new FakeNodes(roles);
  const servers = new FakeServers(roles.length, config);
  const placed: Placed[] = [];
  const failed: PlacementFailure[] = [];
  const placement = new Placement({
    cluster: servers.cluster,
    monitor: nodes.monitor,
    gate: nodes.gate,
    login: { user: 'u', password: '', database: 'd' },
    waitTimeoutMs: waitMs,
    primaryWaitTimeoutMs,
    placed: (one) => placed.push(one),
    failed: (failure) => failed.push(failure),
  });
  const outcome = () => placed.map(({ node, reason }) => `${node} ${reason}`);
  const codes = () => failed.map((failure) => (failure as ProxyError).code ?? failure.sqlstate);
  return { nodes, servers, placed, failed, placement, outcome, codes };
}

const threeNodes: readonly NodeRole[] = ['primary', 'replica', 'replica'];

describe('a read', () => {
  it('goes to the least busy of the replicas that are fresh enough', async () => {
    const { nodes, servers, placement, outcome } = setUp(threeNodes, { size: 5 });
    nodes.eligible.delete(2);
    const node1 = Array(4).fill('1 read');
    for (const _ of node1) placement.place(read, requirement);
    while (servers.pending[1]!.length > 0) await servers.accept(1);
    expect(outcome()).toEqual(node1);
    nodes.eligible.add(2);
    const node2 = Array(4).fill('2 read');
    for (const _ of node2) placement.place(read, requirement);
    while (servers.pending[2]!.length > 0) await servers.accept(2);
    expect(outcome()).toEqual([...node1, ...node2]);
  });

  it('is shared by replicas that are equally busy', async () => {
    const { servers, placement, placed } = setUp(threeNodes);
    const counts = [0, 0, 0];
    for (let i = 0; i < 200; i++) {
      placement.place(read, requirement);
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
    placement.place(read, requirement);
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
    placement.place(read, requirement);
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
      const { nodes, servers, placement, outcome } = setUp(roles, {}, waitMs);
      nodes.eligible.clear();
      nodes.isHopeless = true;
      placement.place(read, requirement);
      await servers.accept(0);
      expect(outcome()).toEqual([`0 ${reason}`]);
    }
  });

  it('asks for no freshness where the route does not', () => {
    const { nodes, placement } = setUp(threeNodes);
    nodes.eligible.clear();
    placement.place(anywhere, requirement);
    expect(nodes.waiting[0]!.requirement).toBe(noRequirement);
  });

  it('tries the other replica when one does not let it in, then the primary', async () => {
    const { nodes, servers, placement, outcome } = setUp(threeNodes);
    placement.place(read, requirement);
    const first = servers.pending[1]!.length > 0 ? 1 : 2;
    await servers.refuse(first);
    expect(nodes.nudged).toEqual([first]);
    const second = 3 - first;
    await servers.refuse(second);
    expect(servers.pending[0]).toHaveLength(0);
    // Both are eligible still: the gate finds them at once.
    nodes.arrive(second);
    await servers.accept(0);
    expect(outcome()).toHaveLength(1);
    expect(outcome()[0]).toMatch(/^0 /);
    placement.forgetFailures();
    placement.place(read, requirement);
    expect(servers.pending[1]!.length + servers.pending[2]!.length).toBe(1);
  });

  it('tries the other replica also when the monitor has seen the first one go', async () => {
    const { nodes, servers, placement, outcome } = setUp(threeNodes);
    placement.place(read, requirement);
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
    placement.place(read, requirement);
    await servers.accept(2);
    expect(outcome()).toEqual(['2 read']);
  });

  it('looks again when the replica lost its freshness while it connected', async () => {
    const { nodes, servers, placement, outcome } = setUp(threeNodes);
    nodes.eligible.delete(2);
    placement.place(read, requirement);
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
    placement.place(write, requirement);
    await servers.accept(0);
    expect(outcome()).toEqual(['0 write']);
    expect(placed[0]!.isPrimary).toBe(true);
  });

  it('waits for one, for so long', async () => {
    const { nodes, servers, placement, outcome, codes } = setUp(['down', 'replica']);
    const sinceMs = performance.now();
    placement.place(write, requirement);
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
    placement.place(write, requirement);
    vi.advanceTimersByTime(primaryWaitTimeoutMs);
    nodes.arrive(-1);
    expect(codes()).toEqual(['noPrimary']);
  });

  it('tries again while the primary does not let it in, until the deadline', async () => {
    const { nodes, servers, placement, outcome, codes } = setUp(['primary']);
    placement.place(write, requirement);
    await servers.refuse(0);
    vi.advanceTimersByTime(49);
    expect(servers.pending[0]).toHaveLength(0);
    vi.advanceTimersByTime(1);
    await servers.accept(0);
    expect(outcome()).toEqual(['0 write']);
    expect(nodes.nudged).toEqual([0]);
    placement.place(write, requirement);
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
    placement.place(write, requirement);
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
    placement.place(read, requirement);
    await servers.refuse(1, login('28000'));
    nodes.arrive(1);
    await servers.accept(0);
    expect(codes()).toEqual([]);
    expect(outcome()).toEqual(['0 no-fresh-replica']);
    // The node itself is well: other roles go on using it.
    expect(nodes.nudged).toEqual([]);
  });

  it('is final when Tidemark itself has not what the server asks for', async () => {
    const { nodes, servers, placement, codes } = setUp(['primary', 'replica']);
    placement.place(write, requirement);
    await servers.refuse(0, new ServerConnectError('authentication', 'no password'));
    expect(codes()).toEqual(['serverLoginImpossible']);
    expect(nodes.nudged).toEqual([]);
  });

  it('of the login by the primary is the answer, unless it passes', async () => {
    const { servers, placement, codes, outcome } = setUp(['primary', 'replica']);
    placement.place(write, requirement);
    await servers.refuse(0, login('28P01'));
    expect(codes()).toEqual(['28P01']);
    for (const sqlstate of ['57P03', '57P01', '57P02', '53300', '53400']) {
      placement.place(write, requirement);
      await servers.refuse(0, login(sqlstate));
      vi.advanceTimersByTime(50);
      await servers.accept(0);
      servers.opened[0]!.at(-1)!.connection.close('lifetime');
      await settle();
    }
    expect(codes()).toHaveLength(1);
    expect(outcome()).toHaveLength(5);
  });

  it('of the pool says why', async () => {
    const { servers, placement, failed, codes } = setUp(['primary']);
    placement.place(write, requirement);
    await servers.accept(0);
    placement.place(write, requirement);
    vi.advanceTimersByTime(1_001);
    expect(failed[0]!.message).toBe('no server connection became free within 1000 ms (pool of 1)');
    placement.place(write, requirement);
    servers.pools[0]!.close();
    placement.place(write, requirement);
    expect(codes()).toEqual(['poolTimeout', 'shuttingDown', 'shuttingDown']);
    expect(failed[0]).toBeInstanceOf(ProxyError);
  });
});

describe('cancelling', () => {
  it('at any stage calls nobody, and leaves nothing behind', async () => {
    // At the gate.
    const atGate = setUp(threeNodes);
    atGate.nodes.eligible.clear();
    atGate.placement.place(read, requirement);
    atGate.placement.cancel();
    expect(atGate.nodes.waiting).toEqual([]);
    // Waiting for a primary.
    const noPrimary = setUp(['down']);
    noPrimary.placement.place(write, requirement);
    noPrimary.placement.cancel();
    expect(noPrimary.nodes.waiting).toEqual([]);
    // In the pool's queue, also after a retry.
    const inPool = setUp(threeNodes);
    inPool.placement.place(read, requirement);
    const first = inPool.servers.pending[1]!.length > 0 ? 1 : 2;
    await inPool.servers.refuse(first);
    inPool.placement.cancel();
    await inPool.servers.accept(3 - first);
    expect(inPool.servers.pools[3 - first]!.stat).toMatchObject({ idle: 1, active: 0, waiting: 0 });
    // In the pause before the next attempt.
    const inPause = setUp(['primary']);
    inPause.placement.place(write, requirement);
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
    placement.place(read, requirement);
    placement.place(write, requirement);
    expect(servers.pools[0]!.holders).toBe(1);
    placement.close();
    placement.close();
    expect(servers.pools.map(({ holders }) => holders)).toEqual([0, 0, 0]);
  });
});
