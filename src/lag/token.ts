import { formatLsn, type Lsn, LsnSyntaxError, parseLsn } from './lsn.ts';

/** A position that a client carries from one connection, process or proxy to another. */
export interface LsnToken {
  /** Null in a bare position: of this cluster. */
  readonly systemId: string | null;
  /** Null in a bare position: of the present timeline. */
  readonly timeline: number | null;
  readonly lsn: Lsn;
}

/** A text that is not a token. The message says why, in a few words. */
export class TokenSyntaxError extends RangeError {
  override readonly name = 'TokenSyntaxError';
}

const SYSTEM_ID_PATTERN = /^[0-9]{1,20}$/;
const TIMELINE_PATTERN = /^[1-9][0-9]{0,9}$/;
/** Both are unsigned in PostgreSQL: uint64 and uint32 (TimeLineID). */
const SYSTEM_ID_END = 2n ** 64n;
const TIMELINE_END = 2 ** 32;

/**
 * Reads `system identifier/timeline/LSN`, for example `7710356922715825189/2/0/601C958`, or a bare
 * LSN. Throws TokenSyntaxError on anything else, and on 0/0, which is no position.
 */
export function parseToken(text: string): LsnToken {
  const parts = text.split('/', 5);
  if (parts.length === 2) return { systemId: null, timeline: null, lsn: tokenLsn(text) };
  if (parts.length !== 4) {
    throw new TokenSyntaxError('expected "system identifier/timeline/LSN" or an LSN');
  }
  const [systemId, timeline] = parts as [string, string, string, string];
  return {
    systemId: tokenSystemId(systemId),
    timeline: tokenTimeline(timeline),
    lsn: tokenLsn(`${parts[2]}/${parts[3]}`),
  };
}

/** The inverse of parseToken. A token that lacks the system or the timeline becomes a bare LSN. */
export function formatToken({ systemId, timeline, lsn }: LsnToken): string {
  if (systemId === null || timeline === null) return formatLsn(lsn);
  return `${systemId}/${timeline}/${formatLsn(lsn)}`;
}

function tokenSystemId(text: string): string {
  if (!SYSTEM_ID_PATTERN.test(text) || BigInt(text) >= SYSTEM_ID_END) {
    throw new TokenSyntaxError('the system identifier is not a 64-bit decimal number');
  }
  // Compared as text with what servers print, without leading zeros.
  return BigInt(text).toString();
}

function tokenTimeline(text: string): number {
  const timeline = Number(text);
  if (!TIMELINE_PATTERN.test(text) || timeline >= TIMELINE_END) {
    throw new TokenSyntaxError('the timeline is not a number from 1 to 4294967295');
  }
  return timeline;
}

function tokenLsn(text: string): Lsn {
  try {
    const lsn = parseLsn(text);
    if (lsn !== 0n) return lsn;
  } catch (error) {
    if (!(error instanceof LsnSyntaxError)) throw error;
    throw new TokenSyntaxError('the LSN is not of the form H/L in hexadecimal');
  }
  throw new TokenSyntaxError('the LSN 0/0 is no position');
}
