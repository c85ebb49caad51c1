/** A node that was out comes back when its staleness is at most this part of the budget. */
const RETURN_PART = 0.5;

/**
 * Which nodes are within a limit on staleness, without flapping: a node over the limit is out at
 * once, and comes back only when its staleness is at most half of it.
 */
export class StalenessBudget {
  readonly maxStalenessMs: number;
  /** 1: out. A node of which nothing was heard yet is not. */
  readonly #isOut: Uint8Array;

  constructor(maxStalenessMs: number, nodeCount: number) {
    this.maxStalenessMs = maxStalenessMs;
    this.#isOut = new Uint8Array(nodeCount);
  }

  get nodeCount(): number {
    return this.#isOut.length;
  }

  /** Takes note of a node's present staleness, in ms. The hot path: allocates nothing. */
  admits(node: number, stalenessMs: number): boolean {
    const isOut = this.#isOut[node] === 1;
    const limitMs = isOut ? this.maxStalenessMs * RETURN_PART : this.maxStalenessMs;
    const admitted = stalenessMs <= limitMs;
    this.#isOut[node] = admitted ? 0 : 1;
    return admitted;
  }
}
