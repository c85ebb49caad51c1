import type { ServerConnection } from '../pool/server-connection.ts';
import { commandTag } from '../protocol/fields.ts';
import type { Classified } from '../router/statement.ts';
import type { SessionState } from './session-state.ts';
import type { ClientStatements } from './statements.ts';
import type { ToldParameters } from './told-parameters.ts';

/** What completed statements do to their session, and what its client is told of it. */
export class StatementEffects {
  readonly #state: SessionState;
  readonly #statements: ClientStatements;
  readonly #told: ToldParameters;

  constructor(state: SessionState, statements: ClientStatements, told: ToldParameters) {
    this.#state = state;
    this.#statements = statements;
    this.#told = told;
  }

  /**
   * The `index`th statement of a query string completed with the CommandComplete at [start,end).
   * False: nobody else may have the server connection after this session.
   */
  completed(
    { statements }: Classified,
    index: number,
    on: { readonly server: ServerConnection; readonly isPrimary: boolean },
    buffer: Buffer,
    start: number,
    end: number,
  ): boolean {
    const effect = statements[index]?.effect;
    if (effect == null) return true;
    const { server, isPrimary } = on;
    // Only a text that nobody has read gets here. What it has set goes with its transaction,
    // and with the connection: a session must not be held to a replica.
    if (!isPrimary && effect.kind === 'pin') return false;
    this.#state.apply(effect, server, () => commandTag(buffer, start, end));
    const forgetsAll =
      (effect.kind === 'deallocate' && effect.name === null) ||
      (effect.kind === 'discard' && effect.what === 'all');
    if (forgetsAll) {
      this.#statements.removeAll();
      server.prepared.clear();
    }
    return true;
  }

  /** A ParameterStatus came; false: the client is not to hear of it. */
  reports(name: string, value: string): boolean {
    // The server goes back to its own default, the session to what its startup packet asked for.
    if (this.#state.isBackAtBase(name)) return false;
    this.#told.hear(name, value);
    return true;
  }

  /** What to say in front of ReadyForQuery, or null. */
  lastWords(): Buffer | null {
    return this.#told.backAsAtLogin((name) => this.#state.isBackAtBase(name));
  }
}
