import { errorField } from '../protocol/fields.ts';
import type { PrimaryReason } from '../router/route.ts';

/** What a replica's refusal means for a request that has shown the client nothing yet. */
export type Retry = Extract<PrimaryReason, 'retry-refused' | 'retry-session' | 'retry-conflict'>;

/**
 * Functions that raise XX000 instead of 25006 when they need a new id during recovery
 * (GetNewTransactionId in varsup.c and its kin; large objects before PostgreSQL 16).
 */
const idRoutines = new Set(['GetNewTransactionId', 'AssignTransactionId', 'GetNewObjectId']);

/** "cached plan must not change result type": the server's statement is older than the catalog. */
export function isStalePlan(buffer: Buffer, start: number, end: number): boolean {
  return (
    errorField(buffer, start, end, 'C') === '0A000' &&
    errorField(buffer, start, end, 'R') === 'RevalidateCachedQuery'
  );
}

/**
 * The statement itself was refused before anything of it ran: class 42 with its position in the text
 * (parser_errposition, parse_node.c). What a function says of its own statements has a context.
 */
export function hasNotRun(buffer: Buffer, start: number, end: number): boolean {
  return (
    errorField(buffer, start, end, 'C')?.startsWith('42') === true &&
    errorField(buffer, start, end, 'P') !== undefined &&
    errorField(buffer, start, end, 'W') === undefined
  );
}

/**
 * Whether an ErrorResponse of a replica says that the request must run elsewhere, and why; null:
 * the error is the statement's own. The message is localised, so SQLSTATE and routine decide.
 * `sessionOnly`: the request goes to any replica, however far that is behind. Its roles,
 * tablespaces and rights may not have got there, so that only the primary's refusal counts.
 */
export function retryFor(
  buffer: Buffer,
  start: number,
  end: number,
  sessionOnly: boolean,
): Retry | null {
  const retry = retryForAny(buffer, start, end);
  return retry ?? (sessionOnly ? 'retry-session' : null);
}

function retryForAny(buffer: Buffer, start: number, end: number): Retry | null {
  switch (errorField(buffer, start, end, 'C')) {
    case '25006': // read_only_sql_transaction
    case '0A000': // SERIALIZABLE, or an unlogged table, during recovery
      return isStalePlan(buffer, start, end) ? null : 'retry-refused';
    case '55000': // functions that need a primary
      return 'retry-refused';
    case 'XX000':
      return idRoutines.has(errorField(buffer, start, end, 'R') ?? '') ? 'retry-refused' : null;
    case '40001': // recovery conflict (ProcessInterrupts in postgres.c)
    case '40P01': // the same by a buffer pin
      return 'retry-conflict';
    default:
      return null;
  }
}
