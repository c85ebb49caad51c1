import assert from 'node:assert';
import { Backend, TxStatus } from './codes.ts';
import { message } from './writer.ts';

/** Fields of an ErrorResponse or NoticeResponse that the proxy itself raises. */
export interface Report {
  readonly severity: string;
  readonly sqlstate: string;
  readonly message: string;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
  readonly routine?: string | undefined;
}

export interface Column {
  readonly name: string;
  readonly typeOid: number;
  /** Its values are in binary format, not text. */
  readonly isBinary?: boolean;
}

/** The transaction status byte of ReadyForQuery: I, T or E. */
export type TxStatusByte = (typeof TxStatus)[keyof typeof TxStatus];

export const AuthenticationCode = {
  Ok: 0,
  CleartextPassword: 3,
  Md5Password: 5,
  Sasl: 10,
  SaslContinue: 11,
  SaslFinal: 12,
} as const;

/** typlen of pg_type: -1 for a type of variable length. */
const fixedLengthByTypeOid: Readonly<Record<number, number>> = {
  16: 1, // bool
  20: 8, // int8
  21: 2, // int2
  23: 4, // int4
  26: 4, // oid
  700: 4, // float4
  701: 8, // float8
  1184: 8, // timestamptz
};

function report(type: number, fields: Report): Buffer {
  return message(type, (writer) => {
    const field = (code: string, text: string | undefined) => {
      if (text === undefined) return;
      writer.byte(code.charCodeAt(0)).cstring(text.replaceAll('\0', ''));
    };
    field('S', fields.severity);
    // The same word, never translated (manual, "Error and Notice Message Fields").
    field('V', fields.severity);
    field('C', fields.sqlstate);
    field('M', fields.message);
    field('D', fields.detail);
    field('H', fields.hint);
    field('R', fields.routine);
    writer.byte(0);
  });
}

export function errorResponse(fields: Report): Buffer {
  assert(fields.sqlstate.length === 5);
  return report(Backend.ErrorResponse, fields);
}

export function noticeResponse(fields: Report): Buffer {
  assert(fields.sqlstate.length === 5);
  return report(Backend.NoticeResponse, fields);
}

export function parameterStatus(name: string, value: string): Buffer {
  return message(Backend.ParameterStatus, (writer) => writer.cstring(name).cstring(value));
}

/** The secret has 4 bytes in protocol 3.0 and 4 to 256 since 3.2. */
export function backendKeyData(pid: number, secret: Uint8Array): Buffer {
  assert(secret.length >= 4 && secret.length <= 256);
  return message(Backend.BackendKeyData, (writer) => writer.int32(pid).bytes(secret));
}

function buildReadyForQuery(status: TxStatusByte): Buffer {
  return message(Backend.ReadyForQuery, (writer) => writer.byte(status));
}

/** Prebuilt messages without varying content: shared, so never written into. */
export const readyForQueryIdle: Buffer = buildReadyForQuery(TxStatus.Idle);
export const readyForQueryInTransaction: Buffer = buildReadyForQuery(TxStatus.InTransaction);
export const readyForQueryFailed: Buffer = buildReadyForQuery(TxStatus.Failed);
export const parseComplete: Buffer = message(Backend.ParseComplete, () => {});
export const bindComplete: Buffer = message(Backend.BindComplete, () => {});
export const closeComplete: Buffer = message(Backend.CloseComplete, () => {});
export const noData: Buffer = message(Backend.NoData, () => {});
export const emptyQueryResponse: Buffer = message(Backend.EmptyQueryResponse, () => {});

export function readyForQuery(status: TxStatusByte): Buffer {
  switch (status) {
    case TxStatus.Idle:
      return readyForQueryIdle;
    case TxStatus.InTransaction:
      return readyForQueryInTransaction;
    case TxStatus.Failed:
      return readyForQueryFailed;
  }
}

function authentication(code: number, body: Uint8Array = Buffer.alloc(0)): Buffer {
  return message(Backend.Authentication, (writer) => writer.int32(code).bytes(body));
}

export const authenticationOk: Buffer = authentication(AuthenticationCode.Ok);
export const authenticationCleartextPassword: Buffer = authentication(
  AuthenticationCode.CleartextPassword,
);

export function authenticationMd5Password(salt: Uint8Array): Buffer {
  assert(salt.length === 4);
  return authentication(AuthenticationCode.Md5Password, salt);
}

/** `mechanisms` in the order of the server's preference. */
export function authenticationSasl(mechanisms: readonly string[]): Buffer {
  return message(Backend.Authentication, (writer) => {
    writer.int32(AuthenticationCode.Sasl);
    for (const mechanism of mechanisms) writer.cstring(mechanism);
    writer.byte(0);
  });
}

export function authenticationSaslContinue(data: string): Buffer {
  return authentication(AuthenticationCode.SaslContinue, Buffer.from(data));
}

export function authenticationSaslFinal(data: string): Buffer {
  return authentication(AuthenticationCode.SaslFinal, Buffer.from(data));
}

/**
 * `minor`: the newest protocol 3 minor that both ends know; `unrecognized`: the `_pq_.` options
 * asked for and not known. The version goes out whole, as SendNegotiateProtocolVersion
 * (backend_startup.c) sends it and libpq reads it, though the manual speaks of the minor alone.
 */
export function negotiateProtocolVersion(minor: number, unrecognized: readonly string[]): Buffer {
  return message(Backend.NegotiateProtocolVersion, (writer) => {
    writer.int32((3 << 16) | minor).int32(unrecognized.length);
    for (const option of unrecognized) writer.cstring(option);
  });
}

/** NotificationResponse. `pid` is that of the backend that notified. */
export function notificationResponse(pid: number, channel: string, payload: string): Buffer {
  return message(Backend.NotificationResponse, (writer) => {
    writer.int32(pid);
    writer.cstring(channel);
    writer.cstring(payload);
  });
}

export function commandComplete(tag: string): Buffer {
  return message(Backend.CommandComplete, (writer) => writer.cstring(tag));
}

/** Columns of no table. */
export function rowDescription(columns: readonly Column[]): Buffer {
  return message(Backend.RowDescription, (writer) => {
    writer.uint16(columns.length);
    for (const { name, typeOid, isBinary } of columns) {
      writer.cstring(name).uint32(0).int16(0).uint32(typeOid);
      writer
        .int16(fixedLengthByTypeOid[typeOid] ?? -1)
        .int32(-1)
        .int16(isBinary === true ? 1 : 0);
    }
  });
}

/** One row; strings are in text format, null is SQL NULL. */
export function dataRow(values: readonly (string | Uint8Array | null)[]): Buffer {
  return message(Backend.DataRow, (writer) => {
    writer.uint16(values.length);
    for (const value of values) {
      if (value === null) writer.int32(-1);
      else if (typeof value !== 'string') writer.int32(value.length).bytes(value);
      else writer.int32(Buffer.byteLength(value)).text(value);
    }
  });
}
