import { TxStatus } from '../protocol/codes.ts';
import { copyFail, query, sync } from '../protocol/frontend.ts';
import { sendCancelRequest } from './cancel-request.ts';
import type { Exchange } from './exchange.ts';
import { failingBind } from './failing-bind.ts';
import type { Pool } from './pool.ts';
import type { ServerConnection } from './server-connection.ts';
import { steps } from './step.ts';

const cancelAgainMs = 200;

export interface ServerEndpoint {
  readonly host: string;
  readonly port: number;
}

/** Puts a connection that a session is done with back, once no cancel request is under way to it. */
export function giveBack(pool: Pool, server: ServerConnection): void {
  server.owner = null;
  if (server.closedFor !== null || server.cancelsInFlight > 0) return;
  if (server.ranCode) {
    server.ranCode = false;
    server.settings = null;
  }
  if (server.listens) {
    server.listens = false;
    server.runOwn(query('UNLISTEN *'), () => giveBack(pool, server));
    return;
  }
  pool.release(server);
}

/** Cancels what the server runs for its session; the connection stays out of the pool meanwhile. */
export function cancelOn(address: ServerEndpoint, pool: Pool, server: ServerConnection): void {
  sendCancelRequest(address, server, () => {
    if (server.owner !== null || server.closedFor !== null) return;
    if (!server.isQuiet) {
      cancelAgain(address, pool, server);
      return;
    }
    if (server.txStatus !== TxStatus.Idle || server.cancelsInFlight > 0) return;
    // The signal was sent; a round trip makes sure that it hits nothing but this.
    server.runOwn(query(''), () => {
      if (server.isReleasable) giveBack(pool, server);
    });
  });
}

/** A cancel request that overtakes its statement, or comes between two, has no effect. */
function cancelAgain(address: ServerEndpoint, pool: Pool, server: ServerConnection): void {
  const timer = setTimeout(() => {
    if (server.owner !== null || server.closedFor !== null || server.isQuiet) return;
    cancelOn(address, pool, server);
  }, cancelAgainMs);
  timer.unref();
}

export interface Abandoned {
  /** The session's exchange, whether or not it is in the pipeline. */
  readonly exchange: Exchange;
  readonly address: ServerEndpoint;
  /** Nobody needs what runs: a read, or part of a transaction that will be rolled back. */
  readonly mayCancel: boolean;
  /** Half a message was sent, or the session left objects behind. */
  readonly mustClose: boolean;
  /** What runs may leave something behind that nobody keeps account of any more. */
  readonly leavesTraces: boolean;
  /** The server waits for CopyData that will not come. */
  readonly copyToEnd: boolean;
  /** Extended messages were sent without Sync. */
  readonly lacksSync: boolean;
}

/**
 * Leaves a connection whose session is gone to end its work: an autocommit write runs to its end,
 * as on PostgreSQL when a client vanishes; a transaction is rolled back.
 */
export function leaveToItself(pool: Pool, server: ServerConnection, left: Abandoned): void {
  server.owner = null;
  left.exchange.sink = null;
  if (server.closedFor !== null) return;
  if (left.mustClose) {
    server.close('client-left');
    return;
  }
  server.resume();
  if (left.copyToEnd) server.send(copyFail('the client has gone'));
  if (left.lacksSync) {
    // Sync alone would commit what the client left unfinished.
    left.exchange.steps.push(steps.skippedBind, steps.skippedSync);
    server.expectMore(left.exchange);
    server.send(failingBind);
    server.send(sync);
  }
  if (server.isQuiet) {
    tidyUp(pool, server, false);
    return;
  }
  server.loseTrackOfSettings();
  server.prepared.unnamed = null;
  server.onQuiet = () => tidyUp(pool, server, left.leavesTraces);
  if (left.mayCancel) cancelOn(left.address, pool, server);
}

function tidyUp(pool: Pool, server: ServerConnection, hasTraces: boolean): void {
  if (server.closedFor !== null) return;
  if (hasTraces) {
    server.close('client-left');
    return;
  }
  if (server.txStatus === TxStatus.Idle) {
    server.committed();
    giveBack(pool, server);
    return;
  }
  server.rolledBack(true);
  server.runOwn(query('ROLLBACK'), () => {
    if (server.closedFor !== null) return;
    if (server.txStatus === TxStatus.Idle) giveBack(pool, server);
    else server.close('client-left');
  });
}
