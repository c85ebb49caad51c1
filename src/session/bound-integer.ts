import { BindFields } from '../protocol/fields.ts';
import { MessageReader } from '../protocol/reader.ts';

const bindFields = new BindFields();

/** The value of parameter `number` (from 1) in the Bind at [start,end), if it is an integer; or null. */
export function boundInteger(
  buffer: Buffer,
  start: number,
  end: number,
  number: number,
): number | null {
  const { restOffset } = bindFields.read(buffer, start, end);
  const reader = new MessageReader(buffer, restOffset, end);
  const formats: number[] = [];
  for (let left = reader.uint16(); left > 0; left--) formats.push(reader.int16());
  const count = reader.uint16();
  for (let index = 1; index <= count; index++) {
    const bytes = reader.int32();
    if (bytes < 0) continue;
    const value = reader.bytes(bytes);
    if (index !== number) continue;
    // One format is for all parameters, none is text for all.
    const isBinary = (formats.length === 1 ? formats[0] : formats[index - 1]) === 1;
    if (isBinary) return integerOf(value);
    const text = value.toString('latin1').trim();
    return /^\d{1,10}$/.test(text) ? Number(text) : null;
  }
  return null;
}

function integerOf(value: Buffer): number | null {
  if (value.length === 4) return value.readInt32BE(0);
  return value.length === 8 ? Number(value.readBigInt64BE(0)) : null;
}
