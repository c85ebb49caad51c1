/**
 * A position in the write-ahead log. A bigint because positions have 64 bits, and branded because a
 * byte count is not a position. Compare with `<` and `>=`: never as text, never as a double.
 */
export type Lsn = bigint & { readonly __brand: 'Lsn' };

/** A text that is not a log position. */
export class LsnSyntaxError extends RangeError {
  override readonly name = 'LsnSyntaxError';
}

/** Sizes that a server was built or initialised with, in bytes. */
export interface WalGeometry {
  /** `wal_block_size`: 8192 unless the server was built otherwise. */
  readonly walBlockBytes: number;
  /** `wal_segment_size`: 16 MiB unless initdb was told otherwise. */
  readonly walSegmentBytes: number;
}

/** SizeOfXLogShortPHD: the header of every log page but a segment's first. */
const SHORT_PAGE_HEADER_BYTES = 24n;
/** SizeOfXLogLongPHD: the header of a segment's first page. */
const LONG_PAGE_HEADER_BYTES = 40n;

const LSN_PATTERN = /^([0-9a-fA-F]{1,8})\/([0-9a-fA-F]{1,8})$/;
const LOW_HALF_BITS = 32n;
const LOW_HALF_MASK = 0xffffffffn;

/** Reads PostgreSQL's form, such as `16/B374D848`. Throws LsnSyntaxError on anything else. */
export function parseLsn(text: string): Lsn {
  const match = LSN_PATTERN.exec(text);
  if (match === null) {
    throw new LsnSyntaxError(`not a log position: ${JSON.stringify(text.slice(0, 40))}`);
  }
  const high = BigInt(Number.parseInt(match[1]!, 16));
  const low = BigInt(Number.parseInt(match[2]!, 16));
  return ((high << LOW_HALF_BITS) | low) as Lsn;
}

/** The form that PostgreSQL prints: two halves in upper-case hexadecimal, without leading zeros. */
export function formatLsn(lsn: Lsn): string {
  const high = (lsn >> LOW_HALF_BITS).toString(16).toUpperCase();
  const low = (lsn & LOW_HALF_MASK).toString(16).toUpperCase();
  return `${high}/${low}`;
}

/**
 * Moves an insert position that stands just behind a page header back to the page's start.
 *
 * When a record ends exactly on a page boundary, pg_current_wal_insert_lsn() names the place where
 * the next record will begin (XLogBytePosToRecPtr), behind the header of a page that nobody has
 * written yet. The replay position of a replica stays at the boundary (XLogBytePosToEndRecPtr), so
 * on an idle primary the replica would seem behind for ever. No record ends inside a header, so both
 * positions have the same records before them.
 */
export function normalizeInsertLsn(lsn: Lsn, geometry: WalGeometry): Lsn {
  const inPage = lsn % BigInt(geometry.walBlockBytes);
  const atSegmentStart = lsn % BigInt(geometry.walSegmentBytes) === inPage;
  const headerBytes = atSegmentStart ? LONG_PAGE_HEADER_BYTES : SHORT_PAGE_HEADER_BYTES;
  return (inPage <= headerBytes ? lsn - inPage : lsn) as Lsn;
}

/** Log bytes from `to` up to `from`: positive when `from` is ahead. Exact below 2^53 bytes. */
export function lsnDiffBytes(from: Lsn, to: Lsn): number {
  return Number(from - to);
}
