import { isUtf8 } from 'node:buffer';
import type { Settings } from '../pool/settings.ts';
import { frameHeaderBytes } from '../protocol/codes.ts';
import { type Insertion, withPositionWithout } from '../protocol/error-position.ts';
import { query } from '../protocol/frontend.ts';
import { parse } from '../router/parser.ts';
import type { Classified } from '../router/statement.ts';
import { type BackToBase, backToBase } from './back-to-base.ts';

/** A query string in which the session's startup settings are made again behind each RESET of them. */
export interface ResettingQuery {
  readonly message: Buffer;
  /** By the index of the statement that they stand behind. */
  readonly behind: ReadonlyMap<number, BackToBase>;
  /** An ErrorResponse with its position in the client's own text; null: as it is. */
  readonly reworded: (frame: Buffer) => Buffer | null;
}

/** For the Query at [start,end), of that class; null: nothing stands behind a RESET in it. */
export function resettingQuery(
  buffer: Buffer,
  start: number,
  end: number,
  { statements }: Classified,
  base: Settings,
): ResettingQuery | null {
  const behind = new Map<number, BackToBase>();
  for (const [index, { effect }] of statements.slice(0, -1).entries()) {
    const back = backToBase(effect, base);
    if (back !== null) behind.set(index, back);
  }
  if (behind.size === 0) return null;
  const text = buffer.subarray(start + frameHeaderBytes, end - 1);
  const isUnicode = isUtf8(text);
  const parsed = parse(text.toString(isUnicode ? 'utf8' : 'latin1'));
  if (parsed?.length !== statements.length) return null;
  const parsedText = isUnicode ? text : Buffer.from(text.toString('latin1'));
  const pieces: Buffer[] = [];
  const insertions: Insertion[] = [];
  let taken = 0;
  for (const [index, { statements: more }] of behind) {
    const end = parsed[index]!.start + parsed[index]!.length;
    const inserted = more.map((sql) => `; ${sql}`).join('');
    pieces.push(parsedText.subarray(taken, end), Buffer.from(inserted));
    const characters = [...inserted].length;
    insertions.push({ behind: [...parsedText.toString('utf8', 0, end)].length, characters });
    taken = end;
  }
  pieces.push(parsedText.subarray(taken));
  const sql = Buffer.concat(pieces);
  return {
    message: query(isUnicode ? sql : Buffer.from(sql.toString('utf8'), 'latin1')),
    behind,
    reworded: (frame) => withPositionWithout(frame, insertions),
  };
}
