import {
  bindComplete,
  type Column,
  closeComplete,
  commandComplete,
  dataRow,
  noData,
  parseComplete,
  readyForQuery,
  rowDescription,
  type TxStatusByte,
} from '../protocol/backend.ts';
import { Backend, Frontend } from '../protocol/codes.ts';
import { BindFields, TargetFields } from '../protocol/fields.ts';
import { TargetKind } from '../protocol/frontend.ts';
import { MessageReader } from '../protocol/reader.ts';
import { message } from '../protocol/writer.ts';
import type { Request } from './request.ts';

/** A result that the proxy gives itself. */
export interface LocalAnswer {
  readonly tag: string;
  /** Null: the statement returns no rows. */
  readonly columns: readonly Column[] | null;
  readonly rows: readonly (readonly (string | Uint8Array | null)[])[];
  /** A NoticeResponse to go with it. */
  readonly notice?: Buffer;
}

export const textOid = 25;
export const integerOid = 23;
export const booleanOid = 16;

/** A command without rows. */
export const commandAnswer = (tag: string): LocalAnswer => ({ tag, columns: null, rows: [] });

/** A row with one column of the same name. */
export const oneValue = (name: string, value: string): LocalAnswer => ({
  tag: 'SHOW',
  columns: [{ name, typeOid: textOid }],
  rows: [[value]],
});

const noParameters = message(Backend.ParameterDescription, (writer) => writer.int16(0));
const targetFields = new TargetFields();

const bindFields = new BindFields();

/** A Bind asks for (some of) its result in binary. */
function asksBinary(buffer: Buffer, start: number, end: number): boolean {
  const { restOffset } = bindFields.read(buffer, start, end);
  const reader = new MessageReader(buffer, restOffset, end);
  for (let left = reader.uint16(); left > 0; left--) reader.int16();
  for (let left = reader.uint16(); left > 0; left--) reader.bytes(Math.max(0, reader.int32()));
  for (let left = reader.uint16(); left > 0; left--) if (reader.int16() === 1) return true;
  return false;
}

/** Numbers and booleans in binary; the binary form of text is the text. */
function inBinary(answer: LocalAnswer): LocalAnswer {
  const { columns, rows } = answer;
  if (columns === null) return answer;
  const binary = rows.map((row) =>
    row.map((value, index) => {
      const typeOid = columns[index]?.typeOid;
      if (value === null) return value;
      if (typeOid === booleanOid) return Buffer.from([value === 't' ? 1 : 0]);
      if (typeOid !== integerOid) return value;
      const bytes = Buffer.alloc(4);
      bytes.writeInt32BE(Number(value));
      return bytes;
    }),
  );
  return {
    ...answer,
    columns: columns.map((column) => ({ ...column, isBinary: true })),
    rows: binary,
  };
}

/** The replies to a Query. */
export function answerQuery(answer: LocalAnswer, status: TxStatusByte): Buffer {
  const description = answer.columns === null ? [] : [rowDescription(answer.columns)];
  return Buffer.concat([...description, execution(answer), readyForQuery(status)]);
}

function execution(answer: LocalAnswer): Buffer {
  const notice = answer.notice === undefined ? [] : [answer.notice];
  return Buffer.concat([...notice, ...answer.rows.map(dataRow), commandComplete(answer.tag)]);
}

/** The replies to extended messages that all speak of one such statement. */
export function answerBatch(request: Request, answer: LocalAnswer, status: TxStatusByte): Buffer {
  const replies: Buffer[] = [];
  let bound = answer;
  for (let index = 0; index < request.count; index++) {
    const { type, buffer, start, end } = request.at(index);
    switch (type) {
      case Frontend.Parse:
        replies.push(parseComplete);
        break;
      case Frontend.Bind: {
        const isBinary = asksBinary(buffer, start, end);
        bound = isBinary ? inBinary(answer) : answer;
        replies.push(bindComplete);
        break;
      }
      case Frontend.Describe: {
        const { kind } = targetFields.read(buffer, start, end);
        if (kind === TargetKind.Statement) replies.push(noParameters);
        const { columns } = kind === TargetKind.Statement ? answer : bound;
        replies.push(columns === null ? noData : rowDescription(columns));
        break;
      }
      case Frontend.Execute:
        replies.push(execution(bound));
        break;
      case Frontend.Close:
        replies.push(closeComplete);
        break;
      case Frontend.Sync:
        replies.push(readyForQuery(status));
        break;
    }
  }
  return Buffer.concat(replies);
}
