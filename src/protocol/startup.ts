import { isUtf8 } from 'node:buffer';
import { StartupCode, startupPacketBytesMax } from './codes.ts';
import { ProtocolError } from './protocol-error.ts';
import { MessageReader } from './reader.ts';

/** Length word and version or request code. */
const startupPacketBytesMin = 8;

/** Prefix of options that belong to the protocol; none is defined so far. */
const protocolOptionPrefix = '_pq_.';

export interface CancelPacket {
  readonly kind: 'cancel';
  readonly pid: number;
  /** 4 bytes up to protocol 3.1, 4 to 256 since 3.2. */
  readonly secret: Buffer;
}

export interface StartupMessage {
  readonly kind: 'startup';
  /** Always 3 here. */
  readonly major: number;
  readonly minor: number;
  /** All but the protocol options, in the client's order; of a repeated one the last counts. */
  readonly params: Map<string, string>;
  /** Names of the `_pq_.` options. */
  readonly protocolOptions: readonly string[];
}

/** The first packet of a connection, or the one that follows an answer to ssl or gssenc. */
export type StartupPacket =
  | { readonly kind: 'ssl' }
  | { readonly kind: 'gssenc' }
  | CancelPacket
  | StartupMessage
  /** Another major version than 3: the rest of such a packet has no known form. */
  | { readonly kind: 'unsupported'; readonly major: number; readonly minor: number };

/**
 * Bytes of the whole packet, from its first four, before anything else of it is waited for.
 * Raises ProtocolError outside 8 to 10,000 bytes. (PostgreSQL leaves the length word out of its
 * count, so its limit is four bytes higher.)
 */
export function startupPacketBytes(lengthWord: Buffer): number {
  const bytes = new MessageReader(lengthWord, 0, lengthWord.length).int32();
  if (bytes < startupPacketBytesMin || bytes > startupPacketBytesMax) {
    throw new ProtocolError('invalid length of startup packet');
  }
  return bytes;
}

/** Names that are compared or logged must be the same text for the same bytes only. */
function decodeParam(name: string, value: Buffer): string {
  if ((name === 'user' || name === 'database') && !isUtf8(value)) {
    throw new ProtocolError(`the ${name} name is not valid UTF-8`);
  }
  return value.toString();
}

function parseStartupMessage(reader: MessageReader, minor: number): StartupMessage {
  const params = new Map<string, string>();
  const protocolOptions: string[] = [];
  while (reader.remaining > 1) {
    const name = reader.cstring();
    // A value must follow, and behind it at least the terminator of the packet.
    if (name === '' || reader.remaining < 2) {
      throw new ProtocolError('invalid startup packet layout: expected terminator as last byte');
    }
    const value = reader.cstringBytes();
    if (name.startsWith(protocolOptionPrefix)) protocolOptions.push(name);
    else params.set(name, decodeParam(name, value));
  }
  if (reader.remaining !== 1 || reader.byte() !== 0) {
    throw new ProtocolError('invalid startup packet layout: expected terminator as last byte');
  }
  return { kind: 'startup', major: 3, minor, params, protocolOptions };
}

/**
 * Reads a whole packet (ProcessStartupPacket, backend_startup.c); raises ProtocolError where its
 * layout is broken. That a user is named is for the caller to check.
 */
export function parseStartupPacket(packet: Buffer): StartupPacket {
  if (startupPacketBytes(packet) !== packet.length) {
    throw new ProtocolError('invalid length of startup packet');
  }
  const reader = new MessageReader(packet, 4, packet.length);
  const code = reader.uint32();
  switch (code) {
    case StartupCode.Ssl:
      return { kind: 'ssl' };
    case StartupCode.GssEnc:
      return { kind: 'gssenc' };
    case StartupCode.Cancel: {
      const pid = reader.int32();
      const secret = Buffer.from(reader.rest());
      if (secret.length < 4 || secret.length > 256) {
        throw new ProtocolError('invalid length of cancel key');
      }
      return { kind: 'cancel', pid, secret };
    }
  }
  const major = code >>> 16;
  const minor = code & 0xffff;
  if (major !== 3) return { kind: 'unsupported', major, minor };
  return parseStartupMessage(reader, minor);
}
