import type { ProxyError } from '../errors.ts';
import { PreparedText } from '../pool/prepared.ts';
import { Frontend, frameHeaderBytes } from '../protocol/codes.ts';
import { BindFields, ExecuteFields, ParseFields, TargetFields } from '../protocol/fields.ts';
import { largeLengthMax } from '../protocol/frames.ts';
import { TargetKind } from '../protocol/frontend.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import { isWellFormed, queryEndIfWhole } from '../protocol/well-formed.ts';
import type { PrimaryReason } from '../router/route.ts';
import type {
  Classified,
  Effect,
  Hint,
  StatementClass,
  TransactionModes,
} from '../router/statement.ts';
import { isProxySetting } from './read-policy.ts';
import { RequestMessage } from './request-message.ts';
import {
  type BoundStatement,
  type ClientStatement,
  type ClientStatements,
  nameOnWire,
} from './statements.ts';

/** How a request's messages end, or why they were judged before they ended. */
export type RequestEnd = 'query' | 'call' | 'sync' | 'flush' | 'unfinished';

/** SQL to class, with the session's ways of reading literals. */
export type Classify = (buffer: Buffer, start: number, end: number) => Classified;

const parseFields = new ParseFields();
const bindFields = new BindFields();
const targetFields = new TargetFields();
const executeFields = new ExecuteFields();

/** A statement's name on a server connection is at most this much longer than the client's. */
const renamedBytesMax = 64;

/** Room for this many messages is left for the next request. */
const messagesKept = 8;

/** It changes what the session's reads are entitled to. */
function setsOwn(effect: Effect): boolean {
  if (effect.kind === 'several') return effect.effects.some(setsOwn);
  return (effect.kind === 'set' || effect.kind === 'reset') && isProxySetting(effect.name);
}

const noClassifier: Classify = () => {
  throw new TypeError('only a Parse has text to classify');
};

/**
 * The messages that one decision is made for: a Query, a FunctionCall, or extended messages up to
 * Sync or Flush. It holds on to them until they are answered, because they may have to run again.
 */
export class Request {
  end: RequestEnd = 'query';
  /** How many messages it has. */
  count = 0;
  bytes = 0;
  access: 'read' | 'write' = 'read';
  reason: PrimaryReason | null = null;
  hint: Hint | null = null;
  /** All its statements are of the kind that any server can run: SET, SHOW ... */
  sessionOnly = true;
  hasEffects = false;
  /** A statement that it makes, describes or runs has an effect on the session. */
  speaksOfEffects = false;
  /** Behind the end of a transaction it goes on, with a new snapshot. */
  beginsAnew = false;
  /** The same, and not by AND CHAIN: with the modes that the session has by default. */
  beginsByDefault = false;
  /** It opens a transaction, with these modes. */
  begins: TransactionModes | null = null;
  /** What it writes comes before that: the modes do not speak of it. */
  writesBeforeBegin = false;
  ddl = false;
  replicaSafeInTransaction = true;
  /** A READ ONLY transaction that begins with it runs on the primary even so. */
  prefersPrimary = false;
  /** A client that asks for a replica gets one. */
  forcible = true;
  /** Of the Query, else of the last statement that was executed, else parsed. */
  classified: Classified | null = null;
  /** Execute messages in it. */
  executes = 0;
  /** CopyDone and CopyFail messages in it. */
  copyEnds = 0;
  /** The proxy refuses it: the server is made to fail, with this error or ErrorResponse. */
  failure: ProxyError | Buffer | null = null;
  /** In the place of which message it fails: what is in front of that is answered before. */
  failsAt = 0;
  /** It holds a statement that nobody has read: only its server connection knows what it does. */
  pinsUnparsed = false;
  /** The last message has not arrived whole: the rest follows it to the server. */
  isStreaming = false;
  /** Keys of the statements executed, to be remembered when a replica refuses them. */
  readonly learnable: Classified[] = [];
  /** Names by which it speaks of statements that SQL can speak of: PREPARE, EXECUTE, DEALLOCATE. */
  readonly sqlNames: string[] = [];
  /** Those of them that PREPARE or DEALLOCATE is the first to name: it matters whether they are there. */
  readonly namesTaken: string[] = [];
  /** Code that nobody has read may speak of any of them, and so may a list of them all. */
  mayNameAny = false;
  /** Databases that nobody may be connected to when it runs. */
  readonly vacates: string[] = [];
  /** New connections begin with other settings afterwards. */
  changesDefaults = false;
  /** It asks what its session has taken from sequences. */
  readsSequences = false;
  /** It asks what its session listens to. */
  listsChannels = false;
  /** It shows what its session has prepared. */
  listsStatements = false;
  /** The first `count` of them are its messages; the others are for the next request. */
  readonly #messages: RequestMessage[] = [];
  /** COMMIT or ROLLBACK was among its statements so far; `chained`: the last of them AND CHAIN. */
  #behindEnd: 'end' | 'chained' | null = null;

  reset(): void {
    this.end = 'query';
    for (let index = 0; index < this.count; index++) this.#messages[index]!.clear();
    if (this.count > messagesKept) this.#messages.length = messagesKept;
    this.count = 0;
    this.bytes = 0;
    this.access = 'read';
    this.reason = null;
    this.hint = null;
    this.sessionOnly = true;
    this.hasEffects = false;
    this.speaksOfEffects = false;
    this.begins = null;
    this.writesBeforeBegin = false;
    this.#behindEnd = null;
    this.beginsAnew = false;
    this.beginsByDefault = false;
    this.ddl = false;
    this.replicaSafeInTransaction = true;
    this.prefersPrimary = false;
    this.forcible = true;
    this.classified = null;
    this.executes = 0;
    this.copyEnds = 0;
    this.isStreaming = false;
    this.pinsUnparsed = false;
    this.failure = null;
    this.failsAt = 0;
    // One by one: to set the length throws away the room for the next ones.
    while (this.learnable.length > 0) this.learnable.pop();
    if (this.sqlNames.length > 0) this.sqlNames.length = 0;
    if (this.namesTaken.length > 0) this.namesTaken.length = 0;
    this.mayNameAny = false;
    if (this.vacates.length > 0) this.vacates.length = 0;
    this.changesDefaults = false;
    this.readsSequences = false;
    this.listsChannels = false;
    this.listsStatements = false;
  }

  /** It makes statements that other sessions may have made before. */
  get preparesNamed(): boolean {
    for (let index = 0; index < this.count; index++) {
      const { parsed } = this.at(index);
      if (parsed !== null && parsed.text.name !== '') return true;
    }
    return false;
  }

  /** It runs something, rather than only preparing or describing it. */
  get isExecuting(): boolean {
    return this.executes > 0 || this.end === 'query' || this.end === 'call';
  }

  /** One SELECT by itself, which ends as it begins: nothing before or behind it belongs to it. */
  get isSingleRead(): boolean {
    const { classified, end } = this;
    if (classified === null || this.access !== 'read' || this.sessionOnly) return false;
    if (this.hasEffects || this.hint !== null || this.failure !== null || this.isStreaming)
      return false;
    if (classified.statements.length !== 1 || classified.statements[0]!.tag !== 'SELECT')
      return false;
    if (end === 'query') return this.count === 1;
    return (
      end === 'sync' &&
      this.executes === 1 &&
      this.sqlNames.length === 0 &&
      !this.has(Frontend.CopyData) &&
      this.copyEnds === 0 &&
      !this.isBroken
    );
  }

  /** Nobody misses what it does when its client is gone. What lacks its Sync is rolled back. */
  get mayBeCutOff(): boolean {
    return this.access === 'read' || this.reason === 'batch-undecided';
  }

  /** @param index below `count` */
  at(index: number): RequestMessage {
    return this.#messages[index]!;
  }

  has(type: number): boolean {
    return this.first(type) !== null;
  }

  /** Its first message of that type. */
  first(type: number): RequestMessage | null {
    for (let index = 0; index < this.count; index++) {
      if (this.at(index).type === type) return this.at(index);
    }
    return null;
  }

  /** What its Parse messages make, in order. */
  get parsed(): readonly ClientStatement[] {
    return this.#messages.slice(0, this.count).flatMap(({ parsed }) => parsed ?? []);
  }

  /** One of its messages is malformed. */
  get isBroken(): boolean {
    for (let index = 0; index < this.count; index++) if (this.at(index).isBroken) return true;
    return false;
  }

  /** A Query or FunctionCall: a request by itself. */
  takeQuery(
    buffer: Buffer,
    start: number,
    end: number,
    statements: ClientStatements,
    classify: Classify,
  ): void {
    const message = this.#push(Frontend.Query, buffer, start, end);
    this.end = 'query';
    const textEnd = queryEndIfWhole(buffer, start, end);
    if (textEnd === -1) message.isBroken = true;
    else this.#judge(classify(buffer, start + frameHeaderBytes, textEnd), statements);
  }

  takeCall(buffer: Buffer, start: number, end: number, isHead: boolean): void {
    this.isStreaming = isHead;
    this.#push(Frontend.FunctionCall, buffer, start, end);
    this.end = 'call';
    this.#needsPrimary('function-call');
  }

  /** A Query that is too long to be held: only its beginning is here, and nobody will read it. */
  takeOversizedQuery(buffer: Buffer, start: number, end: number): void {
    this.#push(Frontend.Query, buffer, start, end);
    this.end = 'query';
    this.isStreaming = true;
    this.pinsUnparsed = true;
    this.#needsPrimary('too-long');
  }

  /**
   * The beginning of an extended message that is too long to be held (Parse or Bind). What follows
   * it is not known when the decision is made, so the batch goes to the primary.
   */
  takeOversized(
    type: number,
    buffer: Buffer,
    start: number,
    end: number,
    statements: ClientStatements,
  ): void {
    // A longer statement name than the client's must fit in.
    const lengthMax = largeLengthMax - renamedBytesMax;
    if (buffer.readInt32BE(start + 1) > lengthMax)
      throw new ProtocolError('invalid message length');
    this.isStreaming = true;
    if (type === Frontend.Bind) {
      this.takeExtended(type, buffer, start, end, statements, noClassifier);
      return;
    }
    this.#push(type, buffer, start, end);
    this.#needsPrimary('too-long');
    this.pinsUnparsed = true;
  }

  /** An extended message. */
  takeExtended(
    type: number,
    buffer: Buffer,
    start: number,
    end: number,
    statements: ClientStatements,
    classify: Classify,
  ): void {
    const message = this.#push(type, buffer, start, end);
    if (!this.isStreaming && !isWellFormed(type, buffer, start, end)) {
      message.isBroken = true;
      return;
    }
    switch (type) {
      case Frontend.Parse: {
        const { queryStart, queryEnd, statement } = parseFields.read(buffer, start, end);
        const classified = classify(buffer, queryStart, queryEnd);
        // A copy: it may outlive the chunk.
        const body = Buffer.from(buffer.subarray(queryStart, end));
        message.parsed = { text: new PreparedText(statement, body), classified };
        if (this.executes === 0) this.classified = classified;
        this.#looksUp(classified);
        if (classified.hasEffects) this.#nameStatements(classified);
        return;
      }
      case Frontend.Bind: {
        const { portal, statement } = bindFields.read(buffer, start, end);
        if (statements.sql(statement) !== undefined) this.sqlNames.push(statement);
        const bound = this.find(statement, statements);
        if (bound !== undefined) this.#looksUp(bound.classified);
        if (bound?.classified.hasEffects) this.#nameStatements(bound.classified);
        statements.bindPortal(portal, bound);
        return;
      }
      case Frontend.Execute: {
        const { portal } = executeFields.read(buffer, start, end);
        const statement = statements.portal(portal) ?? null;
        message.executed = statement;
        this.executes += 1;
        // A cursor that SQL has declared: it is wherever its transaction is.
        if (statement === null) this.#doubt('cursor');
        else this.#judge(statement.classified, statements);
        return;
      }
      case Frontend.Describe:
      case Frontend.Close:
        targetFields.read(buffer, start, end);
        if (targetFields.kind !== TargetKind.Portal) {
          const { name } = targetFields;
          if (statements.sql(name) !== undefined) this.sqlNames.push(name);
          // What an EXECUTE returns is what the statement returns that it names.
          const named = this.find(name, statements);
          if (named !== undefined && type === Frontend.Describe) this.#looksUp(named.classified);
          if (named?.classified.hasEffects) this.#nameStatements(named.classified);
        } else if (type === Frontend.Close) {
          statements.bindPortal(targetFields.name, undefined);
        }
        return;
      default:
        return;
    }
  }

  /** CopyData or its end, sent before the server has asked for it. */
  takeCopy(type: number, buffer: Buffer, start: number, end: number, isHead: boolean): void {
    this.isStreaming = isHead;
    this.#push(type, buffer, start, end);
    if (type !== Frontend.CopyData) this.copyEnds += 1;
  }

  /** No more messages will join: decides what the batch is as a whole. */
  finish(end: RequestEnd, statements: ClientStatements): void {
    this.end = end;
    const isBegun = this.executes > 0 || this.has(Frontend.Bind);
    if (end === 'unfinished' || (end === 'flush' && isBegun)) {
      // What is sent before its Sync is known could still go on to write, and where a portal was
      // made it has to be executed.
      this.#doubt('batch-undecided');
    } else if (end === 'flush') {
      // Nothing is executed yet: what was parsed says where it will be.
      for (const { classified } of this.parsed) this.#judge(classified, statements);
      // Reads may follow it to its server, which therefore has to be a fresh one.
      this.sessionOnly = false;
    } else if (end === 'sync' && this.executes === 0) {
      // Only prepared or described, which a fresh replica can do for writes too; and must: a client
      // may wait for this while its other connections keep the primary's pool busy.
      this.sessionOnly = false;
    }
  }

  /** The statement of that name as it will be when the last message so far has been executed. */
  find(name: string, statements: ClientStatements): BoundStatement | undefined {
    for (let index = this.count - 1; index >= 0; index--) {
      const { parsed } = this.at(index);
      if (parsed?.text.name === name) return parsed;
    }
    return statements.get(name) ?? statements.sql(name);
  }

  #push(type: number, buffer: Buffer, start: number, end: number): RequestMessage {
    if (this.count === this.#messages.length) this.#messages.push(new RequestMessage());
    const message = this.#messages[this.count]!;
    message.set(type, buffer, start, end);
    this.count += 1;
    this.bytes += end - start;
    return message;
  }

  /** To parse, plan or describe a statement takes a catalog that is as fresh as its tables. */
  #looksUp({ statements }: Classified): void {
    if (this.sessionOnly && statements.some(({ access }) => access !== 'session'))
      this.sessionOnly = false;
  }

  /** In doubt: the primary, unless a READ ONLY transaction already holds it to a replica. */
  #doubt(reason: PrimaryReason): void {
    if (this.access === 'read') this.reason = reason;
    this.access = 'write';
    this.sessionOnly = false;
    this.forcible = false;
  }

  #needsPrimary(reason: PrimaryReason): void {
    this.#doubt(reason);
    this.replicaSafeInTransaction = false;
  }

  #judge(classified: Classified, statements: ClientStatements): void {
    this.classified = classified;
    if (classified.hint !== null) this.hint = classified.hint;
    if (!classified.forcible) this.forcible = false;
    if (classified.hasEffects) {
      this.hasEffects = true;
      this.#nameStatements(classified);
    }
    if (classified.access === 'read') this.learnable.push(classified);
    else this.#judgeWriting(classified, statements);
    for (const statement of classified.statements) {
      const { effect } = statement;
      const { access, effect: ran, replicaSafeInTransaction } = runBy(statement, statements);
      if (statement.access !== 'session') this.sessionOnly = false;
      if (effect !== null) this.#judgeEffect(effect);
      if (ran !== null) this.#judgeQuestion(ran);
      if (access === 'write' && this.begins === null) this.writesBeforeBegin = true;
      if (statement.ddl) this.ddl = true;
      if (statement.prefersPrimary) this.prefersPrimary = true;
      // Behind a COMMIT nothing says any more that the transaction is READ ONLY.
      const isSafe =
        replicaSafeInTransaction && !(this.#behindEnd !== null && statement.access === 'write');
      if (!isSafe) this.replicaSafeInTransaction = false;
      if (this.#behindEnd !== null) this.beginsAnew = true;
      if (this.#behindEnd === 'end') this.beginsByDefault = true;
      if (effect !== null) this.#judgeEnd(effect);
    }
  }

  #judgeEffect(effect: Effect): void {
    // Where it does not stand alone, what follows it must be right whatever it says.
    if (setsOwn(effect)) this.#doubt('session-setting');
    switch (effect.kind) {
      case 'begin':
        this.#judgeBegin(effect);
        return;
      case 'vacate':
        this.vacates.push(effect.database);
        return;
      case 'change-defaults':
        this.changesDefaults = true;
    }
  }

  #judgeBegin(modes: TransactionModes): void {
    // What came behind an earlier BEGIN another cannot promise for.
    if (this.begins !== null) this.begins = { ...modes, readOnly: false };
    // Nor can, behind a COMMIT, what the session has promised before.
    else if (this.#behindEnd !== null)
      this.begins = { ...modes, readOnly: modes.readOnly ?? false };
    else this.begins = modes;
  }

  /** What it asks that only the proxy knows. */
  #judgeQuestion({ kind }: Effect): void {
    if (kind === 'sequence-state') this.readsSequences = true;
    else if (kind === 'list-channels') this.listsChannels = true;
    else if (kind === 'list-statements') this.listsStatements = true;
  }

  #judgeEnd(effect: Effect): void {
    if (effect.kind !== 'commit' && effect.kind !== 'rollback') return;
    this.#behindEnd = effect.chain ? 'chained' : 'end';
    if (effect.chain) this.beginsAnew = true;
  }

  /** Of an EXECUTE only the session knows what it does. */
  #judgeWriting(classified: Classified, statements: ClientStatements): void {
    for (const statement of classified.statements) {
      const { access, reason } = runBy(statement, statements);
      if (access !== 'write') continue;
      if (this.access === 'read') this.reason = reason;
      this.access = 'write';
      if (reason !== null && unseenReasons.has(reason)) this.mayNameAny = true;
    }
  }

  #nameStatements({ statements }: Classified): void {
    this.speaksOfEffects = true;
    for (const { effect } of statements) if (effect !== null) this.#nameStatement(effect);
  }

  #nameStatement(effect: Effect): void {
    switch (effect.kind) {
      case 'prepare':
      case 'execute':
      case 'deallocate': {
        if (effect.name === null) return;
        const name = nameOnWire(effect.name);
        const isFirst = !this.sqlNames.includes(name);
        if (isFirst && effect.kind !== 'execute') this.namesTaken.push(name);
        this.sqlNames.push(name);
        return;
      }
      case 'several':
        for (const one of effect.effects) this.#nameStatement(one);
    }
  }
}

/** It runs functions whose text may hold an EXECUTE, or shows pg_prepared_statements. */
const unseenReasons: ReadonlySet<PrimaryReason> = new Set([
  'call-or-do',
  'volatile-function',
  'volatile-relation',
  'volatile-operator',
  'volatile-type',
  'unknown-function',
  'unknown-relation',
  'unknown-operator',
  'unknown-type',
  'catalog-not-loaded',
  'learned-write',
  'primary-only-function',
  'primary-only-relation',
]);

/** What is executed: for EXECUTE of a statement that the session has prepared, that statement. */
function runBy(
  statement: StatementClass,
  statements: ClientStatements,
): Pick<StatementClass, 'access' | 'reason' | 'effect' | 'replicaSafeInTransaction'> {
  const { effect } = statement;
  if (effect?.kind !== 'execute' || !effect.isRead) return statement;
  const inner = statements.classOf(nameOnWire(effect.name))?.statements;
  return inner?.length === 1 ? inner[0]! : statement;
}
