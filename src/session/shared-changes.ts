import type { Cluster } from '../pool/cluster.ts';
import type { Databases } from './databases.ts';
import type { LoginTemplates } from './login-templates.ts';

/** What a session has done that concerns every session of the program, in whichever process. */
export type SharedChange =
  | { readonly kind: 'catalog'; readonly database: string }
  | { readonly kind: 'defaults' }
  | { readonly kind: 'vacate'; readonly database: string };

export interface SharedChangesOptions {
  readonly databases: Databases;
  readonly cluster: Cluster;
  readonly templates: LoginTemplates;
  /** Passes a change of this process's own on to the others. */
  readonly tell: (change: SharedChange) => void;
}

/** Does what such a change asks for here, and passes it on. */
export class SharedChanges {
  readonly #options: SharedChangesOptions;

  constructor(options: SharedChangesOptions) {
    this.#options = options;
  }

  /** DDL went through. Settles when what it has changed is known here. */
  catalogChanged(database: string): Promise<void> {
    this.#options.tell({ kind: 'catalog', database });
    return this.#options.databases.changed(database);
  }

  /** Server connections that are opened from now on begin with other settings. */
  defaultsChanged(): void {
    this.#options.tell({ kind: 'defaults' });
    this.#changeDefaults();
  }

  /** The database is to be dropped, renamed or copied: nobody may be connected who need not be. */
  vacate(database: string): void {
    this.#options.tell({ kind: 'vacate', database });
    this.#options.cluster.vacate(database);
  }

  /** What another process has told. */
  heard(change: SharedChange): void {
    switch (change.kind) {
      case 'catalog':
        this.#options.databases.changedElsewhere(change.database);
        return;
      case 'defaults':
        this.#changeDefaults();
        return;
      case 'vacate':
        this.#options.cluster.vacate(change.database);
    }
  }

  #changeDefaults(): void {
    this.#options.cluster.changeDefaults();
    this.#options.templates.clear();
  }
}
