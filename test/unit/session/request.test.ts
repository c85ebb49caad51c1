import { beforeAll, describe, expect, it } from 'vitest';
import { PreparedTexts } from '../../../src/pool/prepared.ts';
import { Frontend } from '../../../src/protocol/codes.ts';
import * as frontend from '../../../src/protocol/frontend.ts';
import { ProtocolError } from '../../../src/protocol/protocol-error.ts';
import { Classifier } from '../../../src/router/classifier.ts';
import { loadParser } from '../../../src/router/parser.ts';
import { type Classify, Request } from '../../../src/session/request.ts';
import { ClientStatements } from '../../../src/session/statements.ts';
import { catalog } from '../router/catalog.ts';
import { takeMessages } from './take-messages.ts';

beforeAll(loadParser);

const { bind, close, describe: describeMessage, execute, flush, parse, query, sync } = frontend;
const { Statement, Portal } = frontend.TargetKind;
const classifier = new Classifier({ catalog });
const classify: Classify = (buffer, start, end) => classifier.classify(buffer, start, end);

function setUp() {
  const statements = new ClientStatements(new PreparedTexts());
  const take = (...messages: Buffer[]): Request =>
    takeMessages(Buffer.concat(messages), statements, classify);
  return { statements, take };
}

const brokenIn = (request: Request) =>
  Array.from({ length: request.count }, (_, index) => request.at(index).isBroken);
/** Without a text. */
const rawParse = Buffer.from('P\0\0\0\x05x', 'latin1');
const run = (sql: string) => [parse('', sql), bind(), execute(), sync];

describe('a Query', () => {
  it.each([
    ['select 1', 'read', null],
    ['insert into t values (1)', 'write', 'write'],
    ['select 1; insert into t values (1); create table x ()', 'write', 'write'],
    ['set a.b to 1', 'read', null],
    ['', 'read', null],
  ])('%j is a %s', (sql, access, reason) => {
    const request = setUp().take(query(sql));
    expect(request.access).toBe(access);
    expect(request.reason).toBe(reason);
    expect(request.isExecuting).toBe(true);
    expect(request.learnable).toHaveLength(access === 'read' ? 1 : 0);
  });

  it('asks for freshness where it only prepares, binds or describes beside what any server can run', () => {
    const { take, statements } = setUp();
    const set = [parse('', 'set a.b to 1'), bind(), execute()];
    expect(take(...set, sync).sessionOnly).toBe(true);
    expect(take(...set, parse('s', 'select 1'), sync).sessionOnly).toBe(false);
    const [made] = take(parse('known', 'insert into t values (1)'), sync).parsed;
    statements.add('known', made!);
    for (const message of [describeMessage(Statement, 'known'), bind({ statement: 'known' })]) {
      expect(take(...set, message, sync).sessionOnly).toBe(false);
    }
    expect(take(...set, close(Statement, 'known'), sync).sessionOnly).toBe(true);
  });

  it('tells what it writes before it begins a transaction from what it writes in it', () => {
    const { take } = setUp();
    const of = (sql: string) => take(query(sql)).writesBeforeBegin;
    expect(of('insert into t values (1); begin read only')).toBe(true);
    expect(of('begin read only; insert into t values (1)')).toBe(false);
    const batch = [...run('insert into t values (1)').slice(0, 3), ...run('begin read only')];
    expect(take(...batch).writesBeforeBegin).toBe(true);
  });

  it('knows what it does to the session', () => {
    const { take } = setUp();
    expect(take(query('select 1; select 2'))).toMatchObject({
      sessionOnly: false,
      hasEffects: false,
      begins: null,
      ddl: false,
    });
    expect(take(query('set a.b to 1'))).toMatchObject({
      sessionOnly: true,
      hasEffects: true,
    });
    expect(take(query('begin read only; select 1')).begins).toMatchObject({
      readOnly: true,
    });
    // What the session has promised is over.
    for (const sql of ['end; begin', 'rollback; start transaction'])
      expect(take(query(sql)).begins).toMatchObject({ readOnly: false });
    expect(take(query('end; begin read only')).begins).toMatchObject({ readOnly: true });
    expect(take(query('create table t ()')).ddl).toBe(true);
    expect(take(query('/* tidemark: primary */ select 1')).hint?.target).toBe('primary');
  });
});

describe('a batch', () => {
  it('is what it executes', () => {
    const { take } = setUp();
    expect(take(...run('select 1'))).toMatchObject({ access: 'read', executes: 1 });
    expect(take(...run('delete from t'))).toMatchObject({
      access: 'write',
      reason: 'write',
    });
    const both = take(...run('select 1').slice(0, 3), ...run('delete from t'));
    expect(both).toMatchObject({ access: 'write', executes: 2 });
  });

  it('that only prepares a write can be anywhere fresh', () => {
    const request = setUp().take(parse('w', 'delete from t'), sync);
    expect(request).toMatchObject({
      access: 'read',
      sessionOnly: false,
      isExecuting: false,
      learnable: [],
    });
    expect(request.classified?.access).toBe('write');
  });

  it('executes what its portals were bound to, here or before', () => {
    const { take, statements } = setUp();
    const text = parse('w', 'delete from t');
    const first = take(text, bind({ portal: 'p', statement: 'w' }), flush);
    expect(first.reason).toBe('batch-undecided');
    expect(take(execute('p'), sync)).toMatchObject({ access: 'write', reason: 'write' });
    statements.endTransaction();
    expect(take(execute('p'), sync)).toMatchObject({ access: 'write', reason: 'cursor' });
  });

  it('knows the newest statement of a name', () => {
    const { take } = setUp();
    const request = take(
      ...[parse('', 'delete from t'), parse('', 'select 1'), bind(), execute(), sync],
    );
    expect(request.access).toBe('read');
  });

  it('forgets portals that are closed, and what nobody has bound', () => {
    const { take } = setUp();
    const closed = [parse('', 'select 1'), bind({ portal: 'p' }), close(Portal, 'p'), execute('p')];
    expect(take(...closed, sync).reason).toBe('cursor');
    expect(take(bind({ statement: 'nobody' }), execute(), sync).reason).toBe('cursor');
  });

  it('with Flush is judged by what was parsed, unless it has begun to execute', () => {
    const { take } = setUp();
    const write = take(parse('w', 'delete from t'), describeMessage(Statement, 'w'), flush);
    expect(write).toMatchObject({ access: 'write', reason: 'write' });
    const read = take(parse('r', 'select 1'), describeMessage(Statement, 'r'), flush);
    expect(read).toMatchObject({ access: 'read', reason: null });
    for (const begun of [[bind()], [bind(), execute()]]) {
      // A portal has to be executed where it was made.
      expect(take(parse('', 'select 1'), ...begun, flush)).toMatchObject({
        access: 'write',
        reason: 'batch-undecided',
      });
    }
  });

  it('that is not whole belongs to the primary', () => {
    const { take } = setUp();
    expect(take(parse('', 'select 1'))).toMatchObject({
      access: 'write',
      reason: 'batch-undecided',
    });
  });

  it('is empty again after a reset', () => {
    const { take } = setUp();
    const request = take(...run('begin; create temp table t ()'), ...run('select 1'));
    request.reset();
    expect(request).toEqual(new Request());
  });

  it('keeps nothing of its messages for those that come after a reset', () => {
    const { take, statements } = setUp();
    const request = take(rawParse, ...run('select 1'));
    const { count } = request;
    expect(request.isBroken).toBe(true);
    request.reset();
    while (request.count < count)
      request.takeExtended(Frontend.Sync, sync, 0, 5, statements, classify);
    expect(request.parsed).toEqual([]);
    expect(request.isBroken).toBe(false);
    for (let index = 0; index < count; index++) expect(request.at(index).executed).toBeNull();
  });
});

describe('a malformed message', () => {
  const names: readonly (readonly [string, Buffer])[] = [
    ['Parse', parse('s', 'select 1', [23])],
    ['Describe', describeMessage(Statement, 's')],
    ['Close', close(Portal, 'p')],
    ['Execute', execute('p', 5)],
  ];
  it.each(names)('%s, cut anywhere, is broken and never throws', (_, whole) => {
    for (let length = 5; length < whole.length; length++) {
      const cut = Buffer.from(whole.subarray(0, length));
      cut.writeInt32BE(length - 1, 1);
      const request = setUp().take(cut, sync);
      expect(brokenIn(request)).toEqual([true, false]);
    }
    expect(brokenIn(setUp().take(whole, sync))).toEqual([false, false]);
  });

  it('Bind is broken where it is cut in its names; the server judges the rest', () => {
    const whole = bind({ portal: 'p', statement: 's', params: ['a', null], paramFormats: [0] });
    for (let length = 5; length < whole.length; length++) {
      const cut = Buffer.from(whole.subarray(0, length));
      cut.writeInt32BE(length - 1, 1);
      expect(brokenIn(setUp().take(cut, sync))).toEqual([length < 9, false]);
    }
  });

  it('does not run', () => {
    const request = setUp().take(Buffer.from('Q\0\0\0\x05x', 'latin1'));
    expect(brokenIn(request)).toEqual([true]);
    expect(request.learnable).toEqual([]);
  });
});

describe('what is too long to be held', () => {
  const head = (type: number, declared: number, body: Buffer) => {
    const buffer = Buffer.concat([Buffer.of(type, 0, 0, 0, 0), body]);
    buffer.writeInt32BE(declared, 1);
    return buffer;
  };

  it('goes to the primary and keeps its connection', () => {
    const request = new Request();
    const bytes = head(Frontend.Query, 5_000_000, Buffer.alloc(8_192, 'x'));
    request.takeOversizedQuery(bytes, 0, bytes.length);
    expect(request).toMatchObject({
      access: 'write',
      reason: 'too-long',
      isStreaming: true,
      pinsUnparsed: true,
      sessionOnly: false,
    });
    const { statements } = setUp();
    const long = new Request();
    const parseHead = head(Frontend.Parse, 5_000_000, Buffer.alloc(8_192, 'x'));
    long.takeOversized(Frontend.Parse, parseHead, 0, parseHead.length, statements);
    long.finish('unfinished', statements);
    expect(long).toMatchObject({ access: 'write', reason: 'too-long', pinsUnparsed: true });
  });

  it('is an ordinary Bind when it is one', () => {
    const { statements, take } = setUp();
    take(parse('', 'select $1'), flush);
    const request = new Request();
    const bytes = head(Frontend.Bind, 5_000_000, Buffer.alloc(8_192));
    request.takeOversized(Frontend.Bind, bytes, 0, bytes.length, statements);
    request.finish('unfinished', statements);
    expect(request).toMatchObject({ isStreaming: true, pinsUnparsed: false });
    expect(request.reason).toBe('batch-undecided');
  });

  it('is refused where a longer name would not fit in', () => {
    const { statements } = setUp();
    const bytes = head(Frontend.Bind, 0x3fff_fffe, Buffer.alloc(8_192));
    expect(() =>
      new Request().takeOversized(Frontend.Bind, bytes, 0, bytes.length, statements),
    ).toThrow(ProtocolError);
  });
});

it('a FunctionCall belongs to the primary', () => {
  const bytes = Buffer.from('F\0\0\0\x0e\0\0\0\0\0\0\0\0\0\0', 'latin1');
  expect(setUp().take(bytes)).toMatchObject({
    access: 'write',
    reason: 'function-call',
    end: 'call',
    isExecuting: true,
    replicaSafeInTransaction: false,
  });
});
