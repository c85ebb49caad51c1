import { frameHeaderBytes, type TxStatus } from './codes.ts';
import { ProtocolError } from './protocol-error.ts';
import { cstringEnd, MessageReader } from './reader.ts';

/*
 * Accessors by offset for the session's hot path. In all of them `start` is the offset of the
 * frame's type byte and `end` is one past its last byte, or past the last byte that has arrived
 * of a frame that is still on its way. Nothing outside that range is read; what does not fit it
 * raises ProtocolError. The only allocations are the strings asked for.
 *
 * The classes are flyweights: make one, `read` into it again and again; what it holds is
 * overwritten by the next `read`.
 *
 * Statement and portal names are latin1 strings, one character for each byte: lossless for any
 * bytes whatever the client's encoding is. They go back to the wire the same way.
 */

function name(buffer: Buffer, at: number, nul: number): string {
  // The unnamed statement and portal are the common case.
  return at === nul ? '' : buffer.toString('latin1', at, nul);
}

/** Parse: statement name, query text in `[queryStart, queryEnd)` without its zero byte. */
export class ParseFields {
  statement = '';
  queryStart = 0;
  queryEnd = 0;
  /** Offset of the parameter type count, just behind the query text. */
  restOffset = 0;

  read(buffer: Buffer, start: number, end: number): this {
    const at = start + frameHeaderBytes;
    const nameEnd = cstringEnd(buffer, at, end);
    const queryEnd = cstringEnd(buffer, nameEnd + 1, end);
    this.statement = name(buffer, at, nameEnd);
    this.queryStart = nameEnd + 1;
    this.queryEnd = queryEnd;
    this.restOffset = queryEnd + 1;
    return this;
  }
}

/** Bind: both names. Formats and values follow from `restOffset` on. */
export class BindFields {
  portal = '';
  statement = '';
  restOffset = 0;

  read(buffer: Buffer, start: number, end: number): this {
    const at = start + frameHeaderBytes;
    const portalEnd = cstringEnd(buffer, at, end);
    const statementEnd = cstringEnd(buffer, portalEnd + 1, end);
    this.portal = name(buffer, at, portalEnd);
    this.statement = name(buffer, portalEnd + 1, statementEnd);
    this.restOffset = statementEnd + 1;
    return this;
  }
}

/** Describe and Close: `kind` is the byte sent, S or P for a sane client (see TargetKind). */
export class TargetFields {
  kind = 0;
  name = '';

  read(buffer: Buffer, start: number, end: number): this {
    const at = start + frameHeaderBytes;
    if (at >= end) throw new ProtocolError('no data left in message');
    const nameEnd = cstringEnd(buffer, at + 1, end);
    this.kind = buffer[at] as number;
    this.name = name(buffer, at + 1, nameEnd);
    return this;
  }
}

/** Execute: `rowLimit` 0 (or less) asks for all rows. */
export class ExecuteFields {
  portal = '';
  rowLimit = 0;

  read(buffer: Buffer, start: number, end: number): this {
    const at = start + frameHeaderBytes;
    const portalEnd = cstringEnd(buffer, at, end);
    if (portalEnd + 5 > end) throw new ProtocolError('insufficient data left in message');
    this.portal = name(buffer, at, portalEnd);
    this.rowLimit = buffer.readInt32BE(portalEnd + 1);
    return this;
  }
}

/** Query: offset one past the last byte of the text, which starts at `start + 5`. */
export function queryTextEnd(buffer: Buffer, start: number, end: number): number {
  return cstringEnd(buffer, start + frameHeaderBytes, end);
}

/**
 * A field of an ErrorResponse or NoticeResponse by its code: 'C' SQLSTATE, 'M' message,
 * 'R' routine, 'S' severity, 'V' severity untranslated, and so on; undefined where it is missing.
 */
export function errorField(
  buffer: Buffer,
  start: number,
  end: number,
  code: string,
): string | undefined {
  const wanted = code.charCodeAt(0);
  let at = start + frameHeaderBytes;
  while (at < end && buffer[at] !== 0) {
    const valueEnd = cstringEnd(buffer, at + 1, end);
    if (buffer[at] === wanted) return buffer.toString('utf8', at + 1, valueEnd);
    at = valueEnd + 1;
  }
  return undefined;
}

/** CommandComplete: the tag, such as `INSERT 0 1`. */
export function commandTag(buffer: Buffer, start: number, end: number): string {
  const at = start + frameHeaderBytes;
  return buffer.toString('latin1', at, cstringEnd(buffer, at, end));
}

/** ReadyForQuery: the transaction status byte. */
export function readyStatus(
  buffer: Buffer,
  start: number,
  end: number,
): (typeof TxStatus)[keyof typeof TxStatus] {
  const status = start + frameHeaderBytes < end ? buffer[start + frameHeaderBytes] : undefined;
  // I, T and E are all there are (beentry of ReadyForQuery in dest.c).
  if (status !== 0x49 && status !== 0x54 && status !== 0x45) {
    throw new ProtocolError('invalid transaction status in ReadyForQuery');
  }
  return status;
}

/** ParameterStatus. */
export function parameterStatusFields(
  buffer: Buffer,
  start: number,
  end: number,
): { name: string; value: string } {
  const reader = new MessageReader(buffer, start + frameHeaderBytes, end);
  return { name: reader.cstring(), value: reader.cstring() };
}

/** The channel of a whole NotificationResponse. */
export function notifiedChannel(frame: Buffer): string {
  const pidBytes = 4;
  return new MessageReader(frame, frameHeaderBytes + pidBytes, frame.length).cstring();
}

/** BackendKeyData; the secret is a copy, of 4 bytes up to 3.1 and of 4 to 256 since 3.2. */
export function backendKeyFields(
  buffer: Buffer,
  start: number,
  end: number,
): { pid: number; secret: Buffer } {
  const reader = new MessageReader(buffer, start + frameHeaderBytes, end);
  const pid = reader.int32();
  const secret = Buffer.from(reader.rest());
  if (secret.length < 4 || secret.length > 256) {
    throw new ProtocolError('invalid length of cancel key');
  }
  return { pid, secret };
}
