import { type Consistency, consistencyLevels, type FreshnessConfig } from '../config.ts';
import type { Monitor } from '../lag/monitor.ts';
import { noRequirement, type ReadRequirement } from '../lag/read-requirement.ts';
import type { Settings } from '../pool/settings.ts';

const never = Number.NEGATIVE_INFINITY;

/** The setting with which a session chooses its level. */
export const consistencySetting = 'tidemark.consistency';

/** Who answered a request. */
export interface Answered {
  readonly node: number;
  /** As it was when the request was sent: the answer may be older than a restart of the node. */
  readonly generation: number;
  /** The node was the primary when the request was sent. */
  readonly isPrimary: boolean;
}

/**
 * What a session has written and seen, as moments on the monitor's clock, and what follows from it
 * for its next read.
 */
export class ReadFloor {
  readonly none = noRequirement;
  readonly #monitor: Monitor;
  readonly #config: FreshnessConfig;
  #previousNode = -1;
  #previousGeneration = -1;
  /** When the session's previous request ended, whatever it was. */
  #previousEndMs = never;
  /**
   * When the primary last answered: whatever the session wrote was acknowledged by then. Or, if that
   * is later, the end of a read that a less strict one has taken the place of as the previous one.
   */
  #floorMs = never;
  /** The level of the running read asks for nothing of what was seen. */
  #forgoesSeen = false;

  constructor(monitor: Monitor, config: FreshnessConfig) {
    this.#monitor = monitor;
    this.#config = config;
  }

  /**
   * A request has been answered by this node. On the primary every answer counts, not only that of
   * a COMMIT: CALL and multi-statement strings commit before they fail. `isPrimary`: it was the
   * primary when the request went there, whatever has become of it.
   */
  raise({ node, generation, isPrimary }: Answered): void {
    const nowMs = this.#monitor.now();
    const isSameServer = node === this.#previousNode && generation === this.#previousGeneration;
    if (isPrimary) this.#floorMs = nowMs;
    else if (this.#forgoesSeen && !isSameServer) {
      this.#floorMs = Math.max(this.#floorMs, this.#previousEndMs);
    }
    this.#previousNode = node;
    this.#previousGeneration = generation;
    this.#previousEndMs = nowMs;
  }

  consistencyOf(settings: Settings): Consistency {
    const chosen = settings.get(consistencySetting)?.value;
    const level = consistencyLevels.find((known) => known === chosen);
    return level ?? this.#config.consistency;
  }

  requirement(settings: Settings): ReadRequirement {
    const consistency = this.consistencyOf(settings);
    this.#forgoesSeen = consistency === 'eventual' || consistency === 'bounded';
    if (consistency === 'eventual') return noRequirement;
    const boundMs = this.#monitor.now() - this.#config.maxStalenessMs;
    if (consistency === 'bounded') return { ...noRequirement, freshAsOfMs: boundMs };
    return {
      freshAsOfMs: Math.max(boundMs, this.#floorMs),
      previousNode: this.#previousNode,
      previousGeneration: this.#previousGeneration,
      previousReadEndMs: this.#previousEndMs,
      minLsn: null,
      budget: null,
    };
  }
}
