import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { Lsn } from '../../../src/lag/lsn.ts';
import {
  PgReplayWaitSession,
  waitForLsnSql,
  waitOutcome,
} from '../../../src/pool/replay-wait-session.ts';
import {
  authenticationOk,
  commandComplete,
  dataRow,
  errorResponse,
  readyForQueryIdle,
  rowDescription,
} from '../../../src/protocol/backend.ts';

const lsn = 0x1_0000_0018n as Lsn;

describe('the answer to WAIT FOR LSN', () => {
  it.each([
    ['success', 'reached'],
    ['timeout', 'timed-out'],
    ['not in recovery', 'not-in-recovery'],
    ['Success', 'unclear'],
    ['', 'unclear'],
    [null, 'unclear'],
    [1, 'unclear'],
  ])('%j is taken as %s', (word, outcome) => {
    expect(waitOutcome([[word]])).toBe(outcome);
  });

  it('is unclear in any other shape', () => {
    for (const rows of [[], [[]], [['success'], ['success']], [['success', 'success']]]) {
      expect(waitOutcome(rows)).toBe('unclear');
    }
    fc.assert(
      fc.property(fc.array(fc.array(fc.anything())), (rows) => {
        expect(waitOutcome(rows)).toMatch(/^[a-z-]+$/);
      }),
    );
  });
});

it('asks as the manual of PostgreSQL 19 has it', () => {
  expect(waitForLsnSql(lsn, 1000)).toBe(
    "WAIT FOR LSN '1/18' WITH (MODE 'standby_replay', TIMEOUT '1000ms', NO_THROW)",
  );
});

describe('against a server that speaks the protocol', () => {
  const closing: (() => void)[] = [];
  afterEach(() => {
    for (const close of closing.splice(0)) close();
  });

  /** Lets everybody in, and answers a query with what `reply` says. */
  async function serverThat(reply: (socket: Socket, sql: string) => void) {
    const queries: string[] = [];
    const server = createServer((socket) => {
      let isLoggedIn = false;
      socket.on('error', () => {});
      socket.on('data', (chunk: Buffer) => {
        if (!isLoggedIn) {
          isLoggedIn = true;
          socket.write(Buffer.concat([authenticationOk, readyForQueryIdle]));
          return;
        }
        const sql = chunk.subarray(5, -1).toString();
        queries.push(sql);
        reply(socket, sql);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const session = new PgReplayWaitSession({
      name: 'n',
      host: '127.0.0.1',
      port: (server.address() as AddressInfo).port,
      user: 'u',
      password: '',
      database: 'd',
    });
    closing.push(() => {
      session.destroy();
      server.close();
    });
    return { session, queries };
  }
  const answer = (...words: (string | null)[]) =>
    Buffer.concat([
      rowDescription([{ name: 'status', typeOid: 25 }]),
      ...words.map((word) => dataRow([word])),
      commandComplete('WAIT'),
      readyForQueryIdle,
    ]);

  it('takes its word, and asks again on the same connection', async () => {
    const words = ['success', 'timeout', 'not in recovery', 'garbage'];
    const { session, queries } = await serverThat((socket) => socket.write(answer(words.shift()!)));
    const outcomes = [];
    for (let i = 0; i < 4; i++) outcomes.push(await session.wait(lsn, 1000));
    expect(outcomes).toEqual(['reached', 'timed-out', 'not-in-recovery', 'unclear']);
    expect(queries).toEqual(Array(4).fill(waitForLsnSql(lsn, 1000)));
  });

  it.each(['42601', '57014', '55000', '0A000'])(
    'rejects when it refuses with %s',
    async (sqlstate) => {
      const { session } = await serverThat((socket) => {
        const error = errorResponse({ severity: 'ERROR', sqlstate, message: 'no' });
        socket.write(Buffer.concat([error, readyForQueryIdle]));
      });
      await expect(session.wait(lsn, 1000)).rejects.toMatchObject({ code: sqlstate });
    },
  );

  it('rejects when the connection is cut, from either end', async () => {
    const { session } = await serverThat((socket) => socket.destroy());
    await expect(session.wait(lsn, 1000)).rejects.toThrow();
    const silent = await serverThat(() => {});
    const waiting = silent.session.wait(lsn, 1000);
    const rejected = expect(waiting).rejects.toThrow();
    while (silent.queries.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    silent.session.destroy();
    silent.session.destroy();
    await rejected;
  });
});
