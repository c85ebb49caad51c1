import { ProxyError } from '../errors.ts';
import { failingBind } from '../pool/failing-bind.ts';
import type { PreparedText, PreparedTexts } from '../pool/prepared.ts';
import type { ServerConnection } from '../pool/server-connection.ts';
import { Settings } from '../pool/settings.ts';
import { Op, type Step, steps } from '../pool/step.ts';
import { closeComplete, errorResponse, parseComplete } from '../protocol/backend.ts';
import { Frontend, TxStatus } from '../protocol/codes.ts';
import { BindFields, ParseFields, TargetFields } from '../protocol/fields.ts';
import { close, sync, TargetKind } from '../protocol/frontend.ts';
import { withNameInError, withStatementName } from '../protocol/rename.ts';
import type { Classified, Effect } from '../router/statement.ts';
import { type BackToBase, backToBase } from './back-to-base.ts';
import { describeStep } from './outdated.ts';
import { parseHeadOf } from './parse-head.ts';
import type { ParseScope } from './parse-scope.ts';
import type { Request, RequestEnd } from './request.ts';
import { resettingQuery } from './resetting-query.ts';
import { bringBackMessages, bringBackSteps, queryStep, resettingSteps } from './resetting-steps.ts';
import {
  type BoundStatement,
  type ClientStatement,
  type ClientStatements,
  nameOnWire,
} from './statements.ts';

const bindFields = new BindFields();
const parseFields = new ParseFields();
const targetFields = new TargetFields();

/** The reply that a malformed message has in place of an ErrorResponse: none of them ever comes. */
const brokenSteps: Readonly<Record<number, Step>> = {
  [Frontend.Parse]: steps.parse,
  [Frontend.Bind]: steps.bind,
  [Frontend.Describe]: steps.describe,
  [Frontend.Execute]: steps.execute,
  [Frontend.Close]: steps.close,
  // A good one has no reply.
  [Frontend.Flush]: steps.close,
};

/** What a sender needs of its session. */
export interface SenderSession {
  readonly statements: ClientStatements;
  readonly texts: PreparedTexts;
  /** Statements kept on one server connection. */
  readonly statementsMax: number;
  readonly scope: ParseScope;
  /** Earlier messages of the same batch went out without its Sync. */
  readonly isBatchOpen: boolean;
  /** What its startup packet has set. */
  readonly base: Settings;
  /** SQL PREPARE has made names that only the server knows. */
  readonly knowsServerNames: boolean;
  /** The `index`th statement of a text with effects completed, with the tag in that frame. */
  completedAt(
    classified: Classified,
    index: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void;
  /** The server has refused it, with the ErrorResponse in that frame. */
  failedAt(classified: Classified, index: number, buffer: Buffer, start: number, end: number): void;
  /** The server has these settings again, behind a RESET. */
  broughtBack(back: BackToBase): void;
}

/**
 * Translates a client's messages for the server connection they go to, and sends them: statement
 * names become the connection's own, statements that are not there are prepared first, and what the
 * server need not see is answered by the proxy in its turn.
 */
export class BatchSender {
  readonly #session: SenderSession;
  readonly #server: ServerConnection;
  readonly #steps: Step[];
  readonly #borrowed: PreparedText[];
  #flows = true;
  /** A run of bytes that go out as they came. */
  #run: Buffer | null = null;
  #runStart = 0;
  #runEnd = 0;
  /** An error was put in: the server skips to Sync, and so do we. */
  #failed = false;

  /** Not everything was sent: the rest of a long message, if there is one, must not be either. */
  get hasFailed(): boolean {
    return this.#failed;
  }

  /**
   * @param expected gets the replies that the server will give
   * @param borrowed gets the texts that are in use until the request ends: the session then holds its own
   */
  constructor(
    session: SenderSession,
    server: ServerConnection,
    expected: Step[],
    borrowed: PreparedText[],
  ) {
    this.#session = session;
    this.#server = server;
    this.#steps = expected;
    this.#borrowed = borrowed;
  }

  /** False: the server takes no more for now. */
  send(request: Request): boolean {
    const { failure, failsAt, count } = request;
    if (failure !== null && failsAt === 0) this.#refuse(failure, request.end);
    for (let index = 0; index < count; index++) {
      if (failure !== null && index > 0 && index === failsAt) this.#refuse(failure, request.end);
      this.#take(request, index);
    }
    this.#endRun();
    return this.#flows;
  }

  #take(request: Request, index: number): void {
    const { type, buffer, start, end, parsed, executed, isBroken } = request.at(index);
    if (type === Frontend.Sync) {
      this.#evict();
      this.#pass(buffer, start, end);
      this.#steps.push(steps.sync);
      return;
    }
    if (type === Frontend.Flush && !isBroken) {
      this.#pass(buffer, start, end);
      return;
    }
    if (this.#failed) return;
    if (isBroken) {
      // The server says what is wrong with it, in its own words.
      this.#pass(buffer, start, end);
      this.#steps.push(brokenSteps[type] ?? steps.query);
      return;
    }
    switch (type) {
      case Frontend.CopyData:
      case Frontend.CopyDone:
      case Frontend.CopyFail:
        this.#pass(buffer, start, end);
        return;
      case Frontend.Query:
        this.#query(request, buffer, start, end);
        return;
      case Frontend.FunctionCall:
        this.#pass(buffer, start, end);
        this.#steps.push(steps.functionCall);
        return;
      case Frontend.Parse:
        this.#parse(parsed, buffer, start, end);
        return;
      case Frontend.Bind:
        this.#bind(buffer, start, end);
        return;
      case Frontend.Describe:
        this.#describe(buffer, start, end);
        return;
      case Frontend.Close:
        this.#close(buffer, start, end);
        return;
      case Frontend.Execute:
        this.#pass(buffer, start, end);
        this.#execute(executed);
        return;
    }
  }

  #query({ classified }: Request, buffer: Buffer, start: number, end: number): void {
    if (classified !== null) this.#session.scope.sends(classified);
    // A simple Query destroys the unnamed statement (exec_simple_query in postgres.c).
    this.#server.prepared.unnamed = null;
    if (!this.#isAlone) {
      this.#pass(buffer, start, end);
      this.#steps.push(this.#queryInBatch(classified));
      return;
    }
    this.#forgetUnnamed();
    const resetting =
      classified?.hasEffects && this.#session.base !== Settings.none
        ? resettingQuery(buffer, start, end, classified, this.#session.base)
        : null;
    if (resetting === null) {
      this.#pass(buffer, start, end);
      this.#steps.push(queryStep(this.#session, classified));
    } else {
      this.#send(resetting.message);
      this.#steps.push(...resettingSteps(this.#session, resetting, classified));
    }
  }

  /** Nothing before it could make the server ignore the message that is next. */
  get #isAlone(): boolean {
    return this.#steps.length === 0 && !this.#session.isBatchOpen;
  }

  /** The answers to the messages before come first: only then is the unnamed statement gone. */
  #queryInBatch(classified: Classified | null): Step {
    const step = queryStep(this.#session, classified);
    const { statements } = this.#session;
    statements.announce('', null);
    return {
      ...step,
      done: (buffer, start, end) => {
        statements.confirm('', null);
        step.done?.(buffer, start, end);
      },
      failed: (buffer, start, end) => {
        statements.confirm('', null);
        step.failed?.(buffer, start, end);
      },
    };
  }

  #execute(statement: BoundStatement | null): void {
    this.#steps.push(this.#executeStep(statement));
    if (!statement?.classified.hasEffects || this.#session.base === Settings.none) return;
    const effect = statement.classified.statements[0]?.effect ?? null;
    const back = backToBase(effect, this.#session.base);
    if (back === null) return;
    this.#send(bringBackMessages(back));
    this.#steps.push(...bringBackSteps(this.#session, back));
  }

  #executeStep(statement: BoundStatement | null): Step {
    if (statement === null) return steps.executeCopy;
    this.#session.scope.sends(statement.classified);
    if (statement.classified.statements[0]?.tag === 'COPY') return steps.executeCopy;
    if (!statement.classified.hasEffects) return steps.execute;
    if (forgetsStatements(statement.classified)) {
      this.#session.statements.announceRemoveAll();
      this.#server.prepared.announceClear();
    }
    return {
      ...steps.execute,
      done: (buffer, start, end) =>
        this.#session.completedAt(statement.classified, 0, buffer, start, end),
      failed: (buffer, start, end) =>
        this.#session.failedAt(statement.classified, 0, buffer, start, end),
    };
  }

  #parse(parsed: ClientStatement | null, buffer: Buffer, start: number, end: number): void {
    if (parsed === null) {
      // Too long to be held, so nobody could prepare it again: the session is pinned instead.
      this.#server.prepared.unnamed = null;
      this.#forgetUnnamed();
      this.#pass(buffer, start, end);
      this.#steps.push(steps.parse);
      return;
    }
    const { statement: name, queryStart } = parseFields.read(buffer, start, end);
    // What an EXECUTE returns is decided here (PlanCacheComputeResultDesc, plancache.c).
    this.#bringNamed(parsed);
    if (name === '') {
      this.#server.prepared.unnamed = parsed.text;
      const { statements } = this.#session;
      statements.announce('', parsed);
      this.#pass(buffer, start, end);
      this.#steps.push(new UnnamedParse(statements, parsed));
      return;
    }
    const body = buffer.subarray(queryStart, end);
    if (this.#session.statements.classOf(name) !== undefined) {
      // What else is wrong with it comes first: the server looks at the name last.
      this.#tryUnnamed(body, { ...steps.parse, skip: true });
      this.#fail(new ProxyError('duplicateStatement', name));
      return;
    }
    const { texts, scope } = this.#session;
    // A name means something else to each session.
    const isShared = namesExecuted(parsed).length === 0;
    const text = texts.use(body, isShared ? scope.key : `own ${texts.newVersion()}`);
    const statement: ClientStatement = { text, classified: parsed.classified };
    this.#session.statements.announce(name, statement);
    this.#borrowed.push(text);
    const confirm = () => this.#session.statements.confirm(name, statement);
    const { prepared } = this.#server;
    if (prepared.has(text)) {
      // The transaction may have failed, and then so does this; or have ended within the batch.
      const isAborted = this.#server.txStatus === TxStatus.Failed && isRefusedWhenFailed(parsed);
      if (isAborted) this.#tryUnnamed(body, { ...steps.parse, done: confirm });
      else this.#fake(parseComplete, confirm);
      return;
    }
    this.#send(parseHead(text));
    this.#send(text.body);
    prepared.announce(text);
    this.#steps.push({
      ...steps.parse,
      done: () => {
        prepared.confirm(text);
        confirm();
      },
    });
  }

  /** Lets the server parse a text without keeping it under a name. */
  #tryUnnamed(body: Buffer, step: Step): void {
    this.#send(parseHeadOf('', body));
    this.#send(body);
    this.#server.prepared.unnamed = null;
    this.#steps.push(step);
  }

  #bind(buffer: Buffer, start: number, end: number): void {
    const { statement: name } = bindFields.read(buffer, start, end);
    this.#bringNamed(this.#session.statements.get(name));
    if (!this.#nameStatement(name, buffer, start, end)) return;
    const statement = name === '' ? undefined : this.#session.statements.get(name);
    this.#steps.push(statement === undefined ? steps.bind : bindStepOf(name, statement));
  }

  #describe(buffer: Buffer, start: number, end: number): void {
    const { kind, name } = targetFields.read(buffer, start, end);
    if (kind !== TargetKind.Statement) {
      this.#pass(buffer, start, end);
      this.#steps.push(steps.describe);
      return;
    }
    const statement = this.#session.statements.get(name);
    this.#bringNamed(statement);
    if (!this.#nameStatement(name, buffer, start, end)) return;
    const isNew = name !== '' && statement !== undefined && statement.text.description === null;
    // What an EXECUTE gives is not for the text to say.
    const isKept = isNew && namesExecuted(statement).length === 0;
    this.#steps.push(isKept ? describeStep(statement.text) : steps.describe);
  }

  #close(buffer: Buffer, start: number, end: number): void {
    const { kind, name } = targetFields.read(buffer, start, end);
    const { statements, knowsServerNames } = this.#session;
    const isForServer = knowsServerNames && statements.get(name) === undefined;
    if (kind !== TargetKind.Statement || (isForServer && name !== '')) {
      this.#pass(buffer, start, end);
      this.#steps.push(steps.close);
      return;
    }
    // The statement stays on the server connection, for the next session that prepares it.
    statements.announce(name, null);
    this.#fake(closeComplete, () => statements.confirm(name, null));
  }

  /** Sends a Bind or Describe under the name that the statement has there; false: it has none. */
  #nameStatement(name: string, buffer: Buffer, start: number, end: number): boolean {
    const { statements } = this.#session;
    const statement = statements.get(name);
    if (statement === undefined) {
      if (this.#session.knowsServerNames || statements.sql(name) !== undefined) {
        this.#pass(buffer, start, end);
        return true;
      }
      this.#fail(
        name === '' ? new ProxyError('noUnnamedStatement') : new ProxyError('noStatement', name),
      );
      return false;
    }
    if (name === '') {
      if (this.#server.prepared.unnamed !== statement.text) {
        this.#prepare('', statement.text);
        this.#server.prepared.unnamed = statement.text;
      }
      this.#pass(buffer, start, end);
      return true;
    }
    const { text } = statement;
    if (this.#server.prepared.clientNamed(name) === text.name) {
      // It is there under the client's own name.
      this.#pass(buffer, start, end);
      return true;
    }
    if (!this.#server.prepared.has(text)) {
      this.#prepare(text.name, text);
      this.#server.prepared.announce(text);
    }
    const { head, restOffset } = withStatementName(buffer, start, end, text.name);
    this.#send(head);
    this.#pass(buffer, restOffset, end);
    return true;
  }

  /** What an EXECUTE names has to mean to the server what the batch so far has made of it. */
  #bringNamed(statement: ClientStatement | undefined): void {
    if (statement === undefined) return;
    for (const name of namesExecuted(statement)) this.#bringClientNamed(name);
  }

  #bringClientNamed(name: string): void {
    const { statements } = this.#session;
    const { prepared } = this.#server;
    const text = statements.get(name)?.text;
    const there = prepared.clientNamed(name);
    // What SQL has made was brought in front of the batch.
    const isAsKnown =
      text === undefined && (there === undefined || statements.sql(name) !== undefined);
    if (isAsKnown || (text !== undefined && there === text.name)) return;
    // Until the server has answered, nobody knows what is there: an error may come before.
    prepared.madeAs(name, inDoubt);
    if (there !== undefined) {
      this.#send(close(TargetKind.Statement, name));
      this.#steps.push({ ...steps.skippedClose, done: () => prepared.unmake(name) });
    }
    if (text === undefined) return;
    this.#send(parseHeadOf(name, text.body));
    this.#send(text.body);
    this.#steps.push({ ...steps.skippedParse, done: () => prepared.madeAs(name, text.name) });
  }

  #forgetUnnamed(): void {
    this.#session.statements.announce('', null);
    this.#session.statements.confirm('', null);
  }

  /** Puts in a Parse of the proxy's own; when it fails, its error is the client's. */
  #prepare(name: string, text: PreparedText): void {
    this.#send(name === '' ? unnamedParseHead(text) : parseHead(text));
    this.#send(text.body);
    this.#steps.push({
      op: Op.Parse,
      skip: true,
      replacement: null,
      done: name === '' ? null : () => this.#server.prepared.confirm(text),
    });
  }

  /**
   * Makes the server fail here, so that it ends the transaction and skips to Sync as it would have,
   * and words the error as PostgreSQL would have for the client's own names.
   */
  #fail(error: ProxyError | Buffer): void {
    this.#send(failingBind);
    this.#steps.push({
      ...steps.bind,
      replacement: Buffer.isBuffer(error) ? error : errorResponse(error),
    });
    this.#failed = true;
  }

  /** The whole request is refused: fails, and ends as the client expects it to. */
  #refuse(error: ProxyError | Buffer, end: RequestEnd): void {
    this.#fail(error);
    if (end !== 'query' && end !== 'call') return;
    this.#send(sync);
    this.#steps.push(steps.sync);
  }

  #fake(reply: Buffer, done: Step['done']): void {
    this.#steps.push({ op: Op.Fake, skip: false, replacement: reply, done });
  }

  /** Makes room on the server connection, behind everything that could name the one to go. */
  #evict(): void {
    const { prepared } = this.#server;
    if (this.#failed) return;
    const outdated = prepared.oldestBeyond(this.#session.statementsMax);
    // In the middle of a COPY a Close would end the connection (CopyGetData in copyfromparse.c).
    if (outdated.length === 0 || this.#steps.some(({ mayCopy }) => mayCopy)) return;
    for (const text of outdated) {
      this.#send(close(TargetKind.Statement, text.name));
      prepared.announceClose();
      this.#steps.push({ ...steps.skippedClose, done: () => prepared.remove(text) });
    }
  }

  #pass(buffer: Buffer, start: number, end: number): void {
    if (this.#run === buffer && this.#runEnd === start) {
      this.#runEnd = end;
      return;
    }
    this.#endRun();
    this.#run = buffer;
    this.#runStart = start;
    this.#runEnd = end;
  }

  #send(bytes: Buffer): void {
    this.#endRun();
    this.#flows = this.#server.send(bytes);
  }

  #endRun(): void {
    if (this.#run === null) return;
    const isWhole = this.#runStart === 0 && this.#runEnd === this.#run.length;
    const bytes = isWhole ? this.#run : this.#run.subarray(this.#runStart, this.#runEnd);
    if (bytes.length > 0) this.#flows = this.#server.send(bytes);
    this.#run = null;
  }
}

/** No text's name. */
const inDoubt = '';

const bindSteps = new WeakMap<ClientStatement, Step>();

/** Of a statement that is known to the server by another name: its errors name it. */
function bindStepOf(name: string, statement: ClientStatement): Step {
  const known = bindSteps.get(statement);
  if (known !== undefined) return known;
  const step = rewordedBind(statement.text.name, name);
  bindSteps.set(statement, step);
  return step;
}

/** By itself: what a closure holds is allocated by each call of the function around it. */
function rewordedBind(from: string, to: string): Step {
  return { ...steps.bind, reworded: (frame) => withNameInError(frame, from, to) };
}

/** The expected reply to a Parse of the unnamed statement. */
class UnnamedParse implements Step {
  readonly op = Op.Parse;
  readonly skip = false;
  readonly replacement = null;
  readonly #statements: ClientStatements;
  readonly #parsed: ClientStatement;

  constructor(statements: ClientStatements, parsed: ClientStatement) {
    this.#statements = statements;
    this.#parsed = parsed;
  }

  done(): void {
    this.#statements.confirm('', this.#parsed);
  }

  /** The old one went before the new one was read (drop_unnamed_stmt in postgres.c). */
  failed(): void {
    this.#statements.confirm('', null);
  }
}

/** DEALLOCATE ALL, and DISCARD ALL where nothing was executed before it. */
function forgetsStatements({ statements }: Classified): boolean {
  return statements.some(
    ({ effect }) =>
      (effect?.kind === 'deallocate' && effect.name === null) ||
      (effect?.kind === 'discard' && effect.what === 'all'),
  );
}

const none: readonly string[] = [];

/** Of the statements that EXECUTE in this one runs. */
function namesExecuted({ classified }: ClientStatement): readonly string[] {
  if (!classified.hasEffects) return none;
  return classified.statements.flatMap(({ effect }) =>
    effect?.kind === 'execute' ? [nameOnWire(effect.name)] : none,
  );
}

/** Effects of the statements that end a transaction (IsTransactionExitStmt, tcop/postgres.c). */
const transactionExits: ReadonlySet<string> = new Set<Effect['kind']>([
  'commit',
  'prepare-transaction',
  'rollback',
  'rollback-to',
]);

/** A failed transaction takes no Parse but of those, and of an empty text. */
function isRefusedWhenFailed({ classified }: ClientStatement): boolean {
  return classified.statements.some(
    ({ effect }) => effect === null || !transactionExits.has(effect.kind),
  );
}

const parseHead = (text: PreparedText) => parseHeadOf(text.name, text.body);
const unnamedParseHead = (text: PreparedText) => parseHeadOf('', text.body);
