/**
 * The peer broke the wire protocol. The only error that code in this folder raises on bad bytes:
 * SQLSTATE 08P01 (protocol_violation), and the connection cannot go on, because the place where
 * the next message starts is no longer known.
 */
export class ProtocolError extends Error {
  readonly sqlstate = '08P01';

  constructor(message: string) {
    super(message);
    this.name = 'ProtocolError';
  }
}
