import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { ProxyError } from '../../../src/errors.ts';
import { Exchange } from '../../../src/pool/exchange.ts';
import { type PreparedText, PreparedTexts } from '../../../src/pool/prepared.ts';
import { Settings } from '../../../src/pool/settings.ts';
import { errorField } from '../../../src/protocol/fields.ts';
import * as frontend from '../../../src/protocol/frontend.ts';
import { Classifier } from '../../../src/router/classifier.ts';
import { loadParser } from '../../../src/router/parser.ts';
import { BatchSender, type SenderSession } from '../../../src/session/batch-sender.ts';
import { ParseScope } from '../../../src/session/parse-scope.ts';
import type { Classify, Request } from '../../../src/session/request.ts';
import { SessionState } from '../../../src/session/session-state.ts';
import { ClientStatements } from '../../../src/session/statements.ts';
import { fakeServer, frameTypes, RecordingSink } from '../pool/fake-server.ts';
import { catalog } from '../router/catalog.ts';
import { ExtendedModel, failingText, unparsableText } from './extended-model.ts';
import { readSettings } from './policies.ts';
import { takeMessages } from './take-messages.ts';

beforeAll(loadParser);

const { Statement, Portal } = frontend.TargetKind;
const classifier = new Classifier({ catalog });
const classify: Classify = (buffer, start, end) => classifier.classify(buffer, start, end);

/** A server connection with the model of a backend behind it. */
class Backend {
  readonly server = fakeServer();
  readonly model = new ExtendedModel();

  /** The backend reads what was sent, and its replies arrive. */
  flow(): void {
    const bytes = Buffer.concat(this.server.socket.written.splice(0));
    const replies = this.model.answer(bytes);
    if (replies.length > 0) this.server.socket.deliver(replies);
  }
}

/** A session that does with requests what the runner does, and no more. */
class Session implements SenderSession {
  readonly statements: ClientStatements;
  readonly texts: PreparedTexts;
  readonly statementsMax: number;
  readonly scope: ParseScope;
  knowsServerNames = false;
  readonly base = Settings.none;
  broughtBack(): void {}
  failedAt(): void {}

  get isBatchOpen(): boolean {
    return this.#isOpen;
  }
  readonly sink = new RecordingSink();
  readonly completed: string[] = [];
  #exchange = new Exchange(this.sink);
  #isOpen = false;
  #connection: Backend['server']['connection'] | null = null;
  readonly #borrowed: PreparedText[] = [];

  constructor(texts: PreparedTexts, statementsMax = 100) {
    this.texts = texts;
    this.statementsMax = statementsMax;
    this.statements = new ClientStatements(texts);
    this.scope = new ParseScope(texts, 'app', new SessionState(Settings.none, readSettings()));
    this.sink.ready = () => {
      if (this.sink.events.includes('refused')) this.#connection!.prepared.unnamed = null;
      this.sink.events.length = 0;
      this.statements.settle();
      for (const text of this.#borrowed.splice(0)) texts.drop(text);
      this.statements.endTransaction();
      this.#isOpen = false;
    };
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Whole messages of one request; it is sent, and not yet answered. */
  send(bytes: Buffer, { server }: Backend, failure: ProxyError | null = null): Request {
    const request = takeMessages(bytes, this.statements, classify);
    request.failure = failure;
    const { connection } = server;
    if (!this.#isOpen) {
      this.statements.settle();
      this.#exchange.reset(false);
      this.#connection = connection;
    } else {
      this.#exchange.forgetDone();
    }
    new BatchSender(this, connection, this.#exchange.steps, this.#borrowed).send(request);
    if (this.#isOpen) connection.expectMore(this.#exchange);
    else connection.expect(this.#exchange);
    this.#isOpen = request.end === 'flush';
    return request;
  }

  /** Sends, is answered, and returns the new replies. */
  run(backend: Backend, ...messages: Buffer[]): Buffer {
    const before = this.sink.bytes.length;
    this.send(Buffer.concat(messages), backend);
    backend.flow();
    return this.sink.bytes.subarray(before);
  }

  completedAt(_classified: unknown, index: number, buffer: Buffer, start: number, end: number) {
    this.completed.push(`${index}: ${buffer.toString('latin1', start + 5, end - 1)}`);
  }
}

function setUp(statementsMax?: number) {
  const texts = new PreparedTexts();
  const session = new Session(texts, statementsMax);
  const backend = new Backend();
  return { texts, session, backend };
}

const executed = (name: string) => [
  frontend.bind({ statement: name }),
  frontend.execute(),
  frontend.sync,
];

describe('named statements', () => {
  it('get a name of their own on the server, shared by sessions', () => {
    const { texts, session, backend } = setUp();
    const other = new Session(texts);
    const types = frameTypes(session.run(backend, frontend.parse('a', 'select 1'), frontend.sync));
    expect(types).toBe('1Z');
    other.run(backend, frontend.parse('b', 'select 1'), frontend.sync);
    expect(frameTypes(other.sink.bytes)).toBe('1Z');
    expect([...backend.model.statements]).toEqual([['tidemark_1', 'select 1']]);
    expect(frameTypes(other.run(backend, ...executed('b')))).toBe('2CZ');
    session.statements.close();
    other.statements.close();
    expect(texts.size).toBe(0);
  });

  it('are prepared on demand where they are not, for Bind and Describe alike', () => {
    for (const use of [frontend.bind({ statement: 'a' }), frontend.describe(Statement, 'a')]) {
      const { session, backend } = setUp();
      const other = new Backend();
      session.run(backend, frontend.parse('a', 'select 1'), frontend.sync);
      const replies = session.run(other, use, ...executed('a'));
      expect(frameTypes(replies)).toMatch(/^(2|tn)2CZ$/);
      expect(other.model.parsed).toEqual(['select 1']);
    }
  });

  it('that are closed stay on the server for who prepares them too', () => {
    const { texts, session, backend } = setUp();
    new Session(texts).run(new Backend(), frontend.parse('b', 'select 1'), frontend.sync);
    session.run(backend, frontend.parse('a', 'select 1'), frontend.sync);
    const closed = session.run(backend, frontend.close(Statement, 'a'), frontend.sync);
    expect(frameTypes(closed)).toBe('3Z');
    session.run(backend, frontend.parse('a', 'select 1'), ...executed('a'));
    expect(backend.model.parsed).toEqual(['select 1']);
  });

  it('are evicted beyond the limit, oldest use first', () => {
    const { session, backend } = setUp(2);
    for (const name of ['a', 'b', 'c']) {
      session.run(backend, frontend.parse(name, `select ${name}`), ...executed('a'));
    }
    expect([...backend.model.statements.values()]).toEqual(['select a', 'select c']);
    expect(frameTypes(session.run(backend, ...executed('b')))).toBe('2CZ');
    expect(backend.model.statements.size).toBe(2);
  });

  it('are worded by the proxy when they are missing or there already', () => {
    const { session, backend } = setUp();
    const missing = session.run(backend, ...executed('nobody'));
    expect(frameTypes(missing)).toBe('EZ');
    expect(errorField(missing, 0, missing.length, 'M')).toBe(
      'prepared statement "nobody" does not exist',
    );
    const unnamed = session.run(backend, ...executed(''));
    expect(errorField(unnamed, 0, unnamed.length, 'C')).toBe('26000');
    session.run(backend, frontend.parse('a', 'select 1'), frontend.sync);
    const duplicate = session.run(backend, frontend.parse('a', 'select 2'), ...executed('a'));
    expect(frameTypes(duplicate)).toBe('EZ');
    expect(errorField(duplicate, 0, duplicate.length, 'C')).toBe('42P05');
  });

  it('that only the server knows are passed on', () => {
    const { session, backend } = setUp();
    session.knowsServerNames = true;
    backend.model.statements.set('by_sql', 'select 1');
    expect(frameTypes(session.run(backend, ...executed('by_sql')))).toBe('2CZ');
    session.run(backend, frontend.close(Statement, 'by_sql'), frontend.sync);
    expect(backend.model.statements.size).toBe(0);
  });

  it('can be used behind a Flush before its answer came', () => {
    const { session, backend } = setUp();
    session.send(Buffer.concat([frontend.parse('a', 'select 1'), frontend.flush]), backend);
    session.send(Buffer.concat([frontend.describe(Statement, 'a'), frontend.flush]), backend);
    const request = session.send(Buffer.concat(executed('a')), backend);
    expect(request.reason).toBeNull();
    backend.flow();
    expect(frameTypes(session.sink.bytes)).toBe('1tn2CZ');
    expect(backend.model.parsed).toEqual(['select 1']);
  });
});

describe('the unnamed statement', () => {
  it('is prepared again where it is not, or no more', () => {
    const { texts, session, backend } = setUp();
    const other = new Session(texts);
    session.run(backend, frontend.parse('', 'select 1'), ...executed(''));
    other.run(backend, frontend.parse('', 'select 2'), ...executed(''));
    const replies = session.run(backend, ...executed(''));
    expect(frameTypes(replies)).toBe('2CZ');
    expect(replies.toString('latin1')).toContain('select 1');
  });

  it('goes with Close, and with a Query', () => {
    for (const end of [
      Buffer.concat([frontend.close(Statement), frontend.sync]),
      frontend.query('select 2'),
    ]) {
      const { session, backend } = setUp();
      session.run(backend, frontend.parse('', 'select 1'), frontend.sync);
      session.run(backend, end);
      expect(frameTypes(session.run(backend, ...executed('')))).toBe('EZ');
    }
  });

  it('that follows a Close is there for the next batch', () => {
    const { session, backend } = setUp();
    const first = [frontend.close(Statement), frontend.parse('', 'select 1'), ...executed('')];
    expect(frameTypes(session.run(backend, ...first))).toBe('312CZ');
    expect(frameTypes(session.run(backend, ...executed('')))).toBe('2CZ');
  });
});

describe('what goes out', () => {
  it('is the very bytes that came in where nothing has to be changed', () => {
    const { session, backend } = setUp();
    const bytes = Buffer.concat([
      frontend.parse('', 'select $1'),
      frontend.bind({ params: ['x'] }),
      frontend.describe(Portal),
      frontend.execute(),
      frontend.close(Portal, 'p'),
      frontend.sync,
    ]);
    session.send(bytes, backend);
    expect(backend.server.socket.written).toEqual([bytes]);
  });

  it('tells effects with their place and tag', () => {
    const { session, backend } = setUp();
    session.run(backend, frontend.query('set a.b to 1'));
    expect(session.completed).toEqual(['0: QUERY']);
    session.run(backend, frontend.parse('', 'set a.b to 1'), ...executed(''));
    session.run(backend, frontend.parse('', 'select 1'), ...executed(''));
    expect(session.completed).toEqual(['0: QUERY', '0: set a.b to 1']);
  });

  it('makes the server fail for a request that the proxy refuses', () => {
    for (const messages of [
      [frontend.query('select 1')],
      [frontend.parse('', 'select 1'), ...executed('')],
    ]) {
      const { session, backend } = setUp();
      session.send(Buffer.concat(messages), backend, new ProxyError('notOnReplica'));
      backend.flow();
      expect(frameTypes(session.sink.bytes)).toBe('EZ');
      expect(errorField(session.sink.bytes, 0, session.sink.bytes.length, 'C')).toBe('25006');
      expect(backend.model.parsed).toEqual([]);
    }
  });
});

describe('against a model of the server', () => {
  const names = fc.constantFrom('', 'a', 'b');
  const texts = fc.constantFrom('one', 'two', 'three', unparsableText, failingText);
  const portals = fc.constantFrom('', 'p');
  const message = fc.oneof(
    fc.tuple(names, texts).map(([name, text]) => frontend.parse(name, text)),
    fc.tuple(names, texts).map(([name, text]) => frontend.parse(name, text)),
    fc
      .tuple(portals, names)
      .map(([portal, statement]) => frontend.bind({ portal, statement, params: ['x', null] })),
    portals.map((portal) => frontend.execute(portal)),
    names.map((name) => frontend.describe(Statement, name)),
    names.map((name) => frontend.close(Statement, name)),
    portals.map((portal) => frontend.close(Portal, portal)),
  );
  const batch = fc.record({
    parts: fc.array(fc.array(message, { maxLength: 5 }), { minLength: 1, maxLength: 3 }),
    query: fc.nat(9).map((n) => n === 0),
    session: fc.nat(1),
    backend: fc.nat(1),
    /** The client does not wait for the answer to its Flush. */
    pipelined: fc.boolean(),
  });

  it('every session hears what it would hear on a connection of its own', () => {
    fc.assert(
      fc.property(
        fc.array(batch, { maxLength: 12 }),
        fc.integer({ min: 1, max: 3 }),
        (batches, statementsMax) => {
          const shared = new PreparedTexts();
          const sessions = [0, 1].map(() => ({
            session: new Session(shared, statementsMax),
            direct: new ExtendedModel(),
          }));
          const backends = [new Backend(), new Backend()];
          for (const { parts, query, session: who, backend: where, pipelined } of batches) {
            const { session, direct } = sessions[who]!;
            const backend = backends[where]!;
            const expected: Buffer[] = [];
            const before = session.sink.bytes.length;
            for (const [index, part] of parts.entries()) {
              const end = index === parts.length - 1 ? frontend.sync : frontend.flush;
              const bytes = query ? frontend.query('q') : Buffer.concat([...part, end]);
              session.send(bytes, backend);
              expected.push(direct.answer(bytes));
              if (!pipelined || !session.isOpen) backend.flow();
            }
            const heard = session.sink.bytes.subarray(before);
            expect(heard.toString('latin1')).toBe(Buffer.concat(expected).toString('latin1'));
            expect(backend.server.connection.isReleasable).toBe(true);
            // Every batch that ends well leaves no more than that.
            const named = [...backend.model.statements.keys()].filter((name) => name !== '');
            const isWell = !query && !frameTypes(heard).includes('E');
            if (isWell) expect(named.length).toBeLessThanOrEqual(statementsMax);
          }
          for (const { session } of sessions) session.statements.close();
          expect(shared.size).toBe(0);
        },
      ),
      { numRuns: 1500 },
    );
  });
});
