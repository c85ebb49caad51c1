import { beforeEach, describe, expect, it } from 'vitest';
import { Exchange } from '../../../src/pool/exchange.ts';
import { Pool } from '../../../src/pool/pool.ts';
import { Settings } from '../../../src/pool/settings.ts';
import type { SharedLine } from '../../../src/pool/shared-line.ts';
import { steps } from '../../../src/pool/step.ts';
import { readyForQueryIdle } from '../../../src/protocol/backend.ts';
import { poolConfig } from '../session/fake-cluster.ts';
import { type FakeServer, fakeServer, RecordingSink } from './fake-server.ts';

const size = 4;
const nowMs = 0;

let pool: Pool;
let servers: FakeServer[];

beforeEach(async () => {
  servers = [];
  pool = new Pool({
    connect: async () => {
      const server = fakeServer(nowMs);
      servers.push(server);
      return server.connection;
    },
    config: { ...poolConfig, size },
    now: () => nowMs,
  });
  const taken = Array.from(
    { length: size },
    () => new Promise<void>((resolve) => pool.acquire(() => resolve(), resolve as () => void)),
  );
  await Promise.all(taken);
  for (const { connection } of servers) pool.release(connection);
});

/** A read gets on. Null: it would have to wait. */
function read(): SharedLine | null {
  const line = pool.lines.find(Settings.none, nowMs);
  if (line === null) return null;
  const sink = new RecordingSink();
  const exchange = new Exchange(sink);
  exchange.steps.push(steps.query);
  sink.ready = () => {
    line.headEnded(nowMs);
  };
  line.server.expect(exchange);
  line.add({ exchange, isMovable: true, displaced: () => {} }, nowMs);
  return line;
}

/** How many lines so many reads are on. */
const lines = (reads: number) => new Set(Array.from({ length: reads }, read)).size;

const answer = ({ server }: SharedLine) =>
  servers.find(({ connection }) => connection === server)!.socket.deliver(readyForQueryIdle);

describe('while the pool has connections to give', () => {
  it('sixteen reads are on one before another one is taken', () => {
    expect(lines(16)).toBe(1);
    expect(lines(16)).toBe(1);
    expect(pool.lines.excess).toBe(30);
  });

  it('they go where the fewest are', () => {
    const first = Array.from({ length: 16 }, read)[0]!;
    const other = read()!;
    expect(other).not.toBe(first);
    for (let count = 1; count < 16; count++) expect(read()).toBe(other);
    expect([first, other]).not.toContain(read());
  });

  it('one that has been answered makes room', () => {
    const first = Array.from({ length: 16 }, read)[0]!;
    answer(first);
    expect(first.depth).toBe(15);
    expect(read()).toBe(first);
    expect(read()).not.toBe(first);
  });

  it('one that has left does so when its answer has come', () => {
    const exchange = new Exchange(new RecordingSink());
    exchange.steps.push(steps.query);
    const rider = { exchange, isMovable: true, displaced: () => {} };
    const line = pool.lines.find(Settings.none, nowMs)!;
    line.server.expect(exchange);
    line.add(rider, nowMs);
    for (let count = 1; count < 16; count++) expect(read()).toBe(line);
    line.leave(rider);
    expect(line.depth).toBe(16);
    answer(line);
    expect(line.depth).toBe(15);
  });

  it('a line on which nobody is left goes back to the pool', () => {
    const line = read()!;
    expect(pool.lines.isQuiet).toBe(false);
    answer(line);
    expect(pool.lines.isQuiet).toBe(true);
    expect(line.isOpenAt(nowMs)).toBe(false);
  });
});

describe('where the pool has no more to give', () => {
  it('reads get on those that there are, up to 64 on each', () => {
    const depthMax = 64;
    expect(lines(size * depthMax)).toBe(size);
    expect(pool.lines.excess).toBe(size * (depthMax - 1));
    expect(read()).toBeNull();
  });
});
