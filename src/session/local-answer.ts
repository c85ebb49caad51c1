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
import { TargetFields } from '../protocol/fields.ts';
import { TargetKind } from '../protocol/frontend.ts';
import { message } from '../protocol/writer.ts';
import type { Request } from './request.ts';

/** A result that the proxy gives itself. */
export interface LocalAnswer {
  readonly tag: string;
  /** Null: the statement returns no rows. */
  readonly columns: readonly Column[] | null;
  readonly rows: readonly (readonly (string | null)[])[];
  /** A NoticeResponse to go with it. */
  readonly notice?: Buffer;
}

export const textOid = 25;

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
  const described = answer.columns === null ? noData : rowDescription(answer.columns);
  const replies: Buffer[] = [];
  for (let index = 0; index < request.count; index++) {
    switch (request.types[index]) {
      case Frontend.Parse:
        replies.push(parseComplete);
        break;
      case Frontend.Bind:
        replies.push(bindComplete);
        break;
      case Frontend.Describe: {
        const { kind } = targetFields.read(
          request.buffers[index]!,
          request.starts[index]!,
          request.ends[index]!,
        );
        if (kind === TargetKind.Statement) replies.push(noParameters);
        replies.push(described);
        break;
      }
      case Frontend.Execute:
        replies.push(execution(answer));
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
