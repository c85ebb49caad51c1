import { Frontend, frameHeaderBytes } from './codes.ts';
import { frontendLengthMax } from './frames.ts';
import { ProtocolError } from './protocol-error.ts';
import { cstringEnd } from './reader.ts';

export interface RenamedFrame {
  /** Type, new length, and everything up to and with the new name. */
  readonly head: Buffer;
  /** Offset in the original buffer from which the frame goes on unchanged. */
  readonly restOffset: number;
}

/** Offset at which the statement name starts. */
function statementNameAt(buffer: Buffer, start: number, end: number): number {
  const at = start + frameHeaderBytes;
  switch (buffer[start]) {
    case Frontend.Parse:
      return at;
    case Frontend.Bind:
      return cstringEnd(buffer, at, end) + 1;
    case Frontend.Describe:
    case Frontend.Close:
      return at + 1;
    default:
      throw new ProtocolError(`message type ${buffer[start]} names no statement`);
  }
}

/**
 * Gives a Parse, Bind, Describe or Close another statement name (latin1). `end` is one past the
 * last byte of the frame that has arrived: what follows the name may be huge and may still be on
 * its way; the caller sends `head`, then the original bytes from `restOffset` on.
 */
export function withStatementName(
  buffer: Buffer,
  start: number,
  end: number,
  newName: string,
): RenamedFrame {
  const nameAt = statementNameAt(buffer, start, end);
  const nameEnd = cstringEnd(buffer, nameAt, end);
  const type = buffer[start] as number;
  const length = buffer.readInt32BE(start + 1) + newName.length - (nameEnd - nameAt);
  if (length > frontendLengthMax(type)) throw new ProtocolError('invalid message length');

  const keptBytes = nameAt - start;
  const head = Buffer.allocUnsafe(keptBytes + newName.length + 1);
  buffer.copy(head, 0, start, nameAt);
  head.writeInt32BE(length, 1);
  head.write(newName, keptBytes, 'latin1');
  head[head.length - 1] = 0;
  return { head, restOffset: nameEnd + 1 };
}

/** An ErrorResponse that speaks of `from`, in quotation marks, as of `to`; null: it does not. */
export function withNameInError(frame: Buffer, from: string, to: string): Buffer | null {
  const quoted = `"${from}"`;
  const at = frame.indexOf(quoted, frameHeaderBytes, 'latin1');
  if (at < 0) return null;
  const renamed = Buffer.concat([
    frame.subarray(0, at),
    Buffer.from(`"${to}"`, 'latin1'),
    frame.subarray(at + quoted.length),
  ]);
  renamed.writeInt32BE(renamed.length - 1, 1);
  return renamed;
}
