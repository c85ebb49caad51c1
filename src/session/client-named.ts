import type { Exchange } from '../pool/exchange.ts';
import type { ServerConnection } from '../pool/server-connection.ts';
import { steps } from '../pool/step.ts';
import { TxStatus } from '../protocol/codes.ts';
import { close, parse, query, sync, TargetKind } from '../protocol/frontend.ts';
import { parseHeadOf } from './parse-head.ts';
import type { ClientStatements } from './statements.ts';

/**
 * SQL statements name what they execute, so it has to be there under the client's own names: sees to
 * it that these names mean on the server connection what they mean to the session: what it
 * has prepared is prepared there, what others have is gone. Where that fails, its error takes the
 * place of the one that `exchange`, which comes next, will get for it. Of `namesTaken` only that they
 * are there matters, also where what has them can no longer be prepared.
 */
export function bringClientNamed(
  server: ServerConnection,
  names: readonly string[],
  namesTaken: readonly string[],
  statements: ClientStatements,
  exchange: Exchange,
): void {
  for (const name of names) {
    const made = statements.sql(name);
    const parsed = statements.get(name);
    // A text has one name on all server connections, which says what it is.
    const origin = made?.sql ?? parsed?.text.name;
    const { prepared } = server;
    const there = prepared.clientNamed(name);
    if (there === origin) continue;
    if (there !== undefined) {
      prepared.unmake(name);
      server.runOwn(
        Buffer.concat([close(TargetKind.Statement, name), sync]),
        () => {},
        closeAndSync,
      );
    }
    if (origin === undefined) continue;
    const isTaken = namesTaken.includes(name);
    // Within a transaction a failure would end it.
    if (isTaken && server.txStatus === TxStatus.InTransaction) {
      holdName(server, name);
      continue;
    }
    prepared.madeAs(name, origin);
    const finished = ({ error }: Exchange) => {
      if (error === null) return;
      prepared.unmake(name);
      exchange.substitute = error;
    };
    if (made !== undefined) {
      server.runOwn(query(made.sql), finished);
    } else {
      const message = [parseHeadOf(name, parsed!.text.body), parsed!.text.body, sync];
      server.runOwn(Buffer.concat(message), finished, parseAndSync);
    }
    if (isTaken) holdName(server, name);
  }
}

/** Makes something of that name, unless it has just been made. */
function holdName(server: ServerConnection, name: string): void {
  const finished = ({ error }: Exchange) => {
    if (error === null) server.prepared.madeAs(name, placeholder);
  };
  server.runOwn(Buffer.concat([parse(name, ''), sync]), finished, parseAndSync);
}

/** For pg_prepared_statements: what the session has prepared, by its names, and nothing else. */
export function bringNamedOnly(
  server: ServerConnection,
  statements: ClientStatements,
  exchange: Exchange,
): void {
  const { prepared } = server;
  const shared = prepared.oldestBeyond(0);
  if (shared.length > 0) {
    const closes = shared.map(({ name }) => close(TargetKind.Statement, name));
    const expected = [...shared.map(() => steps.skippedClose), steps.skippedSync];
    server.runOwn(Buffer.concat([...closes, sync]), () => {}, expected);
    for (const text of shared) prepared.remove(text);
  }
  const names = new Set([...statements.names, ...prepared.clientNames]);
  bringClientNamed(server, [...names], [], statements, exchange);
}

/** No text's name, and no SQL: what has it is made again before it is executed. */
const placeholder = '';

const closeAndSync = [steps.skippedClose, steps.skippedSync];
const parseAndSync = [steps.skippedParse, steps.skippedSync];
