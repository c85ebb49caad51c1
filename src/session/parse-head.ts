import { Frontend } from '../protocol/codes.ts';

/** Type, length and name of a Parse whose body follows. */
export function parseHeadOf(name: string, body: Buffer): Buffer {
  const head = Buffer.allocUnsafe(5 + name.length + 1);
  head[0] = Frontend.Parse;
  head.writeInt32BE(4 + name.length + 1 + body.length, 1);
  head.write(name, 5, 'latin1');
  head[head.length - 1] = 0;
  return head;
}
