import { type FreshnessConfig, readDefaultsFor } from '../config.ts';
import { ProxyError } from '../errors.ts';
import { StalenessBudget } from '../lag/staleness-budget.ts';
import { parseBool } from '../parse-bool.ts';
import { changed, parseReadSetting, type ReadPolicy, readPolicy } from './read-policy.ts';

/** Startup parameter with which a client asks to be told its token with each commit. */
const reportSetting = 'tidemark.report_lsn';

export interface StartupPolicy {
  readonly policy: ReadPolicy;
  /** The client wants a ParameterStatus `tidemark.lsn` with each commit. */
  readonly reportsLsn: boolean;
}

/** What sessions start with: the configuration of the cluster, the database, and the user. */
export class BasePolicies {
  readonly #config: FreshnessConfig;
  readonly #nodeCount: number;
  /** Sessions with the same budget share what is known of the nodes. */
  readonly #budgets = new Map<number, StalenessBudget>();

  constructor(config: FreshnessConfig, nodeCount: number) {
    this.#config = config;
    this.#nodeCount = nodeCount;
  }

  /** As ALTER ROLE counts more than ALTER DATABASE, the user counts more than the database. */
  of(user: string, database: string): ReadPolicy {
    const defaults = readDefaultsFor(this.#config, { user, database });
    const budget = this.#budget(defaults.maxStalenessMs);
    return readPolicy({ ...defaults, minLsn: null, target: 'auto', budget });
  }

  /** With what the startup packet says. Raises ProxyError for what is not valid. */
  withStartup(base: ReadPolicy, own: ReadonlyMap<string, string>): StartupPolicy {
    let policy = base;
    let reportsLsn = false;
    for (const [name, text] of own) {
      if (name === reportSetting) {
        reportsLsn = isOn(text);
        continue;
      }
      const change = parseReadSetting(name, text);
      if (change instanceof ProxyError) throw change;
      policy = changed(policy, change);
    }
    return { policy, reportsLsn };
  }

  #budget(maxStalenessMs: number): StalenessBudget {
    let budget = this.#budgets.get(maxStalenessMs);
    if (budget === undefined) {
      budget = new StalenessBudget(maxStalenessMs, this.#nodeCount);
      this.#budgets.set(maxStalenessMs, budget);
    }
    return budget;
  }
}

function isOn(text: string): boolean {
  const isOn = parseBool(text);
  if (isOn !== null) return isOn;
  throw new ProxyError('invalidSetting', reportSetting, text, 'It is on or off.');
}
