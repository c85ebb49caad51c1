import { PassThrough } from 'node:stream';
import { parse as parseBackend, serialize } from 'pg-protocol';
import { describe, expect, it } from 'vitest';
import * as backend from '../../../src/protocol/backend.ts';
import { TxStatus } from '../../../src/protocol/codes.ts';
import * as frontend from '../../../src/protocol/frontend.ts';
import { MessageWriter, message } from '../../../src/protocol/writer.ts';

/** What pg-protocol, written by others, reads from the bytes. */
async function readByPg(bytes: Buffer): Promise<Record<string, unknown>[]> {
  const stream = new PassThrough();
  const messages: Record<string, unknown>[] = [];
  const done = parseBackend(stream, (message) => {
    messages.push(message as unknown as Record<string, unknown>);
  });
  stream.end(bytes);
  await done;
  return messages;
}

describe('backend messages, read by pg-protocol', () => {
  it('errors and notices', async () => {
    const report = { severity: 'FATAL', sqlstate: '28P01', message: 'größer', hint: 'why' };
    const [error, notice] = await readByPg(
      Buffer.concat([
        backend.errorResponse({ ...report, detail: 'more' }),
        backend.noticeResponse(report),
      ]),
    );
    expect(error).toMatchObject({
      name: 'error',
      severity: 'FATAL',
      code: '28P01',
      message: 'größer',
      detail: 'more',
      hint: 'why',
    });
    expect(notice).toMatchObject({ name: 'notice', code: '28P01', message: 'größer' });
  });

  it('results', async () => {
    const seen = await readByPg(
      Buffer.concat([
        backend.rowDescription([
          { name: 'id', typeOid: 23 },
          { name: 'text', typeOid: 25 },
        ]),
        backend.dataRow(['7', null]),
        backend.dataRow(['', 'é']),
        backend.commandComplete('SELECT 2'),
      ]),
    );
    expect(seen[0]).toMatchObject({
      name: 'rowDescription',
      fields: [
        { name: 'id', dataTypeID: 23, dataTypeSize: 4, format: 'text' },
        { name: 'text', dataTypeID: 25, dataTypeSize: -1, format: 'text' },
      ],
    });
    expect(seen[1]).toMatchObject({ name: 'dataRow', fields: ['7', null] });
    expect(seen[2]).toMatchObject({ name: 'dataRow', fields: ['', 'é'] });
    expect(seen[3]).toMatchObject({ name: 'commandComplete', text: 'SELECT 2' });
  });

  it('login and settings', async () => {
    const seen = await readByPg(
      Buffer.concat([
        backend.authenticationCleartextPassword,
        backend.authenticationMd5Password(Buffer.from('salt')),
        backend.authenticationSasl(['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256']),
        backend.authenticationSaslContinue('r=x'),
        backend.authenticationSaslFinal('v=y'),
        backend.authenticationOk,
        backend.parameterStatus('TimeZone', 'UTC'),
        backend.backendKeyData(-7, Buffer.from([0, 0, 1, 2])),
      ]),
    );
    expect(seen.map(({ name }) => name)).toEqual([
      'authenticationCleartextPassword',
      'authenticationMD5Password',
      'authenticationSASL',
      'authenticationSASLContinue',
      'authenticationSASLFinal',
      'authenticationOk',
      'parameterStatus',
      'backendKeyData',
    ]);
    expect(seen[1]).toMatchObject({ salt: Buffer.from('salt') });
    expect(seen[2]).toMatchObject({ mechanisms: ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'] });
    expect(seen[3]).toMatchObject({ data: 'r=x' });
    expect(seen[6]).toMatchObject({ parameterName: 'TimeZone', parameterValue: 'UTC' });
    expect(seen[7]).toMatchObject({ processID: -7, secretKey: 258 });
  });

  it('constants', async () => {
    const seen = await readByPg(
      Buffer.concat([
        backend.parseComplete,
        backend.bindComplete,
        backend.closeComplete,
        backend.noData,
        backend.emptyQueryResponse,
        backend.readyForQuery(TxStatus.Idle),
        backend.readyForQuery(TxStatus.InTransaction),
        backend.readyForQuery(TxStatus.Failed),
      ]),
    );
    expect(seen.map(({ name }) => name)).toEqual([
      'parseComplete',
      'bindComplete',
      'closeComplete',
      'noData',
      'emptyQuery',
      'readyForQuery',
      'readyForQuery',
      'readyForQuery',
    ]);
    expect(seen.slice(5).map(({ status }) => status)).toEqual(['I', 'T', 'E']);
  });

  it('sends the whole version where it negotiates', () => {
    const bytes = backend.negotiateProtocolVersion(2, ['_pq_.a', '_pq_.b']);
    expect(bytes.toString('latin1')).toBe('v\0\0\0\x1a\0\x03\0\x02\0\0\0\x02_pq_.a\0_pq_.b\0');
  });
});

describe('frontend messages, as pg-protocol writes them', () => {
  it.each<[string, Buffer, Buffer]>([
    ['query', frontend.query('select 1'), serialize.query('select 1')],
    ['query in bytes', frontend.query(Buffer.from('select 1')), serialize.query('select 1')],
    [
      'parse',
      frontend.parse('name', 'select $1', [23, 25]),
      serialize.parse({ name: 'name', text: 'select $1', types: [23, 25] }),
    ],
    [
      'bind',
      frontend.bind({
        portal: 'p',
        statement: 's',
        params: ['é', null],
        paramFormats: [0, 0],
        resultFormats: [1],
      }),
      serialize.bind({ portal: 'p', statement: 's', values: ['é', null], binary: true }),
    ],
    [
      'describe',
      frontend.describe(frontend.TargetKind.Statement, 's'),
      serialize.describe({ type: 'S', name: 's' }),
    ],
    [
      'close',
      frontend.close(frontend.TargetKind.Portal, 'p'),
      serialize.close({ type: 'P', name: 'p' }),
    ],
    ['execute', frontend.execute('p', 5), serialize.execute({ portal: 'p', rows: 5 })],
    ['sync', frontend.sync, serialize.sync()],
    ['flush', frontend.flush, serialize.flush()],
    ['terminate', frontend.terminate, serialize.end()],
    ['copy data', frontend.copyData(Buffer.from('x')), serialize.copyData(Buffer.from('x'))],
    ['copy done', frontend.copyDone, serialize.copyDone()],
    ['copy fail', frontend.copyFail('why'), serialize.copyFail('why')],
    ['password', frontend.password('secret'), serialize.password('secret')],
    [
      'SASL initial response',
      frontend.saslInitialResponse('SCRAM-SHA-256', 'n,,'),
      serialize.sendSASLInitialResponseMessage('SCRAM-SHA-256', 'n,,'),
    ],
    [
      'SASL response',
      frontend.saslResponse('c=biws'),
      serialize.sendSCRAMClientFinalMessage('c=biws'),
    ],
    ['SSL request', frontend.sslRequest, serialize.requestSsl()],
    [
      'startup',
      frontend.startup([
        ['user', 'u'],
        ['client_encoding', 'UTF8'],
      ]),
      serialize.startup({ user: 'u' }),
    ],
  ])('%s', (_, ours, theirs) => {
    expect(ours).toEqual(theirs);
  });

  it('cancel request', () => {
    const secret = Buffer.from('12345678');
    expect(frontend.cancelRequest(5, secret).toString('latin1')).toBe(
      '\0\0\0\x14\x04\xd2\x16\x2e\0\0\0\x0512345678',
    );
  });

  it('carries names of any bytes', () => {
    const name = Buffer.from([0xff, 0xc3, 0x28]).toString('latin1');
    expect(frontend.parse(name, '').subarray(5, 9)).toEqual(Buffer.from([0xff, 0xc3, 0x28, 0]));
  });
});

describe('MessageWriter', () => {
  it('grows over any number of messages and starts anew after take', () => {
    const writer = new MessageWriter();
    const text = 'x'.repeat(100_000);
    writer.begin(0x51).cstring(text).end();
    writer.begin(0x53).end();
    expect(writer.take()).toEqual(Buffer.concat([frontend.query(text), frontend.sync]));
    expect(writer.begin(0x53).end().take()).toEqual(frontend.sync);
  });

  it('hands out buffers that later messages do not change', () => {
    const first = frontend.query('first');
    const copy = Buffer.from(first);
    frontend.query('other');
    expect(first).toEqual(copy);
  });

  it('refuses a zero byte inside a string, and works again afterwards', () => {
    expect(() => frontend.query('select 1\0; drop table t')).toThrow(/zero byte/);
    expect(() => frontend.query(Buffer.from('a\0b'))).toThrow(/zero byte/);
    expect(message(0x53, () => {})).toEqual(frontend.sync);
  });
});
