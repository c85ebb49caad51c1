import { Frontend, frameHeaderBytes } from './codes.ts';
import { zeroByteAt } from './reader.ts';

const typeOidBytes = 4;
const rowLimitBytes = 4;

/** One past the zero byte that ends the string at `at`; -1 when there is none before `end`. */
function behindString(buffer: Buffer, at: number, end: number): number {
  const nul = at === -1 ? -1 : zeroByteAt(buffer, at, end);
  return nul === -1 ? -1 : nul + 1;
}

/** Query: offset one past the last byte of its text; -1 when the message is malformed. */
export function queryEndIfWhole(buffer: Buffer, start: number, end: number): number {
  const behind = behindString(buffer, start + frameHeaderBytes, end);
  return behind === end ? end - 1 : -1;
}

/**
 * Whether an extended message that has arrived whole has the form that PostgresMain (postgres.c)
 * checks before it does anything else: pq_getmsgstring, pq_getmsgint, pq_getmsgend. What is behind
 * the names of a Bind is checked later, by the server alone.
 */
export function isWellFormed(type: number, buffer: Buffer, start: number, end: number): boolean {
  const at = start + frameHeaderBytes;
  switch (type) {
    case Frontend.Parse: {
      const countAt = behindString(buffer, behindString(buffer, at, end), end);
      if (countAt === -1 || countAt + 2 > end) return false;
      return countAt + 2 + buffer.readUInt16BE(countAt) * typeOidBytes === end;
    }
    case Frontend.Bind:
      return behindString(buffer, behindString(buffer, at, end), end) !== -1;
    case Frontend.Describe:
    case Frontend.Close:
      // S or P: a statement or a portal.
      return (
        (buffer[at] === 0x53 || buffer[at] === 0x50) && behindString(buffer, at + 1, end) === end
      );
    case Frontend.Execute: {
      const limitAt = behindString(buffer, at, end);
      return limitAt !== -1 && limitAt + rowLimitBytes === end;
    }
    case Frontend.Flush:
      return at === end;
    default:
      return true;
  }
}
