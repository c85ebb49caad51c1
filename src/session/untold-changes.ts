import type { Destination } from './destination.ts';
import type { Request } from './request.ts';
import type { SharedChanges } from './shared-changes.ts';

/** What the running transaction has changed for other sessions: they are told when it has ended. */
export class UntoldChanges {
  readonly #changes: SharedChanges;
  readonly #database: string;
  readonly #destination: Destination;
  /** What the catalog says. */
  #catalog = false;
  /** What new connections begin with. */
  #defaults = false;

  constructor(changes: SharedChanges, database: string, destination: Destination) {
    this.#changes = changes;
    this.#database = database;
    this.#destination = destination;
  }

  /** A request of the transaction was answered. */
  note({ ddl, changesDefaults }: Request): void {
    if (ddl) this.#catalog = true;
    if (changesDefaults) this.#defaults = true;
  }

  /** The transaction has ended. That it may have been rolled back costs a look at the catalog. */
  tell(): void {
    if (this.#catalog) {
      this.#catalog = false;
      this.#destination.awaitCatalog(this.#changes.catalogChanged(this.#database));
    }
    if (this.#defaults) {
      this.#defaults = false;
      this.#changes.defaultsChanged();
    }
  }
}
