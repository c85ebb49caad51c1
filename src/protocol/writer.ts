import assert from 'node:assert';

const startBytes = 1024;
/** A buffer that grew beyond this is given away with its message instead of being kept. */
const keptBytesMax = 64 * 1024;

/**
 * Text encoding of a string field. Statement and portal names are carried as latin1, so that
 * any bytes a client chose survive the way through a JavaScript string; all else is UTF-8.
 */
export type TextEncoding = 'utf8' | 'latin1';

/** Writes messages one behind the other into a growing buffer; `take` hands them over. */
export class MessageWriter {
  #buffer = Buffer.allocUnsafe(startBytes);
  #offset = 0;
  /** Offset of the length word of the open message, -1 between messages. */
  #lengthAt = -1;

  /** Opens a message: its type byte and room for the length word. */
  begin(type: number): this {
    assert(type > 0 && type < 256);
    this.byte(type);
    return this.beginUntyped();
  }

  /** Opens a message without type byte, as those before the startup packet is accepted. */
  beginUntyped(): this {
    assert(this.#lengthAt === -1, 'the previous message was not ended');
    this.#lengthAt = this.#offset;
    return this.int32(0);
  }

  byte(value: number): this {
    this.#reserve(1);
    this.#buffer[this.#offset++] = value;
    return this;
  }

  int16(value: number): this {
    this.#reserve(2);
    this.#offset = this.#buffer.writeInt16BE(value, this.#offset);
    return this;
  }

  /** Counts of the protocol go up to 65535: the same two bytes read as unsigned. */
  uint16(value: number): this {
    this.#reserve(2);
    this.#offset = this.#buffer.writeUInt16BE(value, this.#offset);
    return this;
  }

  int32(value: number): this {
    this.#reserve(4);
    this.#offset = this.#buffer.writeInt32BE(value, this.#offset);
    return this;
  }

  uint32(value: number): this {
    this.#reserve(4);
    this.#offset = this.#buffer.writeUInt32BE(value, this.#offset);
    return this;
  }

  /** A zero inside would end the field early and let the rest be read as something else. */
  cstring(text: string, encoding: TextEncoding = 'utf8'): this {
    assert(!text.includes('\0'), 'a string field cannot hold a zero byte');
    return this.text(text, encoding).byte(0);
  }

  /** The bytes of a string without terminator. */
  text(text: string, encoding: TextEncoding = 'utf8'): this {
    this.#reserve(Buffer.byteLength(text, encoding));
    this.#offset += this.#buffer.write(text, this.#offset, encoding);
    return this;
  }

  bytes(bytes: Uint8Array): this {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#offset);
    this.#offset += bytes.length;
    return this;
  }

  /** Closes the open message: its length word counts itself and what follows. */
  end(): this {
    assert(this.#lengthAt >= 0, 'no message is open');
    this.#buffer.writeInt32BE(this.#offset - this.#lengthAt, this.#lengthAt);
    this.#lengthAt = -1;
    return this;
  }

  /** The messages written so far, as a buffer of the caller's own. Empties the writer. */
  take(): Buffer {
    assert(this.#lengthAt === -1, 'a message is still open');
    const written = this.#buffer.subarray(0, this.#offset);
    this.#offset = 0;
    if (this.#buffer.length <= keptBytesMax) return Buffer.from(written);
    this.#buffer = Buffer.allocUnsafe(startBytes);
    return written;
  }

  /** Forgets everything, also a message left open by an error. */
  reset(): this {
    this.#offset = 0;
    this.#lengthAt = -1;
    return this;
  }

  #reserve(bytes: number): void {
    const needed = this.#offset + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#offset);
    this.#buffer = grown;
  }
}

const shared = new MessageWriter();

/** One message as a buffer of its own: `fill` writes the body between header and end. */
export function message(type: number, fill: (writer: MessageWriter) => void): Buffer {
  shared.reset().begin(type);
  fill(shared);
  return shared.end().take();
}

/** As `message`, for the packets that have no type byte. */
export function untypedMessage(fill: (writer: MessageWriter) => void): Buffer {
  shared.reset().beginUntyped();
  fill(shared);
  return shared.end().take();
}
