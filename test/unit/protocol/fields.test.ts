import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as backend from '../../../src/protocol/backend.ts';
import { TxStatus } from '../../../src/protocol/codes.ts';
import {
  BindFields,
  backendKeyFields,
  commandTag,
  ExecuteFields,
  errorField,
  ParseFields,
  parameterStatusFields,
  queryTextEnd,
  readyStatus,
  TargetFields,
} from '../../../src/protocol/fields.ts';
import * as frontend from '../../../src/protocol/frontend.ts';
import { ProtocolError } from '../../../src/protocol/protocol-error.ts';

/** The frame in the middle of a chunk whose other bytes would be misread if they were touched. */
function inChunk(frame: Buffer): { chunk: Buffer; start: number; end: number } {
  const before = Buffer.alloc(7, 'Z\0');
  const chunk = Buffer.concat([before, frame, Buffer.alloc(64)]);
  return { chunk, start: before.length, end: before.length + frame.length };
}

const error = backend.errorResponse({ severity: 'ERROR', sqlstate: '40001', message: 'größer' });

const readers: Readonly<
  Record<string, [Buffer, (chunk: Buffer, start: number, end: number) => unknown, unknown]>
> = {
  Parse: [
    frontend.parse('s1', 'select 1', [23]),
    (chunk, start, end) => {
      const { statement, queryStart, queryEnd, restOffset } = new ParseFields().read(
        chunk,
        start,
        end,
      );
      const rest = chunk.subarray(restOffset, end);
      return [statement, chunk.toString('utf8', queryStart, queryEnd), rest.length];
    },
    ['s1', 'select 1', 6],
  ],
  Bind: [
    frontend.bind({ portal: 'p', statement: 's1' }),
    (chunk, start, end) => {
      const { portal, statement, restOffset } = new BindFields().read(chunk, start, end);
      return [portal, statement, end - restOffset];
    },
    ['p', 's1', 6],
  ],
  Describe: [
    frontend.describe(frontend.TargetKind.Portal, 'p'),
    (chunk, start, end) => {
      const { kind, name } = new TargetFields().read(chunk, start, end);
      return [kind, name];
    },
    [frontend.TargetKind.Portal, 'p'],
  ],
  Execute: [
    frontend.execute('p', 100),
    (chunk, start, end) => {
      const { portal, rowLimit } = new ExecuteFields().read(chunk, start, end);
      return [portal, rowLimit];
    },
    ['p', 100],
  ],
  Query: [
    frontend.query('select 1'),
    (chunk, start, end) => chunk.toString('utf8', start + 5, queryTextEnd(chunk, start, end)),
    'select 1',
  ],
  CommandComplete: [backend.commandComplete('INSERT 0 1'), commandTag, 'INSERT 0 1'],
  ReadyForQuery: [backend.readyForQuery(TxStatus.Failed), readyStatus, TxStatus.Failed],
  ParameterStatus: [
    backend.parameterStatus('TimeZone', 'UTC'),
    parameterStatusFields,
    { name: 'TimeZone', value: 'UTC' },
  ],
  BackendKeyData: [
    backend.backendKeyData(7, Buffer.from('secret')),
    backendKeyFields,
    { pid: 7, secret: Buffer.from('secret') },
  ],
  ErrorResponse: [error, (chunk, start, end) => errorField(chunk, start, end, 'M'), 'größer'],
};

describe.each(Object.entries(readers))('%s', (type, [frame, read, expected]) => {
  it('is read from the middle of a chunk', () => {
    const { chunk, start, end } = inChunk(frame);
    expect(read(chunk, start, end)).toEqual(expected);
  });

  it('raises ProtocolError or reads less when cut at any byte', () => {
    for (let cut = 5; cut < frame.length; cut++) {
      // The zero bytes behind the cut must not be taken for the end of a string.
      const { chunk, start } = inChunk(frame.subarray(0, cut));
      let result: unknown;
      try {
        result = read(chunk, start, start + cut);
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(ProtocolError);
        continue;
      }
      // Names may be complete before the frame is; a key and a missing field may be shorter.
      expect(['Parse', 'Bind', 'BackendKeyData', 'ErrorResponse', 'Query']).toContain(type);
      if (type === 'ErrorResponse' && result !== undefined) expect(result).toBe(expected);
    }
  });

  it('raises nothing but ProtocolError on random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 5, maxLength: 60 }), (bytes) => {
        try {
          read(Buffer.from(bytes), 0, bytes.length);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(ProtocolError);
        }
      }),
    );
  });
});

describe('names', () => {
  it('come back as any bytes they were sent as', () => {
    const names = fc
      .uint8Array({ maxLength: 80 })
      .map((bytes) => Buffer.from(bytes.filter((byte) => byte !== 0)).toString('latin1'));
    const bindFields = new BindFields();
    fc.assert(
      fc.property(names, names, (portal, statement) => {
        const frame = frontend.bind({ portal, statement });
        const read = bindFields.read(frame, 0, frame.length);
        expect([read.portal, read.statement]).toEqual([portal, statement]);
      }),
    );
  });
});

describe('errorField', () => {
  it('finds each field and none that is not there', () => {
    const field = (code: string) => errorField(error, 0, error.length, code);
    expect(['S', 'V', 'C', 'M', 'D', 'R'].map(field)).toEqual([
      'ERROR',
      'ERROR',
      '40001',
      'größer',
      undefined,
      undefined,
    ]);
  });
});

describe('readyStatus', () => {
  it('refuses a status that does not exist', () => {
    expect(() => readyStatus(Buffer.from('Z\0\0\0\x05X'), 0, 6)).toThrow(ProtocolError);
  });
});

describe('backendKeyFields', () => {
  it.each([0, 3, 257])('refuses a secret of %i bytes', (bytes) => {
    const frame = Buffer.alloc(9 + bytes);
    expect(() => backendKeyFields(frame, 0, frame.length)).toThrow(ProtocolError);
  });
});
