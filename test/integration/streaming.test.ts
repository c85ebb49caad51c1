import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as frontend from '../../src/protocol/frontend.ts';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { FrameCounter } from '../support/frame-counter.ts';
import { ResidentMemory } from '../support/memory.ts';
import { ProxyProcess } from '../support/proxy-process.ts';
import {
  describeFrames,
  type RawClient,
  type RawTarget,
  rawHeader,
} from '../support/raw-client.ts';

const {
  bind,
  copyData,
  copyDone,
  describe: describeMessage,
  execute,
  parse,
  query,
  sync,
} = frontend;

const megabyte = 1_000_000;
/** `TIDEMARK_TEST_STREAMING=full` for a gigabyte; PostgreSQL ends a little above (MaxAllocSize). */
const isFull = process.env.TIDEMARK_TEST_STREAMING === 'full';
const rowBytes = (isFull ? 1_000 : 128) * megabyte;
const parameterBytes = (isFull ? 500 : 128) * megabyte;
const growthMaxBytes = 64 * 1024 * 1024;
const timeoutMs = 600_000;

let cluster: TestCluster;
let proxy: ProxyProcess;
let there: RawTarget;

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 2 });
  proxy = await ProxyProcess.start(cluster, { pool: { size: 2 } });
  const { user, password, database } = cluster;
  there = { host: proxy.host, port: proxy.port, user, password, database };
  await cluster.primary.query('create table sink (t text); create table numbers (n int)');
  await cluster.waitForCatchup();
  await warmUp();
});

afterAll(async () => {
  await proxy?.stop();
  await cluster?.stop();
});

/** What the process takes once, for code and buffers. */
async function warmUp(): Promise<void> {
  const reader = await FrameCounter.logIn(there);
  for (let round = 1; round <= 3; round++) {
    reader.client.send(query(`select repeat('x', ${20 * megabyte})`));
    await reader.until('Z', round);
  }
  reader.client.destroy();
}

/** Runs with a client of its own, and says by how much the proxy grew. */
async function growthDuring(
  name: string,
  run: (reader: FrameCounter) => Promise<void>,
): Promise<void> {
  const reader = await FrameCounter.logIn(there);
  const memory = await ResidentMemory.watch(proxy.pid);
  const startMs = performance.now();
  await run(reader);
  const tookMs = performance.now() - startMs;
  const { growthBytes } = await memory.end();
  reader.client.destroy();
  const grown = (growthBytes / 1024 / 1024).toFixed(1);
  if (isFull) console.log(`${name}: ${(tookMs / 1000).toFixed(1)} s, grown by ${grown} MiB`);
  expect(growthBytes).toBeLessThan(growthMaxBytes);
}

/** A megabyte at a time, as fast as it is taken. */
async function sendMany(client: RawClient, bytes: number): Promise<void> {
  const chunk = Buffer.alloc(megabyte, 'x');
  for (let sent = 0; sent < bytes; sent += chunk.length) {
    await client.sendSlowly(chunk.subarray(0, Math.min(chunk.length, bytes - sent)));
  }
}

const rowsAsked: Record<string, readonly Buffer[]> = {
  'one value': [query(`select repeat('x', ${rowBytes})`)],
  'one value by extended messages': [
    parse('', `select repeat('x', ${rowBytes})`),
    bind(),
    describeMessage(frontend.TargetKind.Portal),
    execute(),
    sync,
  ],
  'four columns': [
    query(`select ${[1, 2, 3, 4].map(() => `repeat('x', ${rowBytes / 4})`).join(', ')}`),
  ],
};

describe('constant memory', () => {
  it.each(Object.entries(rowsAsked))('a row of %s', { timeout: timeoutMs }, async (name, asked) => {
    await growthDuring(`a row of ${name}`, async (reader) => {
      reader.client.send(...asked);
      await reader.until('Z', 1);
      expect(reader.frames('D')).toBe(1);
      expect(reader.bytes('D')).toBeGreaterThan(rowBytes);
      expect(describeFrames(reader.kept.slice(-2))).toEqual(['C:SELECT 1', 'Z:I']);
    });
  });

  it('a COPY out', { timeout: timeoutMs }, async () => {
    const lines = rowBytes / 1_000;
    await growthDuring('a COPY out', async (reader) => {
      reader.client.send(
        query(`copy (select repeat('x', 999) from generate_series(1, ${lines})) to stdout`),
      );
      await reader.until('Z', 1);
      expect(reader.bytes('d')).toBe(lines * 1_005);
      expect(describeFrames(reader.kept.slice(-2))).toEqual([`C:COPY ${lines}`, 'Z:I']);
    });
  });

  it('a COPY in', { timeout: timeoutMs }, async () => {
    const lines = rowBytes / 1_000;
    const thousand = copyData(Buffer.from(`${'x'.repeat(999)}\n`.repeat(1_000)));
    await growthDuring('a COPY in', async (reader) => {
      // It is read and counted, not stored.
      reader.client.send(query("copy sink from stdin where t = ''"));
      await reader.until('G', 1);
      for (let sent = 0; sent < lines; sent += 1_000) await reader.client.sendSlowly(thousand);
      reader.client.send(copyDone);
      await reader.until('Z', 1);
      expect(describeFrames(reader.kept.slice(-2))).toEqual(['C:COPY 0', 'Z:I']);
    });
  });

  it('a COPY in of one line', { timeout: timeoutMs }, async () => {
    await growthDuring('a COPY in of one line', async (reader) => {
      reader.client.send(query("copy sink from stdin where t = ''"));
      await reader.until('G', 1);
      reader.client.send(rawHeader('d', 4 + parameterBytes + 1));
      await sendMany(reader.client, parameterBytes);
      reader.client.send(Buffer.from('\n'), copyDone);
      await reader.until('Z', 1);
      expect(describeFrames(reader.kept.slice(-2))).toEqual(['C:COPY 0', 'Z:I']);
    });
  });

  it.each(['', 'named'])('a parameter of statement "%s"', { timeout: timeoutMs }, async (name) => {
    await growthDuring(`a parameter of ${name || 'the unnamed statement'}`, async (reader) => {
      reader.client.send(parse(name, 'select length($1)'));
      const body = Buffer.concat([
        Buffer.from(`\0${name}\0`),
        Buffer.from([0, 0, 0, 1]),
        int32(parameterBytes),
      ]);
      reader.client.send(rawHeader('B', 4 + body.length + parameterBytes + 2), body);
      await sendMany(reader.client, parameterBytes);
      reader.client.send(Buffer.from([0, 0]), execute(), sync);
      await reader.until('Z', 1);
      const row = reader.kept.find(({ type }) => type === 'D');
      expect(row?.bytes.toString('latin1', 11)).toBe(String(parameterBytes));
    });
  });
});

const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};

describe('10,000 statements in one pipeline', () => {
  const count = 10_000;

  /** Reads, writes and failures by turns, each with a Sync of its own. */
  const statement = (index: number): Buffer => {
    const sql =
      index % 10 === 3
        ? 'insert into numbers values ($1::int) returning n'
        : index % 10 === 7
          ? 'select 1 / ($1::int - $1::int)'
          : 'select $1::int';
    return Buffer.concat([parse('', sql), bind({ params: [String(index)] }), execute(), sync]);
  };

  it('are answered in order, in constant memory', { timeout: timeoutMs }, async () => {
    const pipeline = Buffer.concat(Array.from({ length: count }, (_, index) => statement(index)));
    await growthDuring('10,000 statements', async (reader) => {
      reader.client.send(pipeline);
      await reader.until('Z', count);
      const answers = reader.kept
        .filter(({ type }) => type === 'D' || type === 'E')
        .map((frame) =>
          frame.type === 'E' ? describeFrames([frame])[0] : frame.bytes.toString('latin1', 11),
        );
      const expected = Array.from({ length: count }, (_, index) =>
        index % 10 === 7 ? 'E:ERROR:22012' : String(index),
      );
      expect(answers).toEqual(expected);
    });
    const rows = await cluster.primary.query('select count(*)::int as count from numbers');
    expect(rows).toEqual([{ count: count / 10 }]);
  });
});

describe('a slow reader', () => {
  it('of a large answer holds up nobody', { timeout: timeoutMs }, async () => {
    await growthDuring('a slow reader', async (reader) => {
      const { client } = reader;
      client.send(query(`select repeat('x', ${rowBytes}); select 'behind'`));
      await client.when(() => client.bytesRead > rowBytes / 10, 'a part of the answer', timeoutMs);
      client.pause();
      const other = await FrameCounter.logIn(there);
      for (let round = 1; round <= 200; round++) {
        other.client.send(query(round % 2 === 0 ? 'select 1' : 'insert into sink values (null)'));
        await other.until('Z', round);
      }
      expect(other.frames('E')).toBe(0);
      other.client.destroy();
      client.resume();
      await reader.until('Z', 1);
      expect(reader.bytes('D')).toBeGreaterThan(rowBytes);
      expect(describeFrames(reader.kept.slice(-2))).toEqual(['C:SELECT 1', 'Z:I']);
    });
  });
});
