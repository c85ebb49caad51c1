import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ProxyError } from '../../../src/errors.ts';
import type { Lsn } from '../../../src/lag/lsn.ts';
import type { TokenVerdict } from '../../../src/lag/token-verdict.ts';
import { PreparedTexts } from '../../../src/pool/prepared.ts';
import { Settings } from '../../../src/pool/settings.ts';
import { TxStatus } from '../../../src/protocol/codes.ts';
import * as frontend from '../../../src/protocol/frontend.ts';
import { Classifier } from '../../../src/router/classifier.ts';
import { loadParser } from '../../../src/router/parser.ts';
import { CancelKeys } from '../../../src/session/cancel-keys.ts';
import type { LocalAnswer } from '../../../src/session/local-answer.ts';
import { LocalStatements } from '../../../src/session/local-statements.ts';
import { alone } from '../../../src/session/other-workers.ts';
import type { Classify } from '../../../src/session/request.ts';
import type { RequestRunner } from '../../../src/session/request-runner.ts';
import { RouteCounts } from '../../../src/session/route-counts.ts';
import type { LastRoute } from '../../../src/session/runner-owner.ts';
import type { SessionContext } from '../../../src/session/session-context.ts';
import { SessionState } from '../../../src/session/session-state.ts';
import { ClientStatements } from '../../../src/session/statements.ts';
import { catalog } from '../router/catalog.ts';
import { freshnessConfig, readSettings } from './policies.ts';
import { takeMessages } from './take-messages.ts';

beforeAll(loadParser);

const classifier = new Classifier({ catalog });
const classify: Classify = (buffer, start, end) => classifier.classify(buffer, start, end);

let state: SessionState;
let statements: ClientStatements;
let runner: {
  isAttached: boolean;
  isBatchOpen: boolean;
  deferred: string[];
  lastRoute: LastRoute | null;
  coverMs: number;
};
let local: LocalStatements;
let routes: RouteCounts;
/** -1: there is none. */
let primary: number;
let primariesWanted: { deadlineMs: number; done: (node: number) => void }[];
/** What the monitor says of any token. */
let verdict: TokenVerdict;
let samplesWanted: {
  momentMs: number;
  deadlineMs: number;
  done: (lsn: Lsn | null) => void;
}[];

beforeEach(() => {
  routes = new RouteCounts(1);
  verdict = { kind: 'usable', minLsn: 5n as Lsn };
  samplesWanted = [];
  primary = 0;
  primariesWanted = [];
  state = new SessionState(Settings.none, readSettings());
  statements = new ClientStatements(new PreparedTexts());
  runner = {
    isAttached: false,
    isBatchOpen: false,
    deferred: [],
    lastRoute: null,
    coverMs: 1_234,
  };
  const context = {
    config: { freshness: freshnessConfig },
    cluster: { nodes: [{ name: 'a', host: 'db.example', port: 5432 }] },
    monitor: {
      nodes: [{ role: 'primary', systemId: '77', timeline: 3 }],
      now: () => 2_000,
      primary: () => primary,
      judgeToken: () => verdict,
    },
    gate: {
      waitForSample: (momentMs: number, deadlineMs: number, done: (lsn: Lsn | null) => void) => {
        samplesWanted.push({ momentMs, deadlineMs, done });
        return { cancel: () => {} };
      },
      waitForPrimary: (deadlineMs: number, done: (node: number) => void) => {
        primariesWanted.push({ deadlineMs, done });
        return { cancel: () => {} };
      },
    },
    routes,
    cancelKeys: new CancelKeys({ index: 0, count: 1 }),
    others: alone,
  } as unknown as SessionContext;
  local = new LocalStatements(context, runner as unknown as RequestRunner, statements, {
    pid: 4_711_000,
    user: 'ann',
    reportsLsn: false,
  });
});

const requestOf = (bytes: Buffer) => takeMessages(bytes, statements, classify);

/** The tag or the error's code; null: for a server. */
function answer(bytes: Buffer): string | null {
  const found = local.answer(requestOf(bytes), state);
  if (found instanceof ProxyError) return found.code;
  return typeof found === 'function' ? 'later' : (found?.tag ?? null);
}
const run = (sql: string) => answer(frontend.query(sql));
const runExtended = (sql: string, name = '') =>
  answer(
    Buffer.concat([
      frontend.parse(name, sql),
      frontend.bind({ statement: name }),
      frontend.execute(),
      frontend.sync,
    ]),
  );

describe('a transaction that nobody has used yet', () => {
  it('begins and ends without a server', () => {
    expect(run('begin isolation level repeatable read, read only, not deferrable')).toBe('BEGIN');
    expect(runner.deferred).toEqual([
      'BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY, NOT DEFERRABLE',
    ]);
    expect(state.inTransaction).toBe(true);
    expect(state.isReadOnly).toBe(true);
    expect(run('set transaction isolation level serializable')).toBe('SET');
    expect(runner.deferred).toHaveLength(2);
    expect(state.isSerializableWith(null)).toBe(true);
    expect(run('commit')).toBe('COMMIT');
    expect(runner.deferred).toEqual([]);
    expect(state.inTransaction).toBe(false);
    expect(run('begin')).toBe('BEGIN');
    expect(run('rollback')).toBe('ROLLBACK');
    expect(state.txStatus).toBe(TxStatus.Idle);
  });

  it('needs one for everything else', () => {
    for (const sql of ['commit', 'rollback', 'savepoint s', 'select 1', 'begin; select 1']) {
      expect(run(sql)).toBeNull();
    }
    expect(run('begin')).toBe('BEGIN');
    for (const sql of ['begin', 'commit and chain', 'savepoint s', 'select 1']) {
      expect(run(sql)).toBeNull();
    }
  });

  it('is not begun here where a server is held, or in a batch', () => {
    expect(runExtended('begin')).toBeNull();
    runner.isBatchOpen = true;
    expect(run('begin')).toBeNull();
    runner.isBatchOpen = false;
    runner.isAttached = true;
    expect(run('begin')).toBeNull();
    expect(runner.deferred).toEqual([]);
  });
});

describe('a transaction whose server is lost', () => {
  beforeEach(() => {
    state.txStatus = TxStatus.Failed;
    local.transactionLost();
  });

  it('says so once, and takes nothing but its end', () => {
    const first = run('select 1');
    expect(first).toMatch(/Lost$/);
    expect(run('select 1')).toBe('transactionAborted');
    expect(runExtended('select 1')).toBe('transactionAborted');
    expect(run('show tidemark.route')).toBe('transactionAborted');
    expect(run('commit')).toBe('ROLLBACK');
    expect(state.inTransaction).toBe(false);
    expect(run('select 1')).toBeNull();
  });
});

describe('SHOW', () => {
  const show = (sql: string) => local.answer(requestOf(frontend.query(sql)), state);

  it('tells the last route', () => {
    expect(show('show tidemark.route')).toMatchObject({ tag: 'SHOW', rows: [] });
    runner.lastRoute = { node: 0, reason: 'write', waitedMs: 1.26, stalenessMs: 0 };
    expect(show('show tidemark.route')).toMatchObject({
      rows: [['a', 'db.example:5432', 'primary', 'write', '1.3', '0.0']],
    });
    runner.lastRoute = { ...runner.lastRoute, stalenessMs: Number.POSITIVE_INFINITY };
    expect(show('show tidemark.route')).toMatchObject({
      rows: [[...Array(5).fill(expect.any(String)), null]],
    });
  });

  it('tells the level, and knows no other name', () => {
    expect(show('show tidemark.consistency')).toMatchObject({ rows: [['session']] });
    expect(show('show tidemark.report_lsn')).toMatchObject({ rows: [['off']] });
    expect(show('show tidemark.max_staleness')).toMatchObject({
      columns: [{ name: 'tidemark.max_staleness' }],
      rows: [['1s']],
    });
    expect(run('show tidemark.nonsense')).toBe('unknownSetting');
    expect(run('show work_mem')).toBeNull();
    state.txStatus = TxStatus.Failed;
    runner.isAttached = true;
    expect(run('show tidemark.consistency')).toBeNull();
  });

  it('keeps what was parsed for it', () => {
    expect(runExtended('show tidemark.consistency', 's')).toBe('SHOW');
    expect(statements.get('s')?.classified.access).toBe('read');
    expect(runExtended('show tidemark.consistency')).toBe('SHOW');
    expect(statements.get('')).toBeDefined();
  });
});

it('DEALLOCATE forgets statements of the protocol, and only those', () => {
  runExtended('show tidemark.consistency', 's');
  expect(run('deallocate s')).toBe('DEALLOCATE');
  expect(statements.get('s')).toBeUndefined();
  expect(run('deallocate s')).toBeNull();
  expect(run('deallocate all')).toBeNull();
  runExtended('show tidemark.consistency', Buffer.from('größe').toString('latin1'));
  expect(run('deallocate größe')).toBe('DEALLOCATE');
});

describe('SET of the proxy’s own names', () => {
  const current = () => state.reads.current;
  const given = (sql: string) => local.answer(requestOf(frontend.query(sql)), state);

  it('is answered here and in force at once', () => {
    expect(run("set tidemark.consistency = 'strong'")).toBe('SET');
    expect(current().consistency).toBe('strong');
    expect(runExtended('set tidemark.wait_timeout to 7')).toBe('SET');
    expect(current().waitTimeoutMs).toBe(7);
    expect(run('reset tidemark.consistency')).toBe('RESET');
    expect(current().consistency).toBe('session');
    expect(run('set tidemark.wait_timeout to default')).toBe('SET');
    expect(current().waitTimeoutMs).toBe(20);
  });

  it('does nothing before it is executed', () => {
    const parsed = Buffer.concat([
      frontend.parse('', "set tidemark.consistency = 'strong'"),
      frontend.sync,
    ]);
    expect(answer(parsed)).toBe('SET');
    expect(current().consistency).toBe('session');
  });

  it('goes with its transaction, also with one that never saw a server', () => {
    run('begin');
    run("set local tidemark.consistency = 'strong'");
    expect(current().consistency).toBe('strong');
    run('commit');
    expect(current().consistency).toBe('session');
    run('begin');
    run("set tidemark.consistency = 'strong'");
    run('rollback');
    expect(current().consistency).toBe('session');
    run('begin');
    run("set tidemark.consistency = 'strong'");
    run('commit');
    expect(current().consistency).toBe('strong');
  });

  it('LOCAL outside a transaction warns and does nothing', () => {
    const found = given("set local tidemark.consistency = 'strong'");
    expect(found).toMatchObject({ tag: 'SET', notice: expect.any(Buffer) });
    expect((found as { notice: Buffer }).notice.toString('latin1')).toContain('25P01');
    expect(current().consistency).toBe('session');
  });

  it('is refused with what could have been written', () => {
    expect(run("set tidemark.consistency = 'strongest'")).toBe('invalidSetting');
    expect(run('set tidemark.lag = 1')).toBe('reservedSetting');
    expect(run('reset tidemark.lag')).toBe('reservedSetting');
    expect(run("set tidemark.lsn = '0/1'")).toBe('readOnlySetting');
    expect(run('set tidemark.report_lsn = on')).toBe('readOnlySetting');
    expect(runExtended("set tidemark.on_timeout = 'panic'")).toBe('invalidSetting');
  });

  it('among other statements is for a server, if it is valid', () => {
    expect(run("set tidemark.consistency = 'strong'; select 1")).toBeNull();
    expect(run("select set_config('tidemark.consistency', 'strong', false)")).toBeNull();
    expect(run("set tidemark.consistency = 'storng'; select 1")).toBe('invalidSetting');
    expect(run("select set_config('tidemark.consistency', 'storng', false)")).toBe(
      'invalidSetting',
    );
    expect(runExtended("select set_config('tidemark.lag', 'x', false)")).toBe('reservedSetting');
    expect(current().consistency).toBe('session');
  });

  it('in a failed transaction is for the server to refuse', () => {
    state.txStatus = TxStatus.Failed;
    runner.isAttached = true;
    expect(run("set tidemark.consistency = 'strong'")).toBeNull();
  });

  it('of another session’s hint is not obeyed where it is not understood', () => {
    expect(run('/* tidemark: consistency=strong */ select 1')).toBeNull();
    expect(run('/* tidemark: consistency=storng */ select 1')).toBe('invalidSetting');
    expect(runExtended('/* tidemark: min_lsn=0/0 */ select 1')).toBe('invalidSetting');
  });
});

describe('tokens', () => {
  const later = (sql: string): Promise<LocalAnswer | ProxyError | null> => {
    const found = local.answer(requestOf(frontend.query(sql)), state);
    if (typeof found !== 'function') throw new Error('was answered at once');
    return new Promise((resolve) => void found(resolve));
  };
  const ahead: TokenVerdict = {
    kind: 'unproven',
    why: 'beyond-newest-sample',
    newestPrimarySampleMs: 0,
  };
  const setToken = "set tidemark.min_lsn = '77/3/0/5'";

  it('of the session cover what it wrote and saw, with a sample taken afterwards', async () => {
    const shown = later('show tidemark.lsn');
    expect(samplesWanted).toMatchObject([
      { momentMs: 1_234, deadlineMs: 2_000 + freshnessConfig.primaryWaitTimeoutMs },
    ]);
    samplesWanted[0]!.done(0x601c958n as Lsn);
    expect(await shown).toMatchObject({ tag: 'SHOW', rows: [['77/3/0/601C958']] });
    const none = later('show tidemark.lsn');
    samplesWanted[1]!.done(null);
    expect(await none).toMatchObject({ code: 'noSample' });
  });

  it('of the session wait for a primary, and are of its history', async () => {
    primary = -1;
    const shown = later('show tidemark.lsn');
    const deadlineMs = 2_000 + freshnessConfig.primaryWaitTimeoutMs;
    // A sample of the primary that is gone.
    samplesWanted[0]!.done(0x5000n as Lsn);
    expect(primariesWanted).toMatchObject([{ deadlineMs }]);
    primary = 0;
    primariesWanted[0]!.done(0);
    expect(samplesWanted[1]).toMatchObject({ momentMs: 1_234, deadlineMs });
    samplesWanted[1]!.done(0x4000n as Lsn);
    expect(await shown).toMatchObject({ rows: [['77/3/0/4000']] });
    primary = -1;
    const none = later('show tidemark.lsn');
    samplesWanted[2]!.done(0x5000n as Lsn);
    primariesWanted[1]!.done(-1);
    expect(await none).toMatchObject({ code: 'noSample' });
  });

  it('are taken when they are known to be of this history', () => {
    expect(run(setToken)).toBe('SET');
    expect(state.reads.current.minLsn?.text).toBe('77/3/0/5');
    expect(run("set tidemark.min_lsn = ''")).toBe('SET');
    expect(state.reads.current.minLsn).toBeNull();
  });

  it.each([
    [{ kind: 'other-system' }, 'tokenOfOtherSystem'],
    [{ kind: 'unknown-history' }, 'tokenOfUnknownTimeline'],
    [{ kind: 'lost' }, 'tokenLost'],
  ] as const)('are refused when they are %j', (given, code) => {
    verdict = given as TokenVerdict;
    expect(run(setToken)).toBe(code);
    expect(state.reads.current.minLsn).toBeNull();
    expect(routes.lost.token).toBe(given.kind === 'lost' ? 1 : 0);
  });

  it('ahead of what is known are held against a newer sample', async () => {
    verdict = ahead;
    const refused = later(setToken);
    expect(samplesWanted[0]).toMatchObject({ momentMs: 2_000 });
    samplesWanted[0]!.done(1n as Lsn);
    expect(await refused).toMatchObject({ code: 'tokenAhead' });
    const taken = later(setToken);
    verdict = { kind: 'usable', minLsn: 5n as Lsn };
    samplesWanted[1]!.done(5n as Lsn);
    expect(await taken).toMatchObject({ tag: 'SET' });
    expect(state.reads.current.minLsn?.text).toBe('77/3/0/5');
    verdict = ahead;
    const unanswered = later(setToken);
    samplesWanted[2]!.done(null);
    expect(await unanswered).toMatchObject({ code: 'noSample' });
  });
});
