import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

/** How long one of them keeps a server connection. */
const heldMsMax = 4;
/** What they leave on it: all of it must stay theirs. */
const leftovers = `
  SET search_path TO pg_catalog;
  SET timezone TO 'Asia/Kathmandu';
  SET datestyle TO 'German';
  SET intervalstyle TO 'sql_standard';
  SET extra_float_digits TO -3;
  SET work_mem TO '3MB';
  SET enable_seqscan TO off;
  SET client_min_messages TO 'error'`;

export interface BystanderAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
}

/**
 * Other clients of the same pools. They hold server connections for short random times, so that a
 * session that is free to move gets another one all the time, on which one of them has just been.
 */
export class Bystanders {
  readonly #running: Promise<void>[] = [];
  #isStopping = false;

  private constructor() {}

  static start(address: BystanderAddress, count: number): Bystanders {
    const all = new Bystanders();
    for (let index = 0; index < count; index++) all.#running.push(all.#run(address, index));
    return all;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#running);
  }

  /** Some tests end all sessions of a database: then it begins again. */
  async #run(address: BystanderAddress, index: number): Promise<void> {
    while (!this.#isStopping) {
      const client = new pg.Client({ ...address, application_name: 'bystander' });
      client.on('error', () => {});
      try {
        await client.connect();
        await client.query(leftovers);
        await this.#work(client, index);
      } catch {
        await sleep(heldMsMax);
      } finally {
        await client.end().catch(() => {});
      }
    }
  }

  async #work(client: pg.Client, index: number): Promise<void> {
    // In READ COMMITTED no snapshot is held between statements: nobody's vacuum is kept waiting.
    const begin = index % 2 === 0 ? 'BEGIN' : 'BEGIN READ ONLY';
    while (!this.#isStopping) {
      await client.query(begin);
      await client.query('SELECT 1');
      await sleep(Math.random() * heldMsMax);
      await client.query('COMMIT');
    }
  }
}
