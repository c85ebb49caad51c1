import type { BoundStatement, ClientStatement } from './statements.ts';

const nothing = Buffer.alloc(0);

/** One of the messages that a request is made of. */
export class RequestMessage {
  type = 0;
  /** It is at [start,end) of this buffer. */
  buffer: Buffer = nothing;
  start = 0;
  end = 0;
  /** Of a Parse: its statement. */
  parsed: ClientStatement | null = null;
  /** Of an Execute: the statement that its portal runs. */
  executed: BoundStatement | null = null;
  /** It is malformed, so that any server refuses it before it does anything. */
  isBroken = false;

  set(type: number, buffer: Buffer, start: number, end: number): void {
    this.type = type;
    this.buffer = buffer;
    this.start = start;
    this.end = end;
  }

  /** Keeps nothing of what it was. */
  clear(): void {
    this.buffer = nothing;
    this.parsed = null;
    this.executed = null;
    this.isBroken = false;
  }
}
