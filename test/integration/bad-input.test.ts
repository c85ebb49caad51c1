import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import * as frontend from '../../src/protocol/frontend.ts';
import { Bystander, bystanderUser, expectClean } from '../support/bystander.ts';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { startTestProxy, type TestProxy } from '../support/proxy.ts';
import {
  describeFrames,
  RawClient,
  type RawTarget,
  rawHeader,
  rawMessage,
} from '../support/raw-client.ts';

const { bind, copyData, copyDone, copyFail, execute, flush, parse, query, sync } = frontend;
const { Portal, Statement } = frontend.TargetKind;

let cluster: TestCluster;
let proxy: TestProxy;
let bystander: Bystander;
/** The proxy, and PostgreSQL itself. */
let there: RawTarget;
let direct: RawTarget;

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 2 });
  proxy = await startTestProxy(cluster, { users: [bystanderUser], loginTimeoutMs: 2_000 });
  const { user, password, database } = cluster;
  there = { host: proxy.host, port: proxy.port, user, password, database };
  direct = { host: cluster.primary.host, port: cluster.primary.port, user, password, database };
  await cluster.primary.query('create table target (n int)');
  bystander = await Bystander.start(cluster, proxy);
});

afterEach(async () => {
  await bystander.isServed();
  await expectClean(cluster, proxy);
});

afterAll(async () => {
  await bystander?.stop();
  await proxy?.stop();
  await cluster?.stop();
});

/** What a logged-in client gets for these bytes, up to the end of the connection or `expected` Z. */
async function reaction(target: RawTarget, pieces: readonly Buffer[], readies: number) {
  const client = await RawClient.logIn(target);
  try {
    client.send(...pieces);
    await client.until('Z', readies);
    // One more answer shows that the connection is alive and in step.
    if (!client.isClosed) {
      client.send(query("select 'in step'"));
      await client.until('Z', readies + 1);
    }
    const { frames, isClosed } = client;
    return { frames: describeFrames(frames), isClosed };
  } finally {
    client.destroy();
  }
}

/** The same bytes get the same answer from the proxy and from the server. */
async function expectSame(pieces: readonly Buffer[], readies = 1) {
  const [ours, theirs] = [
    await reaction(there, pieces, readies),
    await reaction(direct, pieces, readies),
  ];
  expect(ours).toEqual(theirs);
  return ours;
}

describe('before the login', () => {
  it('survives random bytes', async () => {
    for (const bytes of [1, 3, 4, 5, 8, 9, 100, 5_000, 100_000]) {
      const client = await RawClient.dial(there);
      client.send(randomBytes(bytes));
      client.end();
      await client.closed();
    }
  });

  it('refuses lengths outside 8 to 10,000 bytes at once', async () => {
    for (const length of [0, 3, 4, 7, -1, 10_001, 0x7fff_ffff, -0x8000_0000]) {
      const word = Buffer.alloc(4);
      word.writeInt32BE(length);
      const client = await RawClient.dial(there);
      client.send(word);
      await client.closed();
      expect(describeFrames(client.frames)).toEqual(['E:FATAL:08P01']);
    }
  });

  it('refuses a startup packet of 10,001 bytes', async () => {
    const name = 'x'.repeat(10_001 - frontend.startup([['user', '']]).length);
    const packet = frontend.startup([['user', name]]);
    expect(packet.length).toBe(10_001);
    const client = await RawClient.dial(there);
    client.send(packet);
    await client.closed();
    expect(describeFrames(client.frames)).toEqual(['E:FATAL:08P01']);
  });

  it('lets go of clients that leave at any byte of the startup packet', async () => {
    const packet = frontend.startup([['user', there.user]]);
    for (let length = 0; length <= packet.length; length++) {
      const client = await RawClient.dial(there);
      client.send(packet.subarray(0, length));
      if (length % 2 === 0) client.end();
      else client.destroy();
      await client.closed();
    }
  });

  it('closes on a client that sends a byte at a time for longer than the login may take', async () => {
    const packet = frontend.startup([['user', there.user]]);
    const client = await RawClient.dial(there);
    let sent = 0;
    const timer = setInterval(() => {
      client.send(packet.subarray(sent, sent + 1));
      sent = Math.min(sent + 1, packet.length - 1);
    }, 200);
    await client.closed();
    clearInterval(timer);
    expect(describeFrames(client.frames)).toEqual(['E:FATAL:08P01']);
  });

  it('refuses messages of the session before the login is done', async () => {
    for (const bytes of [
      query('select 1'),
      sync,
      frontend.terminate,
      rawHeader('p', 0x7fff_ffff),
    ]) {
      const client = await RawClient.dial(there);
      client.send(frontend.startup([['user', there.user]]), bytes);
      await client.closed();
      expect(describeFrames(client.frames)).toEqual(['R', 'E:FATAL:08P01']);
    }
  });
});

describe('after the login', () => {
  it('survives random bytes', async () => {
    for (const bytes of [1, 4, 5, 6, 64, 1_000, 100_000]) {
      for (let repetition = 0; repetition < 5; repetition++) {
        const client = await RawClient.logIn(there);
        client.send(randomBytes(bytes));
        client.end();
        await client.closed();
      }
    }
  });

  it('closes on unknown types, as PostgreSQL does', async () => {
    for (const type of ['\0', 'p', 'Z', 'R', 'q', 'é', '\xff', '1']) {
      const { isClosed, frames } = await expectSame([rawMessage(type, '\0\0\0\0')]);
      expect({ isClosed, frames }).toEqual({ isClosed: true, frames: ['E:FATAL:08P01'] });
    }
  });

  it('closes on impossible lengths', async () => {
    for (const type of ['Q', 'P', 'B', 'D', 'E', 'C', 'S', 'H', 'F', 'd', 'c', 'f', 'X']) {
      for (const length of [0, 3, -1, 0x7fff_ffff, -0x8000_0000]) {
        const client = await RawClient.logIn(there);
        client.send(rawHeader(type, length));
        await client.closed();
        expect(describeFrames(client.frames)).toEqual(['E:FATAL:08P01']);
      }
    }
    for (const type of ['D', 'E', 'C', 'S', 'H', 'c', 'f', 'X']) {
      const client = await RawClient.logIn(there);
      client.send(rawHeader(type, 10_001));
      await client.closed();
      expect(describeFrames(client.frames)).toEqual(['E:FATAL:08P01']);
    }
  });

  it('lets go of clients that leave at any byte of any message', async () => {
    const messages = [
      [query('insert into target values (1)')],
      [parse('', 'insert into target values ($1)', [23]), sync],
      [parse('', 'select $1'), bind({ params: ['1'] }), execute(), sync],
      [parse('s', 'select 1'), frontend.describe(Statement, 's'), frontend.close(Statement, 's')],
      [flush],
      [rawMessage('F', '\0\0\x01\0\0\0\0\0\0\0\0')],
      [copyData(Buffer.from('1\n'))],
      [copyDone],
      [copyFail('no')],
      [frontend.terminate],
    ];
    for (const [index, pieces] of messages.entries()) {
      const bytes = Buffer.concat(pieces);
      for (let length = 0; length <= bytes.length; length++) {
        const client = await RawClient.logIn(there);
        client.send(bytes.subarray(0, length));
        if ((index + length) % 2 === 0) client.end();
        else client.destroy();
        await client.closed();
      }
    }
  });
});

/** One zero byte, and numbers of the wire as text. */
const nul = '\0';
const int16 = (n: number) => String.fromCharCode((n >> 8) & 255, n & 255);
const int32 = (n: number) => int16(n >>> 16) + int16(n);
const selectOne = parse('', 'select 1');
const unnamed = Buffer.concat([selectOne, bind(), execute()]);

describe('messages that are malformed inside', () => {
  const cases: Record<string, readonly Buffer[]> = {
    'Query without a zero byte': [rawMessage('Q', 'select 1')],
    'Query without text': [rawMessage('Q')],
    'Query with bytes behind its text': [rawMessage('Q', `select 1${nul}more`)],
    'Query in no encoding': [rawMessage('Q', `select '\xff\xfe'${nul}`)],
    'Parse without content': [rawMessage('P'), sync],
    'Parse without text': [rawMessage('P', `name${nul}select 1`), sync],
    'Parse without a count': [rawMessage('P', `${nul}select 1${nul}`), sync],
    'Parse with too few types': [
      rawMessage('P', `${nul}select 1${nul}${int16(2)}${int32(23)}`),
      sync,
    ],
    'Parse with bytes behind': [rawMessage('P', `${nul}select 1${nul}${int16(0)}x`), sync],
    'Parse with 65535 types': [rawMessage('P', `${nul}select 1${nul}${int16(-1)}`), sync],
    'named Parse with too few types': [
      rawMessage('P', `n${nul}select 1${nul}${int16(2)}${int32(23)}`),
      sync,
    ],
    'Bind without content': [selectOne, rawMessage('B'), sync],
    'Bind with one name': [selectOne, rawMessage('B', nul), sync],
    'Bind with an open name': [selectOne, rawMessage('B', `${nul}name`), sync],
    'Bind without counts': [selectOne, rawMessage('B', nul + nul), sync],
    'Bind with too few formats': [
      selectOne,
      rawMessage('B', nul + nul + int16(9) + int16(0)),
      sync,
    ],
    'Bind with too few values': [
      parse('', 'select $1::int'),
      rawMessage('B', nul + nul + int16(0) + int16(1)),
      sync,
    ],
    'Bind with too many values': [
      selectOne,
      rawMessage('B', `${nul + nul + int16(0) + int16(1) + int32(1)}1${int16(0)}`),
      sync,
    ],
    'Bind with a value longer than the message': [
      parse('', 'select $1::int'),
      rawMessage('B', `${nul + nul + int16(0) + int16(1) + int32(0x7fff_ffff)}1`),
      sync,
    ],
    'Bind with a value of length -2': [
      parse('', 'select $1::int'),
      rawMessage('B', nul + nul + int16(0) + int16(1) + int32(-2) + int16(0)),
      sync,
    ],
    'Bind with bytes behind': [
      selectOne,
      rawMessage('B', `${nul + nul + int16(0) + int16(0) + int16(0)}x`),
      sync,
    ],
    'Bind with an unknown format': [selectOne, bind({ resultFormats: [7] }), execute(), sync],
    'Bind of a bad value': [parse('', 'select $1::int'), bind({ params: ['x'] }), execute(), sync],
    'Describe without content': [rawMessage('D'), sync],
    'Describe without a name': [rawMessage('D', 'S'), sync],
    'Describe of an unknown kind': [rawMessage('D', `X${nul}`), sync],
    'Describe with bytes behind': [selectOne, rawMessage('D', `S${nul}x`), sync],
    'Describe of its full length': [
      parse('a', 'select 1'),
      rawMessage('D', `Sa${nul}${'x'.repeat(9_993)}`),
      sync,
    ],
    'Execute without content': [selectOne, bind(), rawMessage('E'), sync],
    'Execute without a limit': [selectOne, bind(), rawMessage('E', nul), sync],
    'Execute with half a limit': [selectOne, bind(), rawMessage('E', `${nul}\0\0`), sync],
    'Execute with bytes behind': [selectOne, bind(), rawMessage('E', `${nul}${int32(0)}x`), sync],
    'Execute with a limit below zero': [selectOne, bind(), execute('', -5), sync],
    'Close without content': [rawMessage('C'), sync],
    'Close of an unknown kind': [rawMessage('C', `X${nul}`), sync],
    'Close with an open name': [rawMessage('C', 'Sname'), sync],
    'Close with bytes behind': [parse('a', 'select 1'), rawMessage('C', `Sa${nul}x`), sync],
    'Sync with content': [rawMessage('S', 'x')],
    'Sync with content behind a batch': [unnamed, rawMessage('S', 'x')],
    'Flush with content': [rawMessage('H', 'x'), sync],
    'Flush with content before a batch': [rawMessage('H', 'x'), unnamed, sync],
    'FunctionCall without content': [rawMessage('F')],
    'FunctionCall with a bad count': [rawMessage('F', int32(1598) + int16(0) + int16(9))],
    'FunctionCall of nothing': [rawMessage('F', int32(0) + int16(0) + int16(0) + int16(0))],
    'CopyData with nothing to copy': [copyData(Buffer.from('x')), query('select 1')],
    'CopyDone with content and nothing to copy': [rawMessage('c', 'x'), query('select 1')],
    'CopyFail without a zero byte and nothing to copy': [rawMessage('f', 'x'), query('select 1')],
  };

  for (const [name, pieces] of Object.entries(cases)) {
    it(`answers ${name} as PostgreSQL does`, async () => {
      await expectSame(pieces);
    });
  }
});

describe('messages in the wrong state', () => {
  const cases: Record<string, readonly [readonly Buffer[], number?]> = {
    'Execute of an unknown portal': [[execute('nobody'), sync]],
    'Execute of no portal': [[execute(), sync]],
    'Bind of an unknown statement': [[bind({ statement: 'nobody' }), execute(), sync]],
    'Bind of no unnamed statement': [[bind(), execute(), sync]],
    'Describe of an unknown statement': [[frontend.describe(Statement, 'nobody'), sync]],
    'Describe of an unknown portal': [[frontend.describe(Portal, 'nobody'), sync]],
    'Close of what is not there': [
      [frontend.close(Statement, 'nobody'), frontend.close(Portal, 'nobody'), sync],
    ],
    'Parse of a name that is taken': [
      [parse('a', 'select 1'), sync, parse('a', 'select 2'), sync],
      2,
    ],
    'Parse of a name that is taken in the same batch': [
      [parse('a', 'select 1'), parse('a', 'select 2'), bind({ statement: 'a' }), sync],
    ],
    'Bind of a portal that is there': [
      [
        query('begin'),
        selectOne,
        bind({ portal: 'p' }),
        bind({ portal: 'p' }),
        execute('p'),
        sync,
        query('rollback'),
      ],
      3,
    ],
    'Execute of a portal of the transaction before': [
      [selectOne, bind({ portal: 'p' }), sync, execute('p'), sync],
      2,
    ],
    'many Syncs': [Array.from({ length: 300 }, () => sync), 300],
    'many Flushes': [[...Array.from({ length: 300 }, () => flush), sync]],
    'a Query in the middle of a batch': [[unnamed, query('select 2'), sync], 2],
    'a Query behind a Parse': [[selectOne, query('select 2'), bind(), execute(), sync], 2],
    'a Query behind a failed Parse': [[parse('', 'selec'), query('select 2'), sync]],
    'a Query behind a failed Parse and Flush': [
      [parse('', 'selec'), flush, query('select 2'), query('select 3'), sync],
    ],
    'a Query behind a Bind of an unknown statement': [
      [bind({ statement: 'nobody' }), query('select 2'), sync],
    ],
    'a BEGIN behind a refused Describe': [
      [frontend.describe(Statement, 'nobody'), query('begin'), sync],
    ],
    'a write behind a Flush with content': [
      [rawMessage('H', 'x'), query('insert into target values (405)'), sync],
    ],
    'the unnamed statement behind a Query of its batch': [
      [selectOne, query('select 2'), frontend.describe(Statement), sync],
      2,
    ],
    'a FunctionCall behind a failed Parse': [
      [parse('', 'selec'), rawMessage('F', int32(0) + int16(0) + int16(0) + int16(0)), sync],
    ],
    'a COPY behind a failed Parse': [
      [parse('', 'selec'), query('copy target from stdin'), copyData(Buffer.from('1\n')), sync],
    ],
    'CopyData behind a failed COPY': [
      [
        query('copy nobody from stdin'),
        copyData(Buffer.from('1\n')),
        copyDone,
        query('select count(*) from target where n = 1'),
      ],
      2,
    ],
    'a batch behind a COPY that the client fails': [
      [query('copy target from stdin'), copyFail('no'), unnamed, sync],
      2,
    ],
    'Sync and Flush while it copies': [
      [
        query('copy target from stdin'),
        sync,
        flush,
        copyData(Buffer.from('7\n')),
        copyDone,
        query('delete from target where n = 7'),
      ],
      2,
    ],
    'Parse in a failed transaction': [
      [query('begin; select 1/0'), parse('b', 'select 1'), sync, query('rollback')],
      3,
    ],
    'Parse of what is prepared and taken in a failed transaction': [
      [
        parse('c', 'select 77'),
        sync,
        query('begin'),
        query('insert into target values (406)'),
        query('select 1/0'),
        parse('d', 'select 77'),
        sync,
        parse('c', 'select 77'),
        sync,
        query('rollback'),
      ],
      7,
    ],
    'Execute in a failed transaction': [
      [query('begin'), query('select 1/0'), unnamed, sync, query('rollback')],
      4,
    ],
    'COMMIT and ROLLBACK without a transaction': [
      [query('commit'), query('rollback'), parse('', 'commit'), bind(), execute(), sync],
      3,
    ],
  };

  for (const [name, [pieces, readies]] of Object.entries(cases)) {
    it(`answers ${name} as PostgreSQL does`, async () => {
      await expectSame(pieces, readies);
    });
  }

  it('closes on messages that do not belong to a COPY', async () => {
    for (const message of [selectOne, query('select 1'), rawMessage('z', 'abc'), execute()]) {
      const pieces = [query('copy target from stdin'), copyData(Buffer.from('404\n')), message];
      const theirs = await reaction(direct, pieces, 1);
      expect(theirs).toEqual({ frames: ['G', 'E:ERROR:08P01', 'E:FATAL:08P01'], isClosed: true });
      const ours = await reaction(there, pieces, 1);
      expect(ours).toEqual({ frames: ['G', 'E:FATAL:08P01'], isClosed: true });
    }
    expect(await cluster.primary.query('select from target where n = 404')).toEqual([]);
  });
});
