import type { NodeConfig } from '../config.ts';
import type { Logger } from '../log.ts';
import type { PreparedTexts } from '../pool/prepared.ts';
import { Classifier } from '../router/classifier.ts';
import { DatabaseCatalog } from './database-catalog.ts';
import { NotificationHub } from './notification-hub.ts';

/** Nodes that can be asked now, or null. */
export interface CatalogNodes {
  primary(): NodeConfig | null;
  replica(): NodeConfig | null;
  /** By what number the client knows itself whose session has this backend of the primary now. */
  clientPidOf(backendPid: number): number | null;
}

interface Database {
  readonly catalog: DatabaseCatalog;
  readonly classifier: Classifier;
  readonly firstLoad: Promise<void>;
  readonly notifications: NotificationHub;
}

/** What is known of each database that somebody has logged in to, and who listens there. */
export class Databases {
  readonly #databases = new Map<string, Database>();
  readonly #nodes: CatalogNodes;
  readonly #prepared: PreparedTexts;
  readonly #log: Logger;

  constructor(nodes: CatalogNodes, prepared: PreparedTexts, log: Logger) {
    this.#nodes = nodes;
    this.#prepared = prepared;
    this.#log = log;
  }

  classifier(name: string): Classifier {
    return this.#database(name).classifier;
  }

  /** Where its sessions listen. */
  notifications(name: string): NotificationHub {
    return this.#database(name).notifications;
  }

  /** When its catalog has been loaded for the first time, or could not be. */
  ready(name: string): Promise<void> {
    return this.#database(name).firstLoad;
  }

  /** DDL went through: looks at the catalog again. Settles when what it has changed is known. */
  changed(name: string): Promise<void> {
    return this.#databases.get(name)?.catalog.reload() ?? Promise.resolve();
  }

  /**
   * DDL went through another process: what is prepared from now on is not what was prepared before,
   * which here only the session that ran the DDL would say.
   */
  changedElsewhere(name: string): void {
    this.#prepared.catalogChanged(name);
    void this.changed(name);
  }

  /** Another primary: its catalog may be another, and one not loaded yet can be. */
  primaryChanged(): void {
    for (const { catalog, notifications } of this.#databases.values()) {
      void catalog.reload();
      notifications.primaryChanged();
    }
  }

  close(): void {
    for (const { catalog, notifications } of this.#databases.values()) {
      catalog.close();
      notifications.close();
    }
  }

  #database(name: string): Database {
    const known = this.#databases.get(name);
    if (known !== undefined) return known;
    const catalog = new DatabaseCatalog({
      database: name,
      // What a replica says may be old, and is better than nothing.
      node: (isLoaded) => this.#nodes.primary() ?? (isLoaded ? null : this.#nodes.replica()),
      changed: () => {
        classifier.catalogChanged();
        this.#prepared.catalogChanged(name);
      },
      gone: () => this.#databases.delete(name),
      failed: (problem) =>
        this.#log.warn(
          { database: name, problem },
          'could not load the catalog of the database: while nothing is known of it, its statements go to the primary',
        ),
    });
    const classifier = new Classifier({ catalog });
    const notifications = new NotificationHub(this.#nodes);
    const database = { catalog, classifier, firstLoad: catalog.reload(), notifications };
    this.#databases.set(name, database);
    return database;
  }
}
