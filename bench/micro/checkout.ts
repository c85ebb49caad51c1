import { configFromUrls } from '../../src/config/from-urls.ts';
import { Pool } from '../../src/pool/pool.ts';
import type { ServerConnection } from '../../src/pool/server-connection.ts';
import { fakeServer } from '../../test/unit/pool/fake-server.ts';
import type { MicroGroup } from './micro-bench.ts';

const size = 20;
const turnsPerRun = 64;

export async function checkout(): Promise<MicroGroup> {
  const pool = await fullPool();
  return {
    title: `Pool of ${size} connections`,
    benches: [
      {
        name: 'take a connection that is idle, and give it back',
        count: turnsPerRun,
        aimNs: null,
        run: () => {
          for (let turn = 0; turn < turnsPerRun; turn++) pool.release(pool.tryAcquire()!);
        },
      },
      {
        name: 'wait for a connection, and have it when another gives it back',
        count: turnsPerRun,
        aimNs: null,
        run: waitingInTurns(pool),
      },
    ],
    end: () => {
      pool.close();
      return Promise.resolve();
    },
  };
}

async function fullPool(): Promise<Pool> {
  const { pool: defaults } = configFromUrls({
    ...{ primary: 'postgres://me:none@127.0.0.1/app', replicas: [] },
    ...{ listen: undefined, http: undefined, auth: undefined, workers: undefined },
  });
  const pool = new Pool({
    connect: () => Promise.resolve(fakeServer(performance.now()).connection),
    config: { ...defaults, size },
    now: () => performance.now(),
  });
  const taken = await Promise.all(
    Array.from({ length: size }, () => new Promise<ServerConnection>(pool.acquire.bind(pool))),
  );
  for (const connection of taken) pool.release(connection);
  return pool;
}

/** All connections are taken; each that comes back goes to the next who waits. */
function waitingInTurns(pool: Pool): () => void {
  const failed = () => {
    throw new Error('the pool has failed');
  };
  return () => {
    const taken = Array.from({ length: size }, () => pool.tryAcquire()!);
    let served = taken.pop()!;
    for (let turn = 0; turn < turnsPerRun; turn++) {
      const current = served;
      pool.acquire((connection) => {
        served = connection;
      }, failed);
      pool.release(current);
    }
    pool.release(served);
    for (const connection of taken) pool.release(connection);
  };
}
