/** Changes of hands in front of which connections are cleaned although nobody has asked yet. */
const unaskedMax = 1_000;

/**
 * Whether anybody wants to know currval() or lastval(), without which nobody sees what others have
 * left of it on a server connection.
 */
export class SequenceInterest {
  #unaskedLeft = unaskedMax;

  asked(): void {
    this.#unaskedLeft = Number.POSITIVE_INFINITY;
  }

  /** A connection changes hands: whether it is worth a DISCARD SEQUENCES. */
  isWorthCleaning(): boolean {
    if (this.#unaskedLeft === 0) return false;
    this.#unaskedLeft -= 1;
    return true;
  }
}
