import { ProxyError } from '../errors.ts';
import type { Exchange } from '../pool/exchange.ts';
import type { ServerConnection } from '../pool/server-connection.ts';
import type { Settings } from '../pool/settings.ts';
import { TxStatus } from '../protocol/codes.ts';
import { errorField } from '../protocol/fields.ts';
import { query } from '../protocol/frontend.ts';

/**
 * A role is confirmed before the request is sent, because what ran as somebody else could not be
 * taken back; other settings go out right in front of it.
 */
export function changesRole(server: ServerConnection, settings: Settings): boolean {
  if (server.txStatus !== TxStatus.Idle) return false;
  return server.settings?.roleSql !== settings.roleSql;
}

/** Gives the server connection the session's role and settings, and calls back with the outcome. */
export function takeRole(
  server: ServerConnection,
  settings: Settings,
  done: (refusal: ProxyError | null) => void,
): void {
  server.runOwn(query(settings.differenceFrom(server.settings)), ({ error }) => {
    server.settings = error === null && server.closedFor === null ? settings : null;
    const message = error === null ? '' : errorField(error, 0, error.length, 'M');
    done(error === null ? null : new ProxyError('settingsRefused', message ?? ''));
  });
}

/** Gives the server connection the session's settings, in front of its request. */
export function bringSettings(server: ServerConnection, settings: Settings): void {
  if (server.settings === settings || server.txStatus === TxStatus.Failed) return;
  if (server.settings?.equals(settings)) return;
  const inTransaction = server.txStatus === TxStatus.InTransaction;
  const sql = settings.differenceFrom(server.settings, inTransaction);
  if (inTransaction) server.changeSettings(settings);
  else server.settings = settings;
  // What follows a failure runs with other settings than the client's: its result is not shown.
  if (sql !== '') server.runOwn(query(sql), (exchange) => closeIfFailed(server, exchange));
}

/** Begins the transaction that was answered before, in front of its first request. */
export function sendDeferred(server: ServerConnection, deferred: readonly string[]): void {
  if (deferred.length === 0) return;
  // What follows a failure runs outside the transaction that the client has begun.
  server.runOwn(begin(deferred.join('; ')), (exchange) => closeIfFailed(server, exchange));
}

/** The last one again: a server's applications begin their transactions in one or two ways. */
let lastBegin = { sql: '', message: query('') };

function begin(sql: string): Buffer {
  if (lastBegin.sql !== sql) lastBegin = { sql, message: query(sql) };
  return lastBegin.message;
}

function closeIfFailed(server: ServerConnection, { error }: Exchange): void {
  if (error !== null) server.close('session-state', errorField(error, 0, error.length, 'M'));
}
