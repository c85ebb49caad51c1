import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ProxyError } from '../../../src/errors.ts';
import { PreparedTexts } from '../../../src/pool/prepared.ts';
import { Settings } from '../../../src/pool/settings.ts';
import { Frontend, TxStatus } from '../../../src/protocol/codes.ts';
import { FrameScanner, frontendLengthMax, Scan } from '../../../src/protocol/frames.ts';
import * as frontend from '../../../src/protocol/frontend.ts';
import { Classifier } from '../../../src/router/classifier.ts';
import { loadParser } from '../../../src/router/parser.ts';
import { LocalStatements } from '../../../src/session/local-statements.ts';
import { type Classify, Request, type RequestEnd } from '../../../src/session/request.ts';
import type { RequestRunner } from '../../../src/session/request-runner.ts';
import type { LastRoute } from '../../../src/session/runner-owner.ts';
import type { SessionContext } from '../../../src/session/session-context.ts';
import { SessionState } from '../../../src/session/session-state.ts';
import { ClientStatements } from '../../../src/session/statements.ts';
import { catalog } from '../router/catalog.ts';

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
};
let local: LocalStatements;

beforeEach(() => {
  state = new SessionState(Settings.none);
  statements = new ClientStatements(new PreparedTexts());
  runner = { isAttached: false, isBatchOpen: false, deferred: [], lastRoute: null };
  const context = {
    config: { freshness: { consistency: 'session' } },
    cluster: { nodes: [{ name: 'a', host: 'db.example', port: 5432 }] },
    monitor: { nodes: [{ role: 'primary' }] },
  } as unknown as SessionContext;
  local = new LocalStatements(context, runner as unknown as RequestRunner, statements);
});

function requestOf(end: RequestEnd, bytes: Buffer): Request {
  const request = new Request();
  const scanner = new FrameScanner({
    lengthMax: frontendLengthMax,
    assembledBytesMax: 1 << 20,
    headBytesMin: 64,
  });
  scanner.feed(bytes);
  while (scanner.next() === Scan.Frame) {
    const { type, buffer, start, end: to } = scanner;
    if (type === Frontend.Query) request.takeQuery(buffer, start, to, classify);
    else request.takeExtended(type, buffer, start, to, statements, classify);
  }
  request.finish(end);
  return request;
}

/** The tag or the error's code; null: for a server. */
function answer(end: RequestEnd, bytes: Buffer): string | null {
  const found = local.answer(requestOf(end, bytes), state);
  if (found instanceof ProxyError) return found.code;
  return found?.tag ?? null;
}
const run = (sql: string) => answer('query', frontend.query(sql));
const runExtended = (sql: string, name = '') =>
  answer(
    'sync',
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
  const show = (sql: string) => local.answer(requestOf('query', frontend.query(sql)), state);

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
