import type pg from 'pg';

/** Executes a statement with Flush; the Sync that commits it is sent by itself, later. */
export class FlushedStatement implements pg.Submittable {
  readonly executed: Promise<void>;
  readonly committed: Promise<void>;
  readonly #text: string;
  #connection: pg.Connection | null = null;
  handleCommandComplete: () => void = () => {};
  handleReadyForQuery: () => void = () => {};

  constructor(text: string) {
    this.#text = text;
    this.executed = new Promise((resolve) => {
      this.handleCommandComplete = resolve;
    });
    this.committed = new Promise((resolve) => {
      this.handleReadyForQuery = resolve;
    });
  }

  submit(connection: pg.Connection): void {
    this.#connection = connection;
    connection.parse({ name: '', text: this.#text, types: [] }, true);
    connection.bind({}, true);
    connection.execute({}, true);
    connection.flush();
  }

  sync(): void {
    this.#connection?.sync();
  }
}

/** Describes a statement and waits, as some drivers do, before it executes it. */
export class DescribedStatement implements pg.Submittable {
  readonly described: Promise<void>;
  readonly rows: Promise<string[]>;
  readonly #text: string;
  #connection: pg.Connection | null = null;
  readonly #rows: string[] = [];
  handleRowDescription: () => void = () => {};
  handleReadyForQuery: () => void = () => {};

  constructor(text: string) {
    this.#text = text;
    this.described = new Promise((resolve) => {
      this.handleRowDescription = resolve;
    });
    this.rows = new Promise((resolve) => {
      this.handleReadyForQuery = () => resolve(this.#rows);
    });
  }

  submit(connection: pg.Connection): void {
    this.#connection = connection;
    connection.parse({ name: '', text: this.#text, types: [] }, true);
    connection.describe({ type: 'S', name: '' }, true);
    connection.flush();
  }

  execute(): void {
    this.#connection?.bind({}, true);
    this.#connection?.execute({}, true);
    this.#connection?.sync();
  }

  handleDataRow({ fields }: { fields: readonly string[] }): void {
    this.#rows.push(...fields);
  }

  handleCommandComplete(): void {}
}
