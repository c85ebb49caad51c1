import { Exchange } from '../../src/pool/exchange.ts';
import { steps } from '../../src/pool/step.ts';
import { dataRow, rowDescription } from '../../src/protocol/backend.ts';
import { FrameScanner, frontendLengthMax, Scan } from '../../src/protocol/frames.ts';
import { query } from '../../src/protocol/frontend.ts';
import { fakeServer, RecordingSink } from '../../test/unit/pool/fake-server.ts';
import type { MicroBench, MicroGroup } from './micro-bench.ts';

const assembledBytesMax = 1 << 20;
const headBytesMin = 64;
const queriesPerChunk = 256;
/** With the largest rows 64 KiB, as much as Node.js reads at a time. */
const rowsPerChunk = 16;
const rowBytes = [64, 256, 1_024, 4_096] as const;

export function framing(): MicroGroup {
  return {
    title: 'Frames',
    benches: [scanning(), ...rowBytes.map(forwarding)],
  };
}

/** What clients send, cut into frames. */
function scanning(): MicroBench {
  const frame = query('select abalance from pgbench_accounts where aid = 1234567');
  const chunk = Buffer.concat(Array.from({ length: queriesPerChunk }, () => frame));
  const lengthMax = frontendLengthMax;
  const scanner = new FrameScanner({ lengthMax, assembledBytesMax, headBytesMin });
  return {
    name: `find a client's frame (${frame.length} bytes)`,
    count: queriesPerChunk,
    aimNs: null,
    run: () => {
      scanner.feed(chunk);
      while (scanner.next() !== Scan.NeedMore);
    },
  };
}

/** Takes everything, keeps nothing. */
class DiscardingSink extends RecordingSink {
  override forward(): boolean {
    return true;
  }
}

/** Rows on their way from a server connection to the session: a run of them leaves as one slice. */
function forwarding(bytes: number): MicroBench {
  const { socket, connection } = fakeServer();
  const exchange = new Exchange(new DiscardingSink());
  exchange.steps.push(steps.query);
  connection.expect(exchange);
  const emptyRowBytes = dataRow(['']).length;
  const row = dataRow(['x'.repeat(bytes - emptyRowBytes)]);
  const chunk = Buffer.concat(Array.from({ length: rowsPerChunk }, () => row));
  socket.emit('data', rowDescription([]));
  return {
    name: `forward a data row of ${row.length} bytes (${rowsPerChunk} to a chunk)`,
    count: rowsPerChunk,
    aimNs: null,
    run: () => {
      socket.emit('data', chunk);
    },
  };
}
