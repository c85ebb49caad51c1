import type { ServerConnection } from '../pool/server-connection.ts';
import { frameHeaderBytes } from '../protocol/codes.ts';
import { commandTag, notifiedChannel } from '../protocol/fields.ts';
import type { Classified, Effect, StatementClass } from '../router/statement.ts';
import { summary } from '../router/summary.ts';
import type { ClientKnowledge } from './runner-owner.ts';
import type { SessionState } from './session-state.ts';
import { type ClientStatements, nameOnWire } from './statements.ts';
import type { ToldParameters } from './told-parameters.ts';

const unknownEffect: Effect = { kind: 'review', ran: 'block' };

type PrepareEffect = Extract<Effect, { kind: 'prepare' }>;

/** What completed statements do to their session, and what its client is told of it. */
export class StatementEffects {
  readonly #state: SessionState;
  readonly #statements: ClientStatements;
  readonly #told: ToldParameters;
  readonly #pid: number;

  constructor({ state, statements, told, subscriber }: ClientKnowledge) {
    this.#state = state;
    this.#pid = subscriber.pid;
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
    const effect = this.#effectOf(statements[index]);
    if (effect === null) return true;
    const { server, isPrimary } = on;
    // Only a text that nobody has read gets here. What it has set goes with its transaction,
    // and with the connection: a session must not be held to a replica.
    if (!isPrimary && effect.kind === 'pin') return false;
    this.#state.apply(effect, server, () => commandTag(buffer, start, end));
    if (effect.kind === 'prepare') this.#prepared(effect, server);
    else if (effect.kind === 'deallocate' && effect.name !== null)
      this.#deallocated(effect.name, server);
    const forgetsAll =
      (effect.kind === 'deallocate' && effect.name === null) ||
      (effect.kind === 'discard' && effect.what === 'all');
    if (forgetsAll) {
      this.#statements.removeAll();
      server.prepared.clear();
    }
    return true;
  }

  /**
   * The server has refused the `index`th statement of a query string, or the commit behind it. False:
   * nobody else may have the server connection after this session.
   */
  failed(
    { statements }: Classified,
    index: number,
    { server, isPrimary }: { readonly server: ServerConnection; readonly isPrimary: boolean },
  ): boolean {
    const effect = this.#effectOf(statements[index]);
    if (effect === null) return true;
    if (!isPrimary && effect.kind === 'pin') return false;
    // A block of code may have committed what it has set before it failed.
    if (effect.kind === 'pin' && statements[index]!.tag === 'DO')
      this.#state.pins.add(effect.reason);
    else this.#state.failed(effect, server);
    return true;
  }

  /** Of EXECUTE, that of the statement which it names. */
  #effectOf(statement: StatementClass | undefined): Effect | null {
    const effect = statement?.effect ?? null;
    if (effect?.kind !== 'execute') return effect;
    const executed = this.#statements.classOf(nameOnWire(effect.name))?.statements;
    const inner = executed === undefined ? unknownEffect : (executed[0]?.effect ?? null);
    // EXPLAIN and CREATE TABLE AS: whether and how it ran only the server can tell.
    return inner === null || statement?.tag === 'EXECUTE' ? inner : unknownEffect;
  }

  #prepared({ name, sql, inner }: PrepareEffect, server: ServerConnection): void {
    const wireName = nameOnWire(name);
    this.#statements.addSql(wireName, { sql, classified: summary([inner], '') });
    server.prepared.madeAs(wireName, sql);
  }

  #deallocated(name: string, server: ServerConnection): void {
    this.#statements.remove(nameOnWire(name));
    server.prepared.unmake(nameOnWire(name));
  }

  /**
   * A NotificationResponse as the client gets it: it knows itself by another process id. Null: what
   * comes by way of the shared connection is not to come twice. That is not there yet for what a
   * transaction notifies the channels of that it begins to listen to.
   */
  notification(frame: Buffer, serverPid: number): Buffer | null {
    const { channels, pins } = this.#state;
    const isOwn = channels.areChanging || pins.has('listen') || pins.has('unparsed');
    if (!isOwn || channels.shared.has(notifiedChannel(frame))) return null;
    if (frame.readInt32BE(frameHeaderBytes) !== serverPid) return frame;
    const told = Buffer.from(frame);
    told.writeInt32BE(this.#pid, frameHeaderBytes);
    return told;
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
