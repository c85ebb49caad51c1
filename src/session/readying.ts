import { ProxyError } from '../errors.ts';
import type { ServerConnection } from '../pool/server-connection.ts';
import { TxStatus } from '../protocol/codes.ts';
import { bringSettings, changesRole, takeRole } from './in-front.ts';
import { type Outdated, outdatedIn, prepareAsBefore } from './outdated.ts';
import type { ParseScope } from './parse-scope.ts';
import type { Request } from './request.ts';
import type { SessionState } from './session-state.ts';
import type { ClientStatements } from './statements.ts';

export interface ReadyingOwner {
  readonly statements: ClientStatements;
  readonly scope: ParseScope;
  /** The session still has this server connection. */
  holds(server: ServerConnection): boolean;
  /** The request can be sent, if only to fail there (`failure`). */
  serverReady(): void;
  /** The server connection does not take the session's role. */
  serverNotReady(failure: ProxyError): void;
  /** The server connection has closed meanwhile. */
  serverClosed(): void;
}

/**
 * What has to be asked of a server connection, and answered, before a session's request is sent on
 * it: that it takes the session's role, and that what the session has prepared long ago has not
 * become something else.
 */
export class Readying {
  /** A cancel request came for the request that is under way. */
  isCancelled = false;
  readonly #state: SessionState;
  readonly #owner: ReadyingOwner;

  constructor(state: SessionState, owner: ReadyingOwner) {
    this.#state = state;
    this.#owner = owner;
  }

  /** Calls the owner once, perhaps before it returns, unless the session gives the connection up. */
  begin(server: ServerConnection, request: Request, isBatchOpen: boolean): void {
    if (isBatchOpen) this.#owner.serverReady();
    else if (changesRole(server, this.#state.settings)) this.#becomeRole(server, request);
    else this.#renewStatements(server, request);
  }

  #becomeRole(server: ServerConnection, request: Request): void {
    takeRole(server, this.#state.settings, (refusal) => {
      if (!this.#isStillThere(server)) return;
      const failure = this.isCancelled ? new ProxyError('queryCanceled') : refusal;
      if (failure === null) this.#renewStatements(server, request);
      else this.#owner.serverNotReady(failure);
    });
  }

  #renewStatements(server: ServerConnection, request: Request): void {
    const { statements, scope } = this.#owner;
    const mayAsk = request.failure === null && server.txStatus !== TxStatus.Failed;
    const outdated = mayAsk ? outdatedIn(request, statements, server, scope) : null;
    if (outdated === null) this.#owner.serverReady();
    else this.#renew(server, request, outdated);
  }

  #renew(server: ServerConnection, request: Request, outdated: Outdated): void {
    bringSettings(server, this.#state.settings);
    prepareAsBefore(server, outdated, (refusal) => {
      if (!this.#isStillThere(server)) return;
      request.failure = this.isCancelled ? new ProxyError('queryCanceled') : refusal;
      request.failsAt = outdated.index;
      this.#renewStatements(server, request);
    });
  }

  #isStillThere(server: ServerConnection): boolean {
    if (!this.#owner.holds(server)) return false;
    if (server.closedFor === null) return true;
    this.#owner.serverClosed();
    return false;
  }
}
