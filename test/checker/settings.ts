import { performance } from 'node:perf_hooks';
import { consistencyLevels } from '../../src/config.ts';
import { stalenessChoicesMs } from './reads.ts';
import { countError } from './recorder.ts';
import type { Answer } from './register-client.ts';
import type { Entitlement, Session } from './session.ts';

/** Sends it; true if it was taken. */
async function run(session: Session, sql: string): Promise<Answer | null> {
  const answer = await session.client.simple(sql);
  if (answer.sqlstate === null && !answer.isLost) return answer;
  countError(session.recorder.otherErrors, answer.sqlstate ?? 'lost');
  return null;
}

async function set(session: Session, sql: string, change: Partial<Entitlement>): Promise<void> {
  if ((await run(session, sql)) === null) return;
  session.entitlement = { ...session.entitlement, ...change };
}

function level(session: Session): Promise<void> {
  const chosen = session.random.pick(consistencyLevels);
  return set(session, `set tidemark.consistency = '${chosen}'`, { level: chosen });
}

function staleness(session: Session): Promise<void> {
  const maxStalenessMs = session.random.pick(stalenessChoicesMs);
  return set(session, `set tidemark.max_staleness = ${maxStalenessMs}`, { maxStalenessMs });
}

/** How long reads wait, and what becomes of them then: changes no promise. */
async function waiting(session: Session): Promise<void> {
  const { random } = session;
  await run(session, `set tidemark.wait_timeout = ${random.pick([0, 5, 100])}`);
  if (session.isOver) return;
  const choice = random.weighted({ primary: 3, error: 1 });
  await run(session, `set tidemark.on_timeout = '${choice}'`);
}

/** A SET that a rollback takes back changes nothing. */
async function rolledBack(session: Session): Promise<void> {
  await run(session, 'begin');
  await run(session, "set tidemark.consistency = 'eventual'");
  if (!session.isOver) await session.endTransaction('rollback');
}

/** What the session has seen stays seen. */
async function reset(session: Session): Promise<void> {
  const sql = session.random.pick(['discard all', 'reset all']);
  if ((await run(session, sql)) === null) return;
  if (sql === 'discard all') session.client.forgetPrepared();
  session.resetEntitlement();
}

async function take(session: Session): Promise<void> {
  const startMs = performance.now();
  const form = 'show tidemark.lsn';
  const answer = await run(session, form);
  const text = answer?.rows[0]?.[0];
  if (text !== undefined) session.recordToken(form, startMs, text);
}

async function give(session: Session): Promise<void> {
  const token = session.exchange.find(session.random);
  if (token === undefined) return;
  session.recorder.tokensGiven += 1;
  await set(session, `set tidemark.min_lsn = '${token.text}'`, { token });
}

/** A token that was lost fails every read that it is in force for. */
export function dropToken(session: Session): Promise<void> {
  return set(session, "set tidemark.min_lsn = ''", { token: null });
}

const forms = { level, staleness, waiting, rolledBack, reset, take, give, dropToken } as const;
const weights = {
  level: 6,
  staleness: 2,
  waiting: 1,
  rolledBack: 1,
  reset: 1,
  take: 6,
  give: 4,
  dropToken: 2,
} as const satisfies Record<keyof typeof forms, number>;

/** Changes what the session's reads are entitled to, or passes a token on. */
export function changeSettings(session: Session): Promise<void> {
  return forms[session.random.weighted(weights)](session);
}
