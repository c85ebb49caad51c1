import { performance } from 'node:perf_hooks';
import { LRUCache } from 'lru-cache';

/** A server's settings may be changed for all: what a login was told is repeated only this long. */
const templateMsMax = 5_000;
const templatesMax = 1_000;

/**
 * What servers report at login (ParameterStatus), by user, database and startup settings: so that
 * a storm of logins does not need a server connection each.
 */
export class LoginTemplates {
  readonly #templates = new LRUCache<string, ReadonlyMap<string, string>>({
    max: templatesMax,
    ttl: templateMsMax,
    perf: performance,
  });

  get(user: string, database: string, settingsKey: string): ReadonlyMap<string, string> | null {
    return this.#templates.get(key(user, database, settingsKey)) ?? null;
  }

  /** What servers report may have changed. */
  clear(): void {
    this.#templates.clear();
  }

  set(
    user: string,
    database: string,
    settingsKey: string,
    reported: ReadonlyMap<string, string>,
  ): void {
    this.#templates.set(key(user, database, settingsKey), reported);
  }
}

const key = (...parts: readonly string[]) => parts.join('\0');
