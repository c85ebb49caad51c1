import type { Operation } from './history.ts';
import { type Lineage, type Place, survivingBranch } from './lineage.ts';

/** The least that a read must show of one register on one branch, and why. */
export interface Demand {
  readonly register: number;
  readonly branch: number;
  readonly version: number;
  /** Who wrote that version. */
  readonly writer: number;
  /** The operation that it follows from. */
  readonly source: Operation;
}

/**
 * What a value that somebody wrote or saw demands of those who must not see less: itself, on its
 * branch; and what of it survived, for the time when the branch is gone.
 */
export function demandsOf(
  lineage: Lineage,
  register: number,
  place: Place,
  writer: number,
  source: Operation,
): Demand[] {
  const { branch, version } = place;
  const itself: Demand = { register, branch, version, writer, source };
  if (branch === survivingBranch) return [itself];
  const trunk = lineage.trunk(register, place);
  const writerThen = lineage.survivor(register, trunk);
  return [
    itself,
    { register, branch: survivingBranch, version: trunk, writer: writerThen, source },
  ];
}

/** The highest demand so far of every register and branch. */
export class Floor {
  readonly #branches: number;
  readonly #demands: (Demand | undefined)[];

  constructor(lineage: Lineage, demands: (Demand | undefined)[] = []) {
    this.#branches = lineage.branches;
    this.#demands = demands;
  }

  raise(demand: Demand): void {
    const slot = demand.register * this.#branches + demand.branch;
    const present = this.#demands[slot];
    if (present === undefined || present.version < demand.version) this.#demands[slot] = demand;
  }

  demand(register: number, branch: number): Demand | undefined {
    return this.#demands[register * this.#branches + branch];
  }

  copy(lineage: Lineage): Floor {
    return new Floor(lineage, [...this.#demands]);
  }
}

interface Rise {
  readonly endMs: number;
  readonly demand: Demand;
}

/** What was demanded at which time. Rises are added in the order of the ends of their sources. */
export class FloorTimeline {
  readonly #branches: number;
  readonly #rises: Rise[][] = [];

  constructor(lineage: Lineage) {
    this.#branches = lineage.branches;
  }

  raise(demand: Demand): void {
    const slot = demand.register * this.#branches + demand.branch;
    this.#rises[slot] ??= [];
    const rises = this.#rises[slot];
    const highest = rises.at(-1);
    if (highest !== undefined && highest.demand.version >= demand.version) return;
    rises.push({ endMs: demand.source.endMs, demand });
  }

  /** The highest demand whose source ended before that moment. */
  demandBefore(register: number, branch: number, momentMs: number): Demand | undefined {
    const rises = this.#rises[register * this.#branches + branch] ?? [];
    let low = 0;
    let high = rises.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (rises[middle]!.endMs < momentMs) low = middle + 1;
      else high = middle;
    }
    return rises[low - 1]?.demand;
  }
}
