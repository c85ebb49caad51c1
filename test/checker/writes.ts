import { performance } from 'node:perf_hooks';
import { countError } from './recorder.ts';
import type { Answer } from './register-client.ts';
import { registerCount, writeSql } from './registers.ts';
import type { Attempt, Ended, Session } from './session.ts';

/** Errors that say that nothing was done. What Tidemark says about its own is put to the test. */
const nothingDone: ReadonlySet<string> = new Set([
  '22012', // division_by_zero, which writes() provokes
  '25006', // read_only_sql_transaction
  '25P02', // in_failed_sql_transaction
  '40001', // serialization_failure
  '40P01', // deadlock_detected
  '53300', // too_many_connections: no server connection became free
  '57014', // query_canceled
  '57P03', // cannot_connect_now: there is no primary
]);

function ended({ sqlstate, isLost }: Answer): Ended {
  if (isLost) return 'unknown';
  if (sqlstate === null) return 'acknowledged';
  return nothingDone.has(sqlstate) ? 'failed' : 'unknown';
}

function noteError({ recorder }: Session, { sqlstate, isLost }: Answer): void {
  if (isLost || sqlstate !== null) countError(recorder.writeErrors, sqlstate ?? 'lost');
}

/** In the order of their numbers, so that no two transactions wait for each other. */
function someRegisters({ random }: Session, most: number): number[] {
  const count = 1 + random.integer(most);
  return random.some([...Array(registerCount).keys()], count).sort((a, b) => a - b);
}

async function update(session: Session): Promise<void> {
  const { client, random, recorder } = session;
  const writer = recorder.nextWriter();
  const register = random.integer(registerCount);
  const isNamed = random.chance(0.5);
  const startMs = performance.now();
  const answer = isNamed
    ? await client.named('write', writeSql('$1', '$2'), [register, writer])
    : await client.simple(writeSql(register, writer));
  noteError(session, answer);
  const form = isNamed ? 'prepared update' : 'update';
  session.recordWrites(form, startMs, [{ writer, register, row: answer.rows[0] }], ended(answer));
}

/** Several in one string commit together. With COMMIT in it, they do whatever comes behind. */
async function several(session: Session): Promise<void> {
  const { client, random, recorder } = session;
  const registers = someRegisters(session, 3);
  const writers = registers.map(() => recorder.nextWriter());
  const commitsFirst = random.chance(0.3);
  const updates = registers.map((register, i) => writeSql(register, writers[i]!)).join('; ');
  const sql = commitsFirst ? `begin; ${updates}; commit; select 1/0` : updates;
  const startMs = performance.now();
  const answer = await client.simple(sql);
  const isCommitted = commitsFirst && answer.tags.includes('COMMIT');
  if (!isCommitted) {
    noteError(session, answer);
    if (commitsFirst && !client.isClosed) await session.endTransaction('rollback');
  }
  const attempts = registers.map((register, i) => ({
    writer: writers[i]!,
    register,
    row: answer.rows[i],
  }));
  const form = commitsFirst ? 'updates, COMMIT and an error in a string' : 'updates in a string';
  session.recordWrites(form, startMs, attempts, isCommitted ? 'acknowledged' : ended(answer));
}

async function transaction(session: Session): Promise<void> {
  const { client, random, recorder } = session;
  const attempts: Attempt[] = [];
  const startMs = performance.now();
  await client.simple('begin');
  for (const register of someRegisters(session, 4)) {
    const writer = recorder.nextWriter();
    const answer = await client.simple(writeSql(register, writer));
    attempts.push({ writer, register, row: answer.rows[0] });
    if (answer.sqlstate === null && !answer.isLost) continue;
    noteError(session, answer);
    if (!client.isClosed) await session.endTransaction('rollback');
    // COMMIT was never sent.
    session.recordWrites('transaction', startMs, attempts, 'failed');
    return;
  }
  if (random.chance(0.15)) {
    await session.endTransaction('rollback');
    session.recordWrites('rolled back', startMs, attempts, 'failed');
    return;
  }
  const answer = await session.endTransaction('commit');
  noteError(session, answer);
  const isRolledBack = answer.tags.includes('ROLLBACK');
  session.recordWrites('transaction', startMs, attempts, isRolledBack ? 'failed' : ended(answer));
}

const forms = { update, several, transaction } as const;
const weights = { update: 6, several: 2, transaction: 2 } as const;

/** One write or a few, put in a random way. */
export function write(session: Session): Promise<void> {
  return forms[session.random.weighted(weights)](session);
}
