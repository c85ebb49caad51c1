import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { Exchange } from '../../../src/pool/exchange.ts';
import { ServerConnection } from '../../../src/pool/server-connection.ts';
import { Settings, settingFromSet } from '../../../src/pool/settings.ts';
import { Op, type Step, steps } from '../../../src/pool/step.ts';
import {
  bindComplete,
  closeComplete,
  commandComplete,
  dataRow,
  emptyQueryResponse,
  errorResponse,
  noData,
  noticeResponse,
  parameterStatus,
  parseComplete,
  readyForQueryFailed,
  readyForQueryIdle,
  readyForQueryInTransaction,
  rowDescription,
} from '../../../src/protocol/backend.ts';
import { Backend, TxStatus } from '../../../src/protocol/codes.ts';
import { query } from '../../../src/protocol/frontend.ts';
import { message } from '../../../src/protocol/writer.ts';
import {
  copyInResponse,
  copyOutResponse,
  FakeSocket,
  fakeServer,
  frameTypes,
  functionCallResponse,
  notification,
  parameterDescription,
  portalSuspended,
  RecordingSink,
} from './fake-server.ts';

const report = (severity: string, sqlstate = '42601', text = 'no good') => ({
  severity,
  sqlstate,
  message: text,
});
const error = errorResponse(report('ERROR'));
const fatal = errorResponse(report('FATAL', '57P01', 'terminating connection'));
const notice = noticeResponse(report('NOTICE', '00000', 'by the way'));
const description = rowDescription([{ name: 'a', typeOid: 25 }]);
const row = dataRow(['value']);
const selected = commandComplete('SELECT 1');

const fake = (reply: Buffer, done: Step['done'] = null): Step => ({
  op: Op.Fake,
  skip: false,
  replacement: reply,
  done,
});
const skipped = (op: Op, done: Step['done'] = null): Step => ({
  op,
  skip: true,
  replacement: null,
  done,
});

function checkedOut(expected: readonly Step[], holding = false) {
  const server = fakeServer();
  const sink = new RecordingSink();
  const exchange = new Exchange(sink);
  exchange.reset(holding);
  exchange.steps.push(...expected);
  server.connection.owner = sink;
  server.connection.expect(exchange);
  return { ...server, sink, exchange };
}

describe('forwarding', () => {
  const conversations: readonly {
    readonly name: string;
    readonly expected: readonly Step[];
    readonly replies: readonly Buffer[];
    readonly types: string;
    readonly events: readonly string[];
  }[] = [
    {
      name: 'a simple query with several results',
      expected: [steps.query],
      replies: [
        ...[description, row, row, selected, notice],
        ...[commandComplete('SET'), parameterStatus('TimeZone', 'UTC'), emptyQueryResponse],
        readyForQueryIdle,
      ],
      types: 'TDDCNCSIZ',
      events: ['ready I'],
    },
    {
      name: 'an extended batch',
      expected: [steps.parse, steps.bind, steps.describe, steps.execute, steps.close, steps.sync],
      replies: [
        ...[parseComplete, bindComplete, description, row, selected, closeComplete],
        readyForQueryInTransaction,
      ],
      types: '12TDC3Z',
      events: ['ready T'],
    },
    {
      name: 'a described statement without rows, and a suspended portal',
      expected: [steps.describe, steps.describe, steps.execute, steps.sync],
      replies: [
        ...[parameterDescription, noData, parameterDescription, description, row, portalSuspended],
        readyForQueryIdle,
      ],
      types: 'tntTDsZ',
      events: ['ready I'],
    },
    {
      name: 'faked replies in their turn',
      expected: [
        ...[fake(parseComplete), steps.describe, fake(parseComplete), steps.bind, steps.execute],
        ...[fake(closeComplete), fake(closeComplete), steps.sync],
      ],
      replies: [parameterDescription, description, bindComplete, selected, readyForQueryIdle],
      types: '1tT12C33Z',
      events: ['ready I'],
    },
    {
      name: 'skipped replies',
      expected: [
        ...[skipped(Op.Parse), steps.bind, steps.execute, skipped(Op.Close), skipped(Op.Close)],
        steps.sync,
      ],
      replies: [
        ...[parseComplete, bindComplete, row, selected, closeComplete, closeComplete],
        readyForQueryIdle,
      ],
      types: '2DCZ',
      events: ['ready I'],
    },
    {
      name: 'an error that makes the server skip to Sync',
      expected: [steps.parse, steps.bind, fake(closeComplete), steps.execute, steps.sync],
      replies: [parseComplete, error, readyForQueryIdle],
      types: '1EZ',
      events: ['refused', 'ready I'],
    },
    {
      name: 'the error of a skipped step',
      expected: [skipped(Op.Parse), steps.bind, steps.execute, steps.sync],
      replies: [error, readyForQueryFailed],
      types: 'EZ',
      events: ['refused', 'ready E'],
    },
    {
      name: 'two batches in one exchange, the first of which fails',
      expected: [steps.bind, steps.sync, steps.parse, steps.sync],
      replies: [error, readyForQueryIdle, parseComplete, readyForQueryIdle],
      types: 'EZ1Z',
      events: ['refused', 'ready I'],
    },
    {
      name: 'an error at Sync',
      expected: [steps.execute, steps.sync],
      replies: [commandComplete('INSERT 0 1'), error, readyForQueryIdle],
      types: 'CEZ',
      events: ['refused', 'ready I'],
    },
    {
      name: 'COPY out',
      expected: [steps.query],
      replies: [
        copyOutResponse,
        message(Backend.CopyData, (w) => w.text('a\tb\n')),
        message(Backend.CopyDone, () => {}),
        commandComplete('COPY 1'),
        readyForQueryIdle,
      ],
      types: 'HdcCZ',
      events: ['ready I'],
    },
    {
      name: 'COPY in',
      expected: [steps.query],
      replies: [copyInResponse, notice, commandComplete('COPY 1'), readyForQueryIdle],
      types: 'GNCZ',
      events: ['copyIn', 'ready I'],
    },
    {
      name: 'a function call',
      expected: [steps.functionCall],
      replies: [functionCallResponse, readyForQueryIdle],
      types: 'VZ',
      events: ['ready I'],
    },
  ];

  // Two Syncs make two exchanges' worth of ReadyForQuery: one `ready` at the end of all steps.
  for (const { name, expected, replies, types, events } of conversations) {
    const stream = Buffer.concat(replies);

    it(name, () => {
      const { socket, connection, sink, exchange } = checkedOut(expected);
      socket.deliver(stream);
      expect(sink.types).toBe(types);
      expect(sink.events).toEqual(events);
      expect(exchange.isComplete).toBe(true);
      expect(connection.closedFor).toBeNull();
      expect(connection.isReleasable).toBe(stream.at(-1) === TxStatus.Idle);
    });

    it(`${name}, cut anywhere, held or not`, () => {
      const whole = checkedOut(expected);
      whole.socket.deliver(stream);
      for (const holding of [false, true]) {
        for (let cut = 1; cut < stream.length; cut++) {
          const { socket, sink } = checkedOut(expected, holding);
          socket.deliver(stream.subarray(0, cut));
          socket.deliver(stream.subarray(cut));
          expect(sink.bytes).toEqual(whole.sink.bytes);
          expect(sink.events.filter((event) => event !== 'retries')).toEqual(events);
        }
        const { socket, sink } = checkedOut(expected, holding);
        for (const byte of stream) socket.deliver(Buffer.of(byte));
        expect(sink.bytes).toEqual(whole.sink.bytes);
      }
    });
  }

  it('tells each completed statement of a query, with its frame', () => {
    const tags: string[] = [];
    const done = (buffer: Buffer, start: number, end: number) =>
      tags.push(buffer.toString('latin1', start + 5, end - 1));
    const { socket } = checkedOut([{ ...steps.query, done }]);
    socket.deliver(commandComplete('BEGIN'), commandComplete('SET'), readyForQueryInTransaction);
    expect(tags).toEqual(['BEGIN', 'SET']);
  });

  it('runs skip and done only for what completed', () => {
    const done: string[] = [];
    const step = (op: Op, name: string) => skipped(op, () => done.push(name));
    const { socket } = checkedOut([
      step(Op.Parse, 'parse'),
      fake(parseComplete, () => done.push('fake')),
      step(Op.Bind, 'bind'),
      fake(closeComplete, () => done.push('late fake')),
      steps.sync,
    ]);
    socket.deliver(parseComplete, error, readyForQueryIdle);
    expect(done).toEqual(['parse', 'fake']);
  });

  it('sends the wording of the proxy in place of the error, in its turn', () => {
    const worded = errorResponse(report('ERROR', '26000', 'prepared statement "a" does not exist'));
    const { socket, sink } = checkedOut([
      steps.parse,
      { ...steps.bind, replacement: worded },
      steps.sync,
    ]);
    socket.deliver(parseComplete, error, readyForQueryIdle);
    expect(sink.bytes).toEqual(Buffer.concat([parseComplete, worded, readyForQueryIdle]));
  });

  it('answers one exchange after the other', () => {
    const { socket, connection, sink } = checkedOut([steps.query]);
    const other = new RecordingSink();
    const second = new Exchange(other);
    second.steps.push(fake(parseComplete), steps.bind, steps.sync);
    connection.expect(second);
    expect(other.types).toBe('');
    socket.deliver(row, selected, readyForQueryIdle, bindComplete, readyForQueryIdle);
    expect(sink.types).toBe('DCZ');
    expect(other.types).toBe('12Z');
  });
});

describe('an open batch', () => {
  it('goes on with steps that are added later', () => {
    const { socket, connection, sink, exchange } = checkedOut([steps.parse]);
    socket.deliver(parseComplete);
    expect(exchange.isComplete).toBe(true);
    expect(sink.types).toBe('1');
    exchange.steps.push(fake(parseComplete), steps.bind, steps.execute, steps.sync);
    connection.expectMore(exchange);
    expect(sink.types).toBe('11');
    socket.deliver(bindComplete, selected, readyForQueryIdle);
    expect(sink.types).toBe('112CZ');
    expect(sink.events).toEqual(['ready I']);
  });

  it('fakes nothing while the server skips to Sync', () => {
    const done: string[] = [];
    const { socket, connection, sink, exchange } = checkedOut([steps.parse]);
    socket.deliver(error);
    exchange.steps.push(
      fake(parseComplete, () => done.push('fake')),
      steps.bind,
      steps.sync,
    );
    connection.expectMore(exchange);
    socket.deliver(readyForQueryIdle);
    expect(sink.types).toBe('EZ');
    expect(done).toEqual([]);
  });
});

describe('outside an exchange', () => {
  it('gives notices and notifications to the owner', () => {
    const { socket, connection } = fakeServer();
    const sink = new RecordingSink();
    connection.owner = sink;
    socket.deliver(notification, notice, notification);
    expect(sink.types).toBe('ANA');
    sink.takesNotifications = false;
    socket.deliver(notification, notice, notification);
    expect(sink.types).toBe('ANAN');
  });

  it('drops them, and remembers parameters, without an owner', () => {
    const { socket, connection } = fakeServer();
    socket.deliver(notification, notice, parameterStatus('TimeZone', 'UTC'));
    expect(connection.closedFor).toBeNull();
    expect(connection.params.get('TimeZone')).toBe('UTC');
  });

  it('closes for a reply that nobody asked for', () => {
    for (const reply of [row, selected, readyForQueryIdle, parseComplete, description]) {
      const { socket, connection } = fakeServer();
      socket.deliver(reply);
      expect(connection.closedFor).toBe('protocol-violation');
    }
  });
});

describe("the proxy's own queries", () => {
  it('are answered to nobody, with their error, and destroy the unnamed statement', () => {
    const { socket, connection } = fakeServer();
    const sink = new RecordingSink();
    connection.owner = sink;
    const results: (string | null)[] = [];
    for (let i = 0; i < 2; i++) {
      connection.runOwn(query('SET a TO 1'), (exchange) =>
        results.push(exchange.error?.toString('latin1') ?? null),
      );
    }
    expect(socket.takeWritten()).toBe('QQ');
    socket.deliver(notice, description, row, selected, parameterStatus('a', '1'));
    socket.deliver(readyForQueryIdle, error, error, readyForQueryIdle);
    expect(results).toEqual([null, error.toString('latin1')]);
    expect(sink.types).toBe('');
    expect(connection.params.get('a')).toBe('1');
  });

  it('finish with status 0 when the connection closes', () => {
    const { connection } = fakeServer();
    const statuses: number[] = [];
    connection.runOwn(query(''), (_, status) => statuses.push(status));
    connection.close('node-down');
    expect(statuses).toEqual([0]);
  });

  it('tell when everything is quiet, once', () => {
    const { socket, connection } = fakeServer();
    let quiet = 0;
    connection.runOwn(query(''), () => {});
    connection.runOwn(query(''), () => {});
    connection.onQuiet = () => {
      quiet += 1;
    };
    socket.deliver(emptyQueryResponse, readyForQueryIdle);
    expect(quiet).toBe(0);
    socket.deliver(emptyQueryResponse, readyForQueryIdle);
    expect(quiet).toBe(1);
  });
});

describe('a ReadyForQuery that the sink keeps', () => {
  it.each([false, true])('is not forwarded, everything before it is (held back: %s)', (holding) => {
    const { socket, sink, connection } = checkedOut([steps.query], holding);
    sink.keepsReadyForQuery = true;
    socket.deliver(Buffer.concat([description, row, selected, readyForQueryIdle]));
    expect(sink.types).toBe('TDC');
    expect(sink.events).toEqual(['ready I']);
    expect(connection.isReleasable).toBe(true);
  });

  it('is that of its own exchange alone', () => {
    const { socket, sink, connection } = checkedOut([steps.query]);
    sink.keepsReadyForQuery = true;
    const other = new RecordingSink();
    const next = new Exchange(other);
    next.reset(false);
    next.steps.push(steps.query);
    connection.expect(next);
    const reply = Buffer.concat([selected, readyForQueryIdle]);
    socket.deliver(Buffer.concat([reply, reply]));
    expect([sink.types, other.types]).toEqual(['C', 'CZ']);
  });
});

describe('a long batch', () => {
  it('keeps no steps that are done', () => {
    const { socket, connection, exchange } = checkedOut([steps.parse]);
    for (let part = 0; part < 1_000; part++) {
      socket.deliver(parseComplete);
      exchange.forgetDone();
      exchange.steps.push(steps.parse);
      connection.expectMore(exchange);
      expect(exchange.steps.length).toBeLessThan(3);
    }
  });
});

describe('holding back', () => {
  const extended = [steps.parse, steps.bind, steps.describe, steps.execute, steps.sync];

  it('keeps everything until the first row', () => {
    const { socket, sink, exchange } = checkedOut(extended, true);
    socket.deliver(parseComplete, bindComplete);
    socket.deliver(description);
    expect(sink.types).toBe('');
    expect(exchange.emitted).toBe(false);
    socket.deliver(row);
    expect(sink.types).toBe('12TD');
    expect(exchange.emitted).toBe(true);
  });

  it('drops the exchange when it runs elsewhere', () => {
    const { socket, connection, sink, exchange } = checkedOut(extended, true);
    sink.runsElsewhere = true;
    socket.deliver(parseComplete, bindComplete);
    socket.deliver(notice, error, notice, readyForQueryIdle);
    expect(sink.bytes).toHaveLength(0);
    expect(sink.events).toEqual(['retries', 'ready I']);
    expect(exchange.dropped).toBe(true);
    expect(connection.isReleasable).toBe(true);
  });

  it('gives out what it held, then the error, when it does not', () => {
    const { socket, sink } = checkedOut(extended, true);
    socket.deliver(parseComplete);
    socket.deliver(bindComplete, error, readyForQueryIdle);
    expect(sink.types).toBe('12EZ');
    expect(sink.events).toEqual(['retries', 'refused', 'ready I']);
  });

  it('asks no more once a row went out', () => {
    const { socket, sink } = checkedOut(extended, true);
    sink.runsElsewhere = true;
    socket.deliver(parseComplete, bindComplete, description, row, error, readyForQueryIdle);
    expect(sink.types).toBe('12TDEZ');
    expect(sink.events).toEqual(['refused', 'ready I']);
  });

  it('starts anew on another connection when one was lost', () => {
    const { socket, sink, exchange } = checkedOut(extended, true);
    socket.deliver(parseComplete, bindComplete);
    socket.emit('close');
    expect(sink.events).toEqual(['lost -']);
    const other = fakeServer();
    exchange.reset(true);
    exchange.steps.push(...extended);
    other.connection.expect(exchange);
    other.socket.deliver(parseComplete, bindComplete, noData, selected, readyForQueryIdle);
    expect(sink.types).toBe('12nCZ');
  });

  it('does not hold a flood of notices', () => {
    const { socket, sink, exchange } = checkedOut([steps.query], true);
    const flood = Buffer.concat(Array.from({ length: 1000 }, () => notice));
    for (let i = 0; i < 20; i++) socket.deliver(flood);
    expect(exchange.held).toEqual([]);
    expect(sink.bytes.length).toBe(20 * flood.length);
  });
});

describe('the end of a connection', () => {
  it('passes the last words of the server to who waits', () => {
    const { socket, connection, sink } = checkedOut([steps.query]);
    socket.deliver(row, fatal);
    socket.emit('end');
    expect(sink.types).toBe('D');
    expect(sink.events).toEqual(['lost terminating connection']);
    expect(connection.closedFor).toBe('server-closed');
    expect(socket.destroyed).toBe(true);
  });

  it('says it once, to the pool first', () => {
    const { socket, connection, sink } = checkedOut([steps.query]);
    const order: string[] = [];
    connection.onClosed = (_, reason) => order.push(reason, ...sink.events);
    socket.emit('error', new Error('ECONNRESET'));
    socket.emit('close');
    socket.emit('end');
    connection.close('lifetime');
    expect(order).toEqual(['socket-error']);
    expect(sink.events).toEqual(['lost -']);
  });

  it('tells an owner that waits for nothing', () => {
    const { socket, connection } = fakeServer();
    const sink = new RecordingSink();
    connection.owner = sink;
    socket.emit('close');
    expect(sink.events).toEqual(['gone']);
  });

  it('tells every session in the pipeline', () => {
    const { connection, sink } = checkedOut([steps.query]);
    const other = new RecordingSink();
    connection.expect(new Exchange(other));
    connection.close('node-down');
    expect(sink.events).toEqual(['lost -']);
    expect(other.events).toEqual(['lost -']);
  });

  it('knows whether the client has half a frame', () => {
    const wholeRow = checkedOut([steps.query]);
    wholeRow.socket.deliver(row, row.subarray(0, 4));
    wholeRow.socket.emit('close');
    expect(wholeRow.sink.events).toEqual(['lost -']);

    const halfRow = checkedOut([steps.query]);
    halfRow.socket.deliver(row, row.subarray(0, 8));
    halfRow.socket.emit('close');
    expect(halfRow.sink.events).toEqual(['lost - mid-frame']);
    expect(halfRow.sink.types).toBe('D?');
  });

  it('does not take a held half frame for one', () => {
    const { socket, sink } = checkedOut([steps.query], true);
    socket.deliver(description.subarray(0, 10));
    socket.emit('close');
    expect(sink.bytes).toHaveLength(0);
    expect(sink.events).toEqual(['lost -']);
  });

  it('knows it too when the frame goes on into garbage', () => {
    const { socket, sink } = checkedOut([steps.query]);
    socket.deliver(row.subarray(0, 8));
    socket.deliver(row.subarray(8), Buffer.of(0x44, 0, 0, 0, 1));
    const isCut = sink.types.endsWith('?');
    expect(sink.events).toEqual([isCut ? 'lost - mid-frame' : 'lost -']);
  });

  it('takes nothing after it', () => {
    const { connection } = fakeServer();
    connection.close('lifetime');
    expect(() => connection.expect(new Exchange(null))).toThrow();
  });
});

describe('what a server must not say', () => {
  const frame = (type: number, ...body: number[]) =>
    message(type, (writer) => writer.bytes(Buffer.from(body)));
  const violations: readonly (readonly [string, Buffer])[] = [
    ['a length of 0', Buffer.of(0x43, 0, 0, 0, 0)],
    ['a length of 3', Buffer.of(0x43, 0, 0, 0, 3)],
    ['2 GB that would have to be held', Buffer.of(0x43, 0x7f, 0xff, 0xff, 0xff)],
    ['an unknown type', frame(0xff)],
    ['a login message', frame(Backend.Authentication, 0, 0, 0, 0)],
    ['a cancel key', frame(Backend.BackendKeyData, 0, 0, 0, 1, 0, 0, 0, 1)],
    ['an error without its end', frame(Backend.ErrorResponse, 0x53, 0x45)],
    ['a parameter without its end', frame(Backend.ParameterStatus, 0x53, 0x45)],
    ['ReadyForQuery without a status', frame(Backend.ReadyForQuery)],
    ['ReadyForQuery with an unknown status', frame(Backend.ReadyForQuery, 0x58)],
    ['ParseComplete of a query', parseComplete],
    ['CommandComplete of nothing', Buffer.concat([readyForQueryIdle, selected])],
  ];
  for (const [name, bytes] of violations) {
    it(`${name}: the connection closes, the sink hears it`, () => {
      const { socket, connection, sink } = checkedOut([steps.query]);
      socket.deliver(bytes);
      expect(connection.closedFor).toBe('protocol-violation');
      expect(sink.events.at(-1)).toMatch(/^(lost|gone)/);
      const heard = sink.chunks.length;
      socket.deliver(row);
      expect(sink.chunks).toHaveLength(heard);
    });
  }

  it('ReadyForQuery without a Sync', () => {
    const { socket, connection } = checkedOut([steps.parse]);
    socket.deliver(parseComplete, readyForQueryIdle);
    expect(connection.closedFor).toBe('protocol-violation');
  });

  it('writes nothing behind the end', () => {
    const { socket, sink } = checkedOut([steps.parse, fake(closeComplete), steps.sync]);
    socket.deliver(frame(0xff));
    expect(sink.types).not.toContain('3');
  });

  it('random bytes never throw, and always end in a known state', () => {
    const types = Object.values(Backend) as number[];
    const anyFrame = fc
      .tuple(fc.constantFrom(...types, 1, 0xff), fc.uint8Array({ maxLength: 12 }))
      .map(([type, body]) => message(type, (writer) => writer.bytes(body)));
    const anyBytes = fc.uint8Array({ maxLength: 24 }).map((bytes) => Buffer.from(bytes));
    const good = fc.constantFrom(
      ...[parseComplete, bindComplete, description, row, selected, error, notice],
      ...[readyForQueryIdle, copyInResponse, fatal, noData, closeComplete],
    );
    const anyStep = fc.constantFrom(
      ...[steps.parse, steps.bind, steps.execute, steps.sync, steps.query, steps.skippedClose],
      fake(parseComplete),
    );
    fc.assert(
      fc.property(
        fc.array(anyStep, { maxLength: 6 }),
        fc.boolean(),
        fc.boolean(),
        fc.array(fc.oneof(good, good, anyFrame, anyBytes), { maxLength: 12 }),
        (expected, holding, runsElsewhere, parts) => {
          const { socket, connection, sink } = checkedOut([...expected, steps.sync], holding);
          sink.runsElsewhere = runsElsewhere;
          for (const part of parts) if (connection.closedFor === null) socket.deliver(part);
          const before = sink.events.filter((event) => /^(ready|lost)/.test(event)).length;
          connection.close('node-down');
          const ends = sink.events.filter((event) => /^(ready|lost)/.test(event)).length;
          expect(before).toBeLessThanOrEqual(1);
          expect(ends).toBe(1);
        },
      ),
      { numRuns: 3000 },
    );
  });
});

describe('what is known of its settings', () => {
  const changed = Settings.of([['a', settingFromSet('a', '1')]]);
  const more = changed.with('b', settingFromSet('b', '2'));
  let connection: ServerConnection;

  beforeEach(() => {
    ({ connection } = fakeServer());
  });

  it('changes with the transaction, and stays when that is committed', () => {
    expect(connection.settings).toBe(Settings.none);
    connection.changeSettings(changed);
    expect(connection.settings).toBe(changed);
    connection.committed();
    expect(connection.settings).toBe(changed);
    connection.rolledBack(true);
    expect(connection.settings).toBe(changed);
  });

  it('is again what it was before the transaction when that is rolled back', () => {
    connection.changeSettings(changed);
    connection.committed();
    connection.changeSettings(more);
    connection.changeSettings(Settings.none);
    connection.rolledBack(true);
    expect(connection.settings).toBe(changed);
    // What is set between two of them is what the next one begins with.
    connection.settings = more;
    connection.changeSettings(changed);
    connection.rolledBack(true);
    expect(connection.settings).toBe(more);
  });

  it('is nothing where a part of what failed may have been committed', () => {
    connection.rolledBack(false);
    expect(connection.settings).toBe(Settings.none);
    connection.changeSettings(changed);
    connection.rolledBack(false);
    expect(connection.settings).toBeNull();
  });

  it.each([
    ['in a transaction that has changed them', changed],
    ['in one that has not', null],
  ])('is nothing any more when track of them is lost %s', (_, before) => {
    const ends = [
      () => connection.committed(),
      () => connection.rolledBack(true),
      () => connection.rolledBack(false),
    ];
    for (const end of ends) {
      ({ connection } = fakeServer());
      if (before !== null) connection.changeSettings(before);
      connection.loseTrackOfSettings();
      expect(connection.settings).toBeNull();
      end();
      expect(connection.settings).toBeNull();
    }
  });

  it('is nothing after a rollback of what was set where nobody had followed', () => {
    connection.loseTrackOfSettings();
    connection.changeSettings(more);
    connection.rolledBack(true);
    expect(connection.settings).toBeNull();
  });

  it('is followed again from where it is made known', () => {
    connection.changeSettings(more);
    connection.loseTrackOfSettings();
    connection.committed();
    // As what is sent in front of a request outside of transactions does.
    connection.settings = changed;
    connection.changeSettings(more);
    connection.rolledBack(true);
    expect(connection.settings).toBe(changed);
  });
});

describe('backpressure', () => {
  it('pauses when the sink is full', () => {
    const { socket, connection, sink } = checkedOut([steps.query]);
    expect(socket.isPaused).toBe(false);
    sink.takesMore = false;
    socket.deliver(row);
    expect(socket.isPaused).toBe(true);
    connection.resume();
    expect(socket.isPaused).toBe(false);
  });

  it('tells the owner when the socket takes bytes again', () => {
    const { socket, connection, sink } = checkedOut([steps.query]);
    socket.takesMore = false;
    expect(connection.send(query('x'))).toBe(false);
    socket.emit('drain');
    connection.owner = null;
    socket.emit('drain');
    expect(sink.events).toEqual(['drained']);
  });

  it('streams a large row in the pieces it comes in', () => {
    const { socket, sink } = checkedOut([steps.query], true);
    const bodyBytes = 256 * 1024 * 1024;
    const head = Buffer.alloc(5);
    head[0] = Backend.DataRow;
    head.writeUInt32BE(bodyBytes + 4, 1);
    socket.deliver(head);
    const piece = Buffer.alloc(64 * 1024);
    let forwarded = 5;
    const pieces: Buffer[] = [];
    sink.forward = (bytes) => {
      forwarded += bytes.length;
      pieces.push(bytes);
      return true;
    };
    for (let sent = 0; sent < bodyBytes; sent += piece.length) {
      socket.emit('data', piece);
      // Passed on as it came: neither copied nor kept.
      expect(pieces.pop()!.buffer).toBe(piece.buffer);
    }
    expect(forwarded).toBe(bodyBytes + 5);
    socket.deliver(selected, readyForQueryIdle);
    expect(frameTypes(pieces.pop()!)).toBe('CZ');
  });

  it('puts a large notice together once, not with every piece', () => {
    const { socket, sink } = checkedOut([steps.query]);
    const large = noticeResponse(report('NOTICE', '00000', 'x'.repeat(4 * 1024 * 1024)));
    let copiedBytes = 0;
    const { concat } = Buffer;
    Buffer.concat = (list, ...rest) => {
      const whole = concat(list, ...rest);
      copiedBytes += whole.length;
      return whole;
    };
    try {
      for (let at = 0; at < large.length; at += 4096) {
        socket.emit('data', large.subarray(at, at + 4096));
      }
    } finally {
      Buffer.concat = concat;
    }
    expect(sink.bytes.equals(large)).toBe(true);
    expect(copiedBytes).toBeLessThan(2 * large.length);
  });

  it('holds a paused server back by its own socket', async () => {
    const listener = createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const client = connect((listener.address() as AddressInfo).port, '127.0.0.1');
    const [peer] = (await once(listener, 'connection')) as [Socket];
    const sink = new RecordingSink();
    const login = { pid: 1, secret: Buffer.alloc(4), params: new Map(), rest: row };
    const connection = new ServerConnection({ ...login, socket: client, rest: Buffer.alloc(0) }, 0);
    const exchange = new Exchange(sink);
    exchange.steps.push(steps.query);
    connection.expect(exchange);
    sink.takesMore = false;
    const big = dataRow(['x'.repeat(1024 * 1024)]);
    let taken = true;
    for (let i = 0; i < 64 && taken; i++) {
      taken = peer.write(big);
      if (!taken) await Promise.race([once(peer, 'drain'), sleep(50)]);
      taken = !peer.writableNeedDrain;
    }
    expect(taken).toBe(false);
    const before = sink.bytes.length;
    await sleep(20);
    expect(sink.bytes.length).toBe(before);
    sink.takesMore = true;
    connection.resume();
    peer.write(Buffer.concat([selected, readyForQueryIdle]));
    while (sink.events.length === 0) await sleep(1);
    expect(sink.types).toMatch(/^D+CZ$/);
    connection.close('shutdown');
    peer.destroy();
    listener.close();
  });
});

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

it('reads what came with the login', () => {
  const socket = new FakeSocket();
  const connection = new ServerConnection(
    {
      socket: socket as unknown as Socket,
      pid: 1,
      secret: Buffer.alloc(4),
      params: new Map(),
      rest: parameterStatus('a', 'b'),
    },
    0,
  );
  expect(connection.params.get('a')).toBe('b');
  expect(socket.isPaused).toBe(false);
});
