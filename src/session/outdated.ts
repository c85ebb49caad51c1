import { ProxyError } from '../errors.ts';
import type { PreparedText } from '../pool/prepared.ts';
import type { ServerConnection } from '../pool/server-connection.ts';
import { type Step, steps } from '../pool/step.ts';
import { errorResponse } from '../protocol/backend.ts';
import { Frontend } from '../protocol/codes.ts';
import {
  isWhole,
  parameterDescription,
  parameterTypes,
  resultShape,
} from '../protocol/description.ts';
import { BindFields, TargetFields } from '../protocol/fields.ts';
import { close, describe, parse, sync, TargetKind } from '../protocol/frontend.ts';
import type { ParseScope } from './parse-scope.ts';
import type { Request } from './request.ts';
import type { RequestMessage } from './request-message.ts';
import type { ClientStatements } from './statements.ts';

const bindFields = new BindFields();
const targetFields = new TargetFields();

/** The expected reply to a client's Describe, which is kept as what the statement gives. */
export function describeStep(text: PreparedText): Step {
  let parameters: readonly number[] | null = null;
  return {
    ...steps.describe,
    parameters: (buffer, start, end) => {
      if (isWhole(buffer, start, end)) parameters = parameterTypes(buffer, start, end);
    },
    done: (buffer, start, end) => {
      if (parameters === null || !isWhole(buffer, start, end)) return;
      text.description ??= { parameters, result: resultShape(buffer, start, end) };
    },
  };
}

export interface Outdated {
  readonly text: PreparedText;
  /** Which message of the request names it. */
  readonly index: number;
  /** The client asks what it gives, rather than for its result. */
  readonly isDescribed: boolean;
}

/**
 * The first statement that the request names and that its session has prepared when it, or the
 * catalog, was not as it is now (`parsing`), and that is not on this server connection: prepared
 * there now it could give other columns than its client was told of. Null: there is none.
 */
export function outdatedIn(
  request: Request,
  statements: ClientStatements,
  { prepared }: ServerConnection,
  parsing: ParseScope,
): Outdated | null {
  if (!statements.haveOtherScope(parsing)) return null;
  const { key: scope } = parsing;
  const closed = new Set<string>();
  for (let index = 0; index < request.count; index++) {
    const message = request.at(index);
    const name = message.isBroken ? '' : statementNameOf(message);
    const text = name === '' || closed.has(name) ? undefined : statements.get(name)?.text;
    if (text === undefined) continue;
    const { type } = message;
    // The batch fails here: the name is taken.
    if (type === Frontend.Parse) return null;
    if (type === Frontend.Close) closed.add(name);
    else if (text.scope !== scope && text.description !== null && !prepared.has(text))
      return { text, index, isDescribed: type === Frontend.Describe };
  }
  return null;
}

/** Of a prepared statement; empty: the message speaks of none, or of the unnamed one. */
function statementNameOf({ type, buffer, start, end, parsed }: RequestMessage): string {
  switch (type) {
    case Frontend.Parse:
      return parsed?.text.name ?? '';
    case Frontend.Bind:
      return bindFields.read(buffer, start, end).statement;
    case Frontend.Describe:
    case Frontend.Close: {
      const { kind, name } = targetFields.read(buffer, start, end);
      return kind === TargetKind.Statement ? name : '';
    }
    default:
      return '';
  }
}

/**
 * Prepares it with the types of its parameters as they were, and calls back with the ErrorResponse
 * that PostgreSQL gives for a statement which does not fit any more, or null: it gives what it gave
 * (RevalidateCachedQuery, plancache.c), or the server connection has closed.
 */
export function prepareAsBefore(
  server: ServerConnection,
  { text, isDescribed }: Outdated,
  done: (refusal: Buffer | null) => void,
): void {
  const { prepared } = server;
  const before = text.description!;
  const now = new Trial(text);
  const sql = text.body.subarray(0, text.body.indexOf(0));
  const messages = [
    parse(text.name, sql, before.parameters),
    describe(TargetKind.Statement, text.name),
    sync,
  ];
  prepared.announce(text);
  const parsed = { ...steps.skippedParse, done: () => prepared.confirm(text) };
  const finished = ({ error }: { readonly error: Buffer | null }) => {
    const isGone = server.closedFor !== null;
    if (isGone || (error === null && now.result === before.result)) {
      done(null);
      return;
    }
    if (error === null) remove(server, text);
    const refusal = error ?? errorResponse(new ProxyError('planChanged'));
    // Which is told before the plan is looked at (exec_describe_statement_message, postgres.c).
    done(isDescribed ? Buffer.concat([parameterDescription(before.parameters), refusal]) : refusal);
  };
  server.runOwn(Buffer.concat(messages), finished, [parsed, now.step, steps.skippedSync]);
}

/** What a statement gives now. */
class Trial {
  readonly step: Step;
  result: string | null = null;

  constructor({ description }: PreparedText) {
    this.step = {
      ...steps.describe,
      skip: true,
      done: (buffer, start, end) => {
        // In pieces, which is not worth putting together: taken for what it was.
        const isKnown = isWhole(buffer, start, end);
        this.result = isKnown ? resultShape(buffer, start, end) : description!.result;
      },
    };
  }
}

/** Whoever uses it there is to be asked the same again. */
function remove(server: ServerConnection, text: PreparedText): void {
  const closed = { ...steps.skippedClose, done: () => server.prepared.remove(text) };
  const message = Buffer.concat([close(TargetKind.Statement, text.name), sync]);
  server.runOwn(message, () => {}, [closed, steps.skippedSync]);
  server.prepared.remove(text);
}
