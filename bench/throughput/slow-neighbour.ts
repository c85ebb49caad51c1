import pg from 'pg';
import type { Login } from '../support/login.ts';
import { pauseFunction } from './bench-tables.ts';

const everyMs = 1_000;
const pauseSeconds = 2;
/** Two are busy at any time; one more for those that take longer. */
const connections = 3;

export interface SlowNeighbour {
  /** Says what its reads failed with, or null. */
  stop(): Promise<string | null>;
}

/** Sends a read of two seconds every second, through the target, beside what is measured. */
export async function startSlowNeighbour(login: Login): Promise<SlowNeighbour> {
  const clients = Array.from({ length: connections }, () => new pg.Client({ ...login }));
  // Without a listener a server that goes away would end the program.
  for (const client of clients) client.on('error', () => undefined);
  await Promise.all(clients.map((client) => client.connect()));
  const idle = [...clients];
  const running = new Set<Promise<void>>();
  let failure: string | null = null;
  const read = async () => {
    const client = idle.pop();
    if (client === undefined) return;
    try {
      await client.query(`SELECT ${pauseFunction}(${pauseSeconds})`);
    } catch (error) {
      failure = `the slow read: ${error instanceof Error ? error.message : error}`;
    }
    idle.push(client);
  };
  const timer = setInterval(() => {
    const one = read().finally(() => running.delete(one));
    running.add(one);
  }, everyMs);
  return {
    stop: async () => {
      clearInterval(timer);
      await Promise.all(running);
      await Promise.all(clients.map((client) => client.end()));
      return failure;
    },
  };
}
