import { Frontend } from '../../../src/protocol/codes.ts';
import { FrameScanner, frontendLengthMax, Scan } from '../../../src/protocol/frames.ts';
import { type Classify, Request, type RequestEnd } from '../../../src/session/request.ts';
import type { ClientStatements } from '../../../src/session/statements.ts';

/** How a request ends whose last message is of this type. */
const ends: Readonly<Record<number, RequestEnd>> = {
  [Frontend.Query]: 'query',
  [Frontend.FunctionCall]: 'call',
  [Frontend.Sync]: 'sync',
  [Frontend.Flush]: 'flush',
};

/** The request that whole messages of a client's make. */
export function takeMessages(
  bytes: Buffer,
  statements: ClientStatements,
  classify: Classify,
): Request {
  const request = new Request();
  const scanner = new FrameScanner({
    lengthMax: frontendLengthMax,
    assembledBytesMax: 1 << 20,
    headBytesMin: 64,
  });
  scanner.feed(bytes);
  let last = 0;
  while (scanner.next() === Scan.Frame) {
    const { type, buffer, start, end } = scanner;
    last = type;
    if (type === Frontend.Query) request.takeQuery(buffer, start, end, statements, classify);
    else if (type === Frontend.FunctionCall) request.takeCall(buffer, start, end, false);
    else request.takeExtended(type, buffer, start, end, statements, classify);
  }
  request.finish(ends[last] ?? 'unfinished', statements);
  return request;
}
