import type { Driver } from './drivers.ts';

/** Clients that read one after the other, each as fast as it can, until told to stop. */
export class ReadLoad {
  readonly errors: unknown[] = [];
  /** Reads served by each port. */
  readonly ports = new Map<number, number>();
  /** Reads done by each client. */
  readonly done: number[];
  /** The longest that any read took. */
  longestMs = 0;
  readonly #running: Promise<void>[];
  #isOver = false;

  /** `sql` must give a column `port`: inet_server_port(). It gets one value, 0 to 9. */
  constructor(drivers: readonly Driver[], sql: string) {
    this.done = drivers.map(() => 0);
    this.#running = drivers.map(async (driver, client) => {
      while (!this.#isOver) await this.#read(driver, client, sql);
    });
  }

  get reads(): number {
    return this.done.reduce((sum, count) => sum + count, 0);
  }

  servedBy(port: number): number {
    return this.ports.get(port) ?? 0;
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#running);
  }

  async #read(driver: Driver, client: number, sql: string): Promise<void> {
    const beganMs = performance.now();
    try {
      const [row] = await driver.query(sql, [this.done[client]! % 10]);
      this.ports.set(row?.port, this.servedBy(row?.port) + 1);
    } catch (error) {
      this.errors.push(error);
    }
    this.done[client]! += 1;
    this.longestMs = Math.max(this.longestMs, performance.now() - beganMs);
  }
}
