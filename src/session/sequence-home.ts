import type { SequenceInterest } from '../pool/sequence-interest.ts';
import type { ServerConnection } from '../pool/server-connection.ts';

/**
 * Where a session's currval() and lastval() are: a server process keeps them (seqhashtab and
 * last_used_seq, commands/sequence.c), so they are on the server connection that the session wrote
 * on last, until another session writes there.
 */
export class SequenceHome {
  #server: ServerConnection | null = null;
  /** All that the server knows of sequences is of this session. */
  #isClean = false;

  isAt(server: ServerConnection): boolean {
    return this.#server === server && server.sequenceUser === this;
  }

  /**
   * The session may write on the server connection, or (`asks`) wants to know what it has taken from
   * sequences. True: DISCARD SEQUENCES has to go in front, because it holds what is of others, or was
   * taken before the session wrote elsewhere.
   */
  take(server: ServerConnection, asks: boolean, interest: SequenceInterest): boolean {
    if (asks) interest.asked();
    const isHere = this.isAt(server);
    if (isHere && (this.#isClean || !asks)) return false;
    const isUnused = server.sequenceUser === null;
    const discards = !isUnused && (asks || interest.isWorthCleaning());
    this.#isClean = isUnused || discards;
    this.#server = server;
    server.sequenceUser = this;
    return discards;
  }

  /** DISCARD SEQUENCES, or ALL. */
  forget(): void {
    this.#server = null;
  }
}
