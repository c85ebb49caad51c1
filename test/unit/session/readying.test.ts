import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ProxyError } from '../../../src/errors.ts';
import { type PreparedText, PreparedTexts } from '../../../src/pool/prepared.ts';
import { Settings, settingFromSet } from '../../../src/pool/settings.ts';
import {
  closeComplete,
  commandComplete,
  errorResponse,
  parseComplete,
  readyForQueryIdle,
  rowDescription,
} from '../../../src/protocol/backend.ts';
import { TxStatus } from '../../../src/protocol/codes.ts';
import { resultShape } from '../../../src/protocol/description.ts';
import { errorField } from '../../../src/protocol/fields.ts';
import * as frontend from '../../../src/protocol/frontend.ts';
import { Classifier } from '../../../src/router/classifier.ts';
import { loadParser } from '../../../src/router/parser.ts';
import { ParseScope } from '../../../src/session/parse-scope.ts';
import { Readying } from '../../../src/session/readying.ts';
import type { Request } from '../../../src/session/request.ts';
import { SessionState } from '../../../src/session/session-state.ts';
import { ClientStatements } from '../../../src/session/statements.ts';
import { fakeServer, frameTypes, parameterDescription } from '../pool/fake-server.ts';
import { catalog } from '../router/catalog.ts';
import { readSettings } from './policies.ts';
import { takeMessages } from './take-messages.ts';

beforeAll(loadParser);

const { bind, describe: describeMessage, execute, parse, query, sync } = frontend;
const { Statement } = frontend.TargetKind;
const classifier = new Classifier({ catalog });

const textOid = 25;
const result = rowDescription([{ name: 'a', typeOid: textOid }]);
const otherResult = rowDescription([{ name: 'b', typeOid: textOid }]);
const refusal = errorResponse({ severity: 'ERROR', sqlstate: '42703', message: 'no column' });
const asAnn = Settings.of([['role', settingFromSet('role', "'ann'")]]);

/** A session that has a server connection, and what it hears of that. */
function setUp() {
  const { socket, connection: server } = fakeServer();
  const texts = new PreparedTexts();
  const state = new SessionState(Settings.none, readSettings());
  const statements = new ClientStatements(texts);
  const scope = new ParseScope(texts, 'd', state);
  const heard: string[] = [];
  const session = { hasServer: true };
  const readying = new Readying(state, {
    statements,
    scope,
    holds: (asked) => session.hasServer && asked === server,
    serverReady: () => heard.push('ready'),
    serverNotReady: ({ code }) => heard.push(`not ready: ${code}`),
    serverClosed: () => heard.push('closed'),
  });
  const take = (...messages: Buffer[]): Request =>
    takeMessages(Buffer.concat(messages), statements, (buffer, start, end) =>
      classifier.classify(buffer, start, end),
    );
  /** A statement that was described before the catalog changed, and is not on the server. */
  const preparedLongAgo = (name: string, sql: string): PreparedText => {
    const [made] = take(parse(name, sql), sync).parsed;
    const text = texts.use(made!.text.body, scope.key);
    text.description = { parameters: [textOid], result: resultShape(result, 0, result.length) };
    statements.add(name, { text, classified: made!.classified });
    texts.catalogChanged('d');
    return text;
  };
  const begin = (request: Request, isBatchOpen = false) =>
    readying.begin(server, request, isBatchOpen);
  const asked = () => Buffer.concat(socket.written.splice(0));
  const answer = (...replies: Buffer[]) => socket.deliver(...replies, readyForQueryIdle);
  return { server, state, heard, session, readying, take, preparedLongAgo, begin, asked, answer };
}

let all: ReturnType<typeof setUp>;
beforeEach(() => {
  all = setUp();
});

const sqlOf = (bytes: Buffer) => bytes.toString('latin1');
const codeOf = (failure: Request['failure']) =>
  Buffer.isBuffer(failure) ? errorField(failure, 0, failure.length, 'C') : failure?.code;

describe('a server connection', () => {
  it('is ready at once where there is nothing to change', () => {
    const { take, begin, heard, asked } = all;
    begin(take(query('select 1')));
    expect(heard).toEqual(['ready']);
    expect(asked()).toHaveLength(0);
  });

  it('is asked nothing within a batch', () => {
    const { state, take, begin, heard, asked, preparedLongAgo } = all;
    state.settings = asAnn;
    preparedLongAgo('s', 'select 1');
    begin(take(bind({ statement: 's' }), execute(), sync), true);
    expect(heard).toEqual(['ready']);
    expect(asked()).toHaveLength(0);
  });
});

describe('a role', () => {
  beforeEach(() => {
    const { state, take, begin, heard } = all;
    state.settings = asAnn;
    begin(take(query('select 1')));
    expect(heard).toEqual([]);
  });

  it('is taken before the request is sent', () => {
    const { server, heard, asked, answer } = all;
    const bytes = asked();
    expect(frameTypes(bytes)).toBe('Q');
    expect(sqlOf(bytes)).toContain(asAnn.roleSql);
    answer(commandComplete('SET'));
    expect(heard).toEqual(['ready']);
    expect(server.settings).toBe(asAnn);
    expect(asked()).toHaveLength(0);
  });

  it('that is refused is the failure of the request', () => {
    const { server, heard, answer } = all;
    answer(refusal);
    expect(heard).toEqual(['not ready: settingsRefused']);
    expect(server.settings).toBeNull();
  });

  it.each([
    ['taken', commandComplete('SET')],
    ['refused', refusal],
  ])('that is %s after a cancel request leaves the request cancelled', (_, reply) => {
    const { readying, heard, answer } = all;
    readying.isCancelled = true;
    answer(reply);
    expect(heard).toEqual(['not ready: queryCanceled']);
  });

  it('is not taken by a connection that closes, which is said once', () => {
    const { server, heard } = all;
    server.close('server-closed');
    expect(heard).toEqual(['closed']);
  });

  it('does not matter any more to a session that has left', () => {
    const { session, server, heard, answer } = all;
    session.hasServer = false;
    answer(commandComplete('SET'));
    server.close('server-closed');
    expect(heard).toEqual([]);
  });
});

it('a role comes before the statements that are prepared as it', () => {
  const { state, take, begin, heard, asked, answer, preparedLongAgo } = all;
  state.settings = asAnn;
  preparedLongAgo('s', 'select 1');
  begin(take(bind({ statement: 's' }), execute(), sync));
  expect(frameTypes(asked())).toBe('Q');
  answer(commandComplete('SET'));
  expect(frameTypes(asked())).toBe('PDS');
  answer(parseComplete, parameterDescription, result);
  expect(heard).toEqual(['ready']);
});

describe('a statement that was prepared before the catalog changed', () => {
  const again = [parseComplete, parameterDescription, result];
  const changed = [parseComplete, parameterDescription, otherResult];
  let text: PreparedText;
  let request: Request;

  beforeEach(() => {
    text = all.preparedLongAgo('s', 'select $1');
    // Something stands in front of the message that names it.
    request = all.take(parse('', 'select 2'), bind({ statement: 's' }), execute(), sync);
  });

  it('is prepared as it was, with the types of its parameters', () => {
    const { server, begin, heard, asked, answer } = all;
    begin(request);
    expect(heard).toEqual([]);
    expect(asked()).toEqual(
      Buffer.concat([
        parse(text.name, 'select $1', [textOid]),
        describeMessage(Statement, text.name),
        sync,
      ]),
    );
    answer(...again);
    expect(heard).toEqual(['ready']);
    expect(request.failure).toBeNull();
    expect(server.prepared.has(text)).toBe(true);
    expect(asked()).toHaveLength(0);
  });

  it('is not asked for where it is there already', () => {
    const { server, begin, heard, asked } = all;
    server.prepared.announce(text);
    begin(request);
    expect(heard).toEqual(['ready']);
    expect(asked()).toHaveLength(0);
  });

  it('that gives something else fails where it is named, and is removed', () => {
    const { server, begin, heard, asked, answer } = all;
    begin(request);
    asked();
    answer(...changed);
    expect(heard).toEqual(['ready']);
    expect(codeOf(request.failure)).toBe('0A000');
    expect(request.failsAt).toBe(1);
    expect(frameTypes(asked())).toBe('CS');
    answer(closeComplete);
    expect(server.prepared.has(text)).toBe(false);
  });

  it('that the server refuses fails with what the server says', () => {
    const { server, begin, heard, answer } = all;
    begin(request);
    answer(refusal);
    expect(heard).toEqual(['ready']);
    expect(request.failure).toEqual(refusal);
    expect(request.failsAt).toBe(1);
    expect(server.prepared.has(text)).toBe(false);
  });

  it('whose Describe fails is told with its parameters, as PostgreSQL does', () => {
    const { take, begin, answer } = all;
    const described = take(describeMessage(Statement, 's'), sync);
    begin(described);
    answer(refusal);
    expect(frameTypes(described.failure as Buffer)).toBe('tE');
  });

  it.each([
    ['again', again],
    ['refused', [refusal]],
  ])('that is prepared (%s) after a cancel request fails as cancelled', (_, replies) => {
    const { readying, begin, heard, answer } = all;
    begin(request);
    readying.isCancelled = true;
    answer(...replies);
    expect(heard).toEqual(['ready']);
    expect(request.failure).toBeInstanceOf(ProxyError);
    expect(codeOf(request.failure)).toBe('queryCanceled');
    expect(request.failsAt).toBe(1);
  });

  it('is one of several, which are asked for in their order until one fails', () => {
    const { take, begin, heard, asked, answer, preparedLongAgo } = all;
    const others = ['t', 'u'].map((name) => preparedLongAgo(name, `select ${name}`));
    const parts = ['s', 't', 'u'].map((statement) => bind({ statement, portal: statement }));
    const several = take(...parts, sync);
    begin(several);
    expect(sqlOf(asked())).toContain(text.name);
    answer(...again);
    expect(heard).toEqual([]);
    expect(sqlOf(asked())).toContain(others[0]!.name);
    answer(refusal);
    expect(heard).toEqual(['ready']);
    expect(several.failsAt).toBe(1);
    expect(asked()).toHaveLength(0);
  });

  it('is prepared with the settings of the session', () => {
    const { state, server, begin, heard, asked, answer } = all;
    state.settings = Settings.of([['work_mem', settingFromSet('work_mem', "'7MB'")]]);
    begin(request);
    const bytes = asked();
    expect(frameTypes(bytes)).toBe('QPDS');
    expect(sqlOf(bytes)).toContain('7MB');
    expect(server.settings).toBe(state.settings);
    answer(commandComplete('SET'));
    expect(heard).toEqual([]);
    answer(...again);
    expect(heard).toEqual(['ready']);
  });

  it('is not asked for by a request that fails anyway', () => {
    const { begin, heard, asked } = all;
    const failure = new ProxyError('notOnReplica');
    request.failure = failure;
    begin(request);
    expect(heard).toEqual(['ready']);
    expect(request.failure).toBe(failure);
    expect(asked()).toHaveLength(0);
  });

  it('is not asked for in a failed transaction', () => {
    const { server, begin, heard, asked } = all;
    server.txStatus = TxStatus.Failed;
    begin(request);
    expect(heard).toEqual(['ready']);
    expect(asked()).toHaveLength(0);
  });

  it('is not prepared by a connection that closes, which is said once', () => {
    const { server, begin, heard } = all;
    begin(request);
    server.close('server-closed');
    expect(heard).toEqual(['closed']);
    expect(request.failure).toBeNull();
  });

  it('does not matter any more to a session that has left', () => {
    const { session, begin, heard, answer } = all;
    begin(request);
    session.hasServer = false;
    answer(refusal);
    expect(heard).toEqual([]);
    expect(request.failure).toBeNull();
  });
});
