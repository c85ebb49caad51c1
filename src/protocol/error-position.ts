import { frameHeaderBytes } from './codes.ts';
import { cstringEnd } from './reader.ts';

/** Text put into a query string. */
export interface Insertion {
  /** Characters of the query string in front of it. */
  readonly behind: number;
  readonly characters: number;
}

const positionField = 0x50; // P

/**
 * An ErrorResponse whose position (field P, "Error and Notice Message Fields": in characters, from 1)
 * counts only what the client has sent; null: it has none, or it lies before the first insertion.
 */
export function withPositionWithout(
  frame: Buffer,
  insertions: readonly Insertion[],
): Buffer | null {
  let at = frameHeaderBytes;
  while (at < frame.length && frame[at] !== 0 && frame[at] !== positionField) {
    at = cstringEnd(frame, at + 1, frame.length) + 1;
  }
  if (frame[at] !== positionField) return null;
  const valueEnd = cstringEnd(frame, at + 1, frame.length);
  const position = Number(frame.toString('latin1', at + 1, valueEnd));
  let own = position;
  for (const { behind, characters } of insertions) {
    if (own > behind) own = Math.max(behind + 1, own - characters);
  }
  if (own === position) return null;
  const moved = Buffer.concat([
    frame.subarray(0, at + 1),
    Buffer.from(String(own), 'latin1'),
    frame.subarray(valueEnd),
  ]);
  moved.writeInt32BE(moved.length - 1, 1);
  return moved;
}
