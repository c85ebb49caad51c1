import { performance } from 'node:perf_hooks';
import { consistencyLevels } from '../../src/config.ts';
import { readAllSql, readRangeSql, readSql, registerCount } from './registers.ts';
import type { Entitlement, Session } from './session.ts';

/** Bounds that reads ask for, ms: below and above the faults' lengths. */
export const stalenessChoicesMs = [150, 500, 2_000] as const;

type ReadForm = (session: Session) => Promise<void>;

const anyRegister = ({ random }: Session) => random.integer(registerCount);

async function simple(session: Session): Promise<void> {
  const startMs = performance.now();
  const answer = await session.client.simple(readSql(anyRegister(session)));
  session.record('select', startMs, answer, { isSnapshot: true });
}

async function named(session: Session): Promise<void> {
  const startMs = performance.now();
  const answer = await session.client.named('read', readSql('$1'), [anyRegister(session)]);
  session.record('prepared select', startMs, answer, { isSnapshot: true });
}

/** What a hint may change for its statement. */
function hinted({ random, exchange, entitlement }: Session): [string, Entitlement] {
  const words: string[] = [];
  let hintedEntitlement = entitlement;
  const level = random.pick(consistencyLevels);
  words.push(`consistency=${level}`);
  hintedEntitlement = { ...hintedEntitlement, level };
  if (random.chance(0.3)) {
    const maxStalenessMs = random.pick(stalenessChoicesMs);
    words.push(`max_staleness=${maxStalenessMs}`);
    hintedEntitlement = { ...hintedEntitlement, maxStalenessMs };
  }
  const token = random.chance(0.3) ? exchange.find(random) : undefined;
  if (token !== undefined) {
    words.push(`min_lsn=${token.text}`);
    hintedEntitlement = { ...hintedEntitlement, token };
  }
  return [`/* tidemark: ${words.join(', ')} */`, hintedEntitlement];
}

async function withHint(session: Session): Promise<void> {
  const [hint, entitlement] = hinted(session);
  const startMs = performance.now();
  const answer = await session.client.simple(`${hint} ${readSql(anyRegister(session))}`);
  session.record('hinted select', startMs, answer, { isSnapshot: true, entitlement });
}

async function all(session: Session): Promise<void> {
  const startMs = performance.now();
  const answer = await session.client.simple(readAllSql);
  session.record('select of all', startMs, answer, { isSnapshot: true });
}

async function two(session: Session): Promise<void> {
  const [first, second] = session.random.some([...Array(registerCount).keys()], 2);
  const startMs = performance.now();
  const answer = await session.client.simple(`${readSql(first!)}; ${readSql(second!)}`);
  session.record('two selects in a string', startMs, answer);
}

/** All registers in two statements of one snapshot. */
async function repeatable(session: Session): Promise<void> {
  const { client, random } = session;
  const form = 'selects in REPEATABLE READ READ ONLY';
  const half = 1 + random.integer(registerCount - 1);
  const startMs = performance.now();
  await client.simple('begin isolation level repeatable read read only');
  const low = await client.simple(readRangeSql(0, half));
  if (low.sqlstate !== null || low.isLost) {
    session.record(form, startMs, low);
  } else {
    const high = await client.simple(readRangeSql(half, registerCount));
    const isWhole = high.sqlstate === null && !high.isLost;
    if (!isWhole) session.record(form, startMs, high);
    const rows = isWhole ? [...low.rows, ...high.rows] : low.rows;
    session.record(form, startMs, { ...low, rows }, { isSnapshot: true });
  }
  if (!client.isClosed) await session.endTransaction('commit');
}

/** Two statements with a snapshot each, at a level of their transaction's own. */
async function readOnly(session: Session): Promise<void> {
  const { client, random } = session;
  const form = 'select in READ ONLY';
  let { entitlement } = session;
  const startMs = performance.now();
  await client.simple('begin read only');
  if (random.chance(0.5)) {
    const level = random.pick(consistencyLevels);
    const answer = await client.simple(`set local tidemark.consistency = '${level}'`);
    if (answer.sqlstate === null) entitlement = { ...entitlement, level };
  }
  // It says nothing about freshness, and opens the transaction.
  if (random.chance(0.3)) await client.simple("set local statement_timeout = '30s'");
  for (let i = 0; i < 2 && !client.isClosed; i++) {
    const answer = await client.simple(readSql(anyRegister(session)));
    if (!session.record(form, startMs, answer, { isSnapshot: true, entitlement })) break;
  }
  if (!client.isClosed) await session.endTransaction(random.pick(['commit', 'rollback']));
}

const forms = { simple, named, withHint, all, two, repeatable, readOnly } as const;
const weights = {
  simple: 8,
  named: 8,
  withHint: 5,
  all: 2,
  two: 1,
  repeatable: 1,
  readOnly: 2,
} as const satisfies Record<keyof typeof forms, number>;

/** A read, put in a random way. */
export function read(session: Session): Promise<void> {
  const form: ReadForm = forms[session.random.weighted(weights)];
  return form(session);
}
