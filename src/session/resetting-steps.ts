import { Op, type Step, steps } from '../pool/step.ts';
import { bind, close, execute, parse, TargetKind } from '../protocol/frontend.ts';
import type { Classified } from '../router/statement.ts';
import type { BackToBase } from './back-to-base.ts';
import type { SenderSession } from './batch-sender.ts';
import type { ResettingQuery } from './resetting-query.ts';

type Told = Pick<SenderSession, 'completedAt' | 'failedAt' | 'broughtBack'>;

/** Of what is executed for the session without its knowledge. */
const ownName = 'tidemark_reset';

/** The reply to a query string of this class (null: nobody knows). */
export function queryStep(session: Told, classified: Classified | null): Step {
  if (classified === null || !classified.hasEffects) return steps.query;
  let index = 0;
  return {
    ...steps.query,
    done: (buffer, start, end) => {
      session.completedAt(classified, index, buffer, start, end);
      index += 1;
    },
    failed: (buffer, start, end) => session.failedAt(classified, index, buffer, start, end),
  };
}

/** The same where more was put in: a step for each statement up to the last of those. */
export function resettingSteps(
  session: Told,
  { behind, reworded }: ResettingQuery,
  classified: Classified | null,
): Step[] {
  const query: Step = { ...queryStep(session, classified), reworded };
  const expected: Step[] = [];
  for (let index = 0; index <= Math.max(...behind.keys()); index++) {
    expected.push({ ...query, op: Op.Statement });
    const back = behind.get(index);
    if (back === undefined) continue;
    for (let others = back.statements.length - 1; others > 0; others--)
      expected.push(steps.skippedStatement);
    expected.push({ ...steps.skippedStatement, done: () => session.broughtBack(back) });
  }
  return [...expected, query];
}

/** Extended messages that set again what a RESET before them has taken. */
export function bringBackMessages({ statements }: BackToBase): Buffer {
  return Buffer.concat(
    statements.flatMap((sql) => [
      parse(ownName, sql),
      bind({ portal: ownName, statement: ownName }),
      execute(ownName),
      close(TargetKind.Portal, ownName),
      close(TargetKind.Statement, ownName),
    ]),
  );
}

export function bringBackSteps(session: Told, back: BackToBase): Step[] {
  const { statements } = back;
  return statements.flatMap((_, index): Step[] => [
    steps.skippedParse,
    steps.skippedBind,
    index < statements.length - 1
      ? steps.skippedExecute
      : { ...steps.skippedExecute, done: () => session.broughtBack(back) },
    steps.skippedClose,
    steps.skippedClose,
  ]);
}
