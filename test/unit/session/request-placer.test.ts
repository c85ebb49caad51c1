import { beforeAll, describe, expect, it } from 'vitest';
import { ProxyError } from '../../../src/errors.ts';
import type { Lsn } from '../../../src/lag/lsn.ts';
import type { TokenVerdict } from '../../../src/lag/token-verdict.ts';
import { PreparedTexts } from '../../../src/pool/prepared.ts';
import { Settings } from '../../../src/pool/settings.ts';
import * as frontend from '../../../src/protocol/frontend.ts';
import { Classifier } from '../../../src/router/classifier.ts';
import { loadParser } from '../../../src/router/parser.ts';
import { FallbackLimit } from '../../../src/session/fallback-limit.ts';
import type { Placed, PlacementFailure } from '../../../src/session/placement.ts';
import { parseReadSetting } from '../../../src/session/read-policy.ts';
import { Request } from '../../../src/session/request.ts';
import { RequestPlacer } from '../../../src/session/request-placer.ts';
import { RouteCounts } from '../../../src/session/route-counts.ts';
import type { SessionContext } from '../../../src/session/session-context.ts';
import { SessionState } from '../../../src/session/session-state.ts';
import { ClientStatements } from '../../../src/session/statements.ts';
import { WriteFloor } from '../../../src/session/write-floor.ts';
import { catalog } from '../router/catalog.ts';
import { FakeNodes, FakeServers } from './fake-cluster.ts';
import { freshnessConfig, readSettings } from './policies.ts';

beforeAll(loadParser);

const usable: TokenVerdict = { kind: 'usable', minLsn: 5n as Lsn };

function setUp(lostToken: 'error' | 'warn' = 'error') {
  const nodes = new FakeNodes(['primary', 'replica', 'replica']);
  const servers = new FakeServers(3);
  const classifier = new Classifier({ catalog });
  const history = { epoch: 1, verdict: usable, survived: true };
  const monitor = Object.assign(nodes.monitor, {
    judgeToken: () => history.verdict,
    survived: () => history.survived,
  });
  Object.defineProperty(monitor, 'epoch', { get: () => history.epoch });
  const routes = new RouteCounts(3);
  const context = {
    config: { freshness: { ...freshnessConfig, lostToken } },
    cluster: servers.cluster,
    monitor,
    gate: nodes.gate,
    routes,
    writes: new WriteFloor(),
    fallbacks: new FallbackLimit(0),
  } as unknown as SessionContext;
  const state = new SessionState(Settings.none, readSettings());
  const placed: Placed[] = [];
  const failed: string[] = [];
  const told: string[] = [];
  const placer = new RequestPlacer(context, { user: 'u', password: '', database: 'd' }, state, {
    placed: (one) => placed.push(one),
    notPlaced: (failure: PlacementFailure) =>
      failed.push(failure instanceof ProxyError ? failure.code : failure.sqlstate),
    tell: (message) => told.push(message.toString('latin1')),
  });
  const statements = new ClientStatements(new PreparedTexts());
  const place = (sql: string) => {
    const request = new Request();
    const bytes = frontend.query(sql);
    request.takeQuery(bytes, 0, bytes.length, statements, (buffer, start, end) =>
      classifier.classify(buffer, start, end),
    );
    request.finish('query', statements);
    placer.begin();
    placer.place(request, false);
  };
  const setToken = () => {
    const change = parseReadSetting('tidemark.min_lsn', '0/5');
    if (change instanceof ProxyError) throw change;
    state.setOwn(change, false);
  };
  return { nodes, servers, history, routes, placed, failed, told, placer, place, setToken };
}

describe('a read with a token', () => {
  it('that waited while the history changed is judged once more', async () => {
    const { nodes, servers, history, place, setToken, placed, failed } = setUp();
    setToken();
    nodes.eligible.clear();
    place('select 1');
    expect(nodes.waiting[0]!.requirement).toMatchObject({ minLsn: 5n });
    history.epoch = 2;
    history.verdict = { kind: 'lost', timeline: 1, switchLsn: 4n as Lsn };
    nodes.eligible.add(2);
    nodes.arrive(2);
    await servers.accept(2);
    expect(placed).toEqual([]);
    expect(failed).toEqual(['tokenLost']);
    expect(servers.pools[2]!.stat.idle).toBe(1);
  });

  it('goes on where it is still good, also on the primary', async () => {
    const { nodes, servers, history, place, setToken, placed } = setUp();
    setToken();
    nodes.eligible.clear();
    nodes.isHopeless = true;
    place('select 1');
    history.epoch = 2;
    await servers.accept(0);
    expect(placed).toMatchObject([{ node: 0, reason: 'no-fresh-replica' }]);
    expect(servers.pools[0]!.stat).toMatchObject({ active: 1, idle: 0 });
  });

  it('that was lost goes on without it where that is wanted, with a warning', async () => {
    const { servers, history, place, setToken, placed, told, routes } = setUp('warn');
    setToken();
    history.verdict = { kind: 'lost', timeline: 1, switchLsn: 4n as Lsn };
    place('select 1');
    for (const node of [1, 2]) if (servers.pending[node]!.length > 0) await servers.accept(node);
    expect(placed).toHaveLength(1);
    expect(told[0]).toContain('0/5');
    expect(routes.lost.token).toBe(1);
  });

  it('is not asked for it when it is a write, or may be anywhere', () => {
    const { servers, history, place, setToken, failed } = setUp();
    setToken();
    history.verdict = { kind: 'other-system' };
    place('insert into t values (1)');
    expect(servers.pending[0]).toHaveLength(1);
    place('set work_mem = 64');
    expect(failed).toEqual([]);
    place('select 1');
    expect(failed).toEqual(['tokenOfOtherSystem']);
  });
});

it('a session is told once that a failover may have taken what it had', () => {
  const { history, place, placer, told, routes } = setUp();
  placer.destination.floor.raise({ node: 0, generation: 1, isPrimary: true });
  history.epoch = 2;
  history.survived = false;
  place('select 1');
  place('select 1');
  expect(told).toHaveLength(1);
  expect(told[0]).toContain('01000');
  expect(routes.lost.session).toBe(1);
});
