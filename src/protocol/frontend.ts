import assert from 'node:assert';
import { Frontend, StartupCode } from './codes.ts';
import { type MessageWriter, message, untypedMessage } from './writer.ts';

/** What Describe and Close speak of: S, a statement, or P, a portal. */
export const TargetKind = {
  Statement: 0x53, // S
  Portal: 0x50, // P
} as const;

export type TargetKindByte = (typeof TargetKind)[keyof typeof TargetKind];

/** Text as a string (sent as UTF-8) or as the bytes that a client sent. */
export type SqlText = string | Uint8Array;

function writeSql(writer: MessageWriter, sql: SqlText): void {
  if (typeof sql === 'string') {
    writer.cstring(sql);
    return;
  }
  assert(!sql.includes(0), 'a string field cannot hold a zero byte');
  writer.bytes(sql).byte(0);
}

export function query(sql: SqlText): Buffer {
  return message(Frontend.Query, (writer) => writeSql(writer, sql));
}

/** Here and below names are latin1 strings: one character for each byte of the wire. */
export function parse(name: string, sql: SqlText, paramTypeOids: readonly number[] = []): Buffer {
  return message(Frontend.Parse, (writer) => {
    writeSql(writer.cstring(name, 'latin1'), sql);
    writer.uint16(paramTypeOids.length);
    for (const oid of paramTypeOids) writer.uint32(oid);
  });
}

export interface BindOptions {
  readonly portal?: string;
  readonly statement?: string;
  /** A string goes as UTF-8; null is SQL NULL. */
  readonly params?: readonly (string | Uint8Array | null)[];
  /** 0 text, 1 binary: none for all text, one for all, or one for each parameter. */
  readonly paramFormats?: readonly number[];
  /** The same for the columns of the result. */
  readonly resultFormats?: readonly number[];
}

function writeFormats(writer: MessageWriter, formats: readonly number[]): void {
  writer.uint16(formats.length);
  for (const format of formats) writer.int16(format);
}

export function bind(options: BindOptions = {}): Buffer {
  const params = options.params ?? [];
  return message(Frontend.Bind, (writer) => {
    writer.cstring(options.portal ?? '', 'latin1').cstring(options.statement ?? '', 'latin1');
    writeFormats(writer, options.paramFormats ?? []);
    writer.uint16(params.length);
    for (const param of params) {
      if (param === null) writer.int32(-1);
      else if (typeof param === 'string') writer.int32(Buffer.byteLength(param)).text(param);
      else writer.int32(param.length).bytes(param);
    }
    writeFormats(writer, options.resultFormats ?? []);
  });
}

export function describe(kind: TargetKindByte, name = ''): Buffer {
  return message(Frontend.Describe, (writer) => writer.byte(kind).cstring(name, 'latin1'));
}

export function close(kind: TargetKindByte, name = ''): Buffer {
  return message(Frontend.Close, (writer) => writer.byte(kind).cstring(name, 'latin1'));
}

/** `rowLimit` 0 asks for all rows. */
export function execute(portal = '', rowLimit = 0): Buffer {
  return message(Frontend.Execute, (writer) => writer.cstring(portal, 'latin1').int32(rowLimit));
}

/** Prebuilt messages without content: shared, so never written into. */
export const sync: Buffer = message(Frontend.Sync, () => {});
export const flush: Buffer = message(Frontend.Flush, () => {});
export const terminate: Buffer = message(Frontend.Terminate, () => {});
export const copyDone: Buffer = message(Frontend.CopyDone, () => {});

export function copyData(data: Uint8Array): Buffer {
  return message(Frontend.CopyData, (writer) => writer.bytes(data));
}

export function copyFail(reason: string): Buffer {
  return message(Frontend.CopyFail, (writer) => writer.cstring(reason.replaceAll('\0', '')));
}

/** The startup packet of protocol 3.`minor`; `params` must name the `user`. */
export function startup(params: Iterable<readonly [string, string]>, minor = 0): Buffer {
  return untypedMessage((writer) => {
    writer.int32((3 << 16) | minor);
    for (const [name, value] of params) writer.cstring(name).cstring(value);
    writer.byte(0);
  });
}

export const sslRequest: Buffer = untypedMessage((writer) => writer.int32(StartupCode.Ssl));
export const gssEncRequest: Buffer = untypedMessage((writer) => writer.int32(StartupCode.GssEnc));

export function cancelRequest(pid: number, secret: Uint8Array): Buffer {
  assert(secret.length >= 4 && secret.length <= 256);
  return untypedMessage((writer) => writer.int32(StartupCode.Cancel).int32(pid).bytes(secret));
}

/** A cleartext password or the `md5...` answer. */
export function password(text: string): Buffer {
  return message(Frontend.Password, (writer) => writer.cstring(text));
}

export function saslInitialResponse(mechanism: string, data: string): Buffer {
  return message(Frontend.Password, (writer) => {
    writer.cstring(mechanism).int32(Buffer.byteLength(data)).text(data);
  });
}

export function saslResponse(data: string): Buffer {
  return message(Frontend.Password, (writer) => writer.text(data));
}
