import type { NodeConfig } from '../config.ts';
import type { Logger } from '../log.ts';
import { Classifier } from '../router/classifier.ts';
import { DatabaseCatalog } from './database-catalog.ts';

interface Database {
  readonly catalog: DatabaseCatalog;
  readonly classifier: Classifier;
  readonly firstLoad: Promise<void>;
}

/** What is known of each database that somebody has logged in to: its functions, its statements. */
export class Databases {
  readonly #databases = new Map<string, Database>();
  readonly #primary: () => NodeConfig | null;
  readonly #log: Logger;

  constructor(primary: () => NodeConfig | null, log: Logger) {
    this.#primary = primary;
    this.#log = log;
  }

  classifier(name: string): Classifier {
    return this.#database(name).classifier;
  }

  /** When its functions have been loaded for the first time, or could not be. */
  ready(name: string): Promise<void> {
    return this.#database(name).firstLoad;
  }

  /** DDL went through: looks at the functions again. */
  changed(name: string): void {
    void this.#databases.get(name)?.catalog.reload();
  }

  /** Another primary: its functions may be others, and those not loaded yet can be. */
  primaryChanged(): void {
    for (const { catalog } of this.#databases.values()) void catalog.reload();
  }

  close(): void {
    for (const { catalog } of this.#databases.values()) catalog.close();
  }

  #database(name: string): Database {
    const known = this.#databases.get(name);
    if (known !== undefined) return known;
    const catalog = new DatabaseCatalog({
      database: name,
      primary: this.#primary,
      changed: () => classifier.catalogChanged(),
      gone: () => this.#databases.delete(name),
      failed: (problem) =>
        this.#log.warn(
          { database: name, problem },
          'could not load the functions of the database: statements that call functions go to the primary',
        ),
    });
    const classifier = new Classifier({ catalog });
    const database = { catalog, classifier, firstLoad: catalog.reload() };
    this.#databases.set(name, database);
    return database;
  }
}
