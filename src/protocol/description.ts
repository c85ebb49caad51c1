import { Backend, frameHeaderBytes } from './codes.ts';
import { MessageReader } from './reader.ts';
import { message } from './writer.ts';

/** The frame at [start,end) has arrived to its end. */
export const isWhole = (buffer: Buffer, start: number, end: number): boolean =>
  end - start >= frameHeaderBytes && end - start === 1 + buffer.readUInt32BE(start + 1);

/** Type OIDs of a ParameterDescription. */
export function parameterTypes(buffer: Buffer, start: number, end: number): readonly number[] {
  const reader = new MessageReader(buffer, start + frameHeaderBytes, end);
  return Array.from({ length: reader.uint16() }, () => reader.int32());
}

export function parameterDescription(types: readonly number[]): Buffer {
  return message(Backend.ParameterDescription, (writer) => {
    writer.uint16(types.length);
    for (const type of types) writer.int32(type);
  });
}

/**
 * What a cached plan must not change of its result (equalRowTypes in tupdesc.c): names, types and
 * type modifiers, of a RowDescription or NoData. Equal texts mean equal results.
 */
export function resultShape(buffer: Buffer, start: number, end: number): string {
  if (buffer[start] === Backend.NoData) return '';
  const reader = new MessageReader(buffer, start + frameHeaderBytes, end);
  const columns = Array.from({ length: reader.int16() }, () => {
    const name = reader.cstring();
    // Where the column comes from: table and number.
    reader.int32();
    reader.int16();
    const type = reader.int32();
    reader.int16();
    const modifier = reader.int32();
    reader.int16();
    return `${type} ${modifier} ${name}`;
  });
  return columns.join('\0');
}
