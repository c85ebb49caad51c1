import { ProxyError } from '../errors.ts';
import { Frontend, TxStatus } from '../protocol/codes.ts';
import { BindFields, TargetFields } from '../protocol/fields.ts';
import { TargetKind } from '../protocol/frontend.ts';
import type { Classified, Effect, StatementClass } from '../router/statement.ts';
import { boundInteger } from './bound-integer.ts';
import { signalSession } from './key-holder.ts';
import {
  booleanOid,
  commandAnswer,
  integerOid,
  type LocalAnswer,
  oneValue,
  textOid,
} from './local-answer.ts';
import { type LaterAnswer, OwnSettings, refusalOfEffect } from './own-settings.ts';
import { changeByHint, isProxySetting } from './read-policy.ts';
import type { Request } from './request.ts';
import type { RequestRunner } from './request-runner.ts';
import type { SessionContext } from './session-context.ts';
import type { SessionState } from './session-state.ts';
import { type BoundStatement, type ClientStatements, nameOnWire } from './statements.ts';

const bindFields = new BindFields();
const targetFields = new TargetFields();

/** The statements that the proxy answers without a server. */
export class LocalStatements {
  readonly #context: SessionContext;
  readonly #runner: RequestRunner;
  readonly #statements: ClientStatements;
  readonly #own: OwnSettings;
  readonly #pid: number;
  readonly #user: string;
  /** The server connection of the running transaction is lost, and the client has not heard yet. */
  #hasLostTransaction = false;

  constructor(
    context: SessionContext,
    runner: RequestRunner,
    statements: ClientStatements,
    client: { readonly pid: number; readonly user: string; readonly reportsLsn: boolean },
  ) {
    this.#context = context;
    this.#runner = runner;
    this.#statements = statements;
    this.#own = new OwnSettings(context, client.reportsLsn);
    this.#pid = client.pid;
    this.#user = client.user;
  }

  /** The session's transaction died with its server connection while the client was idle. */
  transactionLost(): void {
    this.#hasLostTransaction = true;
  }

  /** The answer, an error, or null: the request needs a server. */
  answer(request: Request, state: SessionState): LocalAnswer | ProxyError | LaterAnswer | null {
    const refusal = refusalOf(request);
    if (refusal !== null) return refusal;
    // A Query that stands in a batch is not all there is to answer.
    const isMixed = request.end === 'query' && request.count > 1;
    if (request.end === 'call' || request.isStreaming || isMixed) {
      return this.#withoutServer(null, state);
    }
    const statement = request.speaksOfEffects ? onlyStatement(request, this.#statements) : null;
    const effect = statement?.effect ?? null;
    const known = this.#withoutServer(effect, state);
    if (known !== null) return known;
    if (statement === null || effect === null || this.#runner.isBatchOpen) return null;
    if (this.#isNameTaken(request)) return null;
    if (state.txStatus !== TxStatus.Failed) {
      const own = this.#ownSetting(statement.tag, effect, request, state);
      if (own !== null) return own;
    }
    if (effect.kind === 'backend-pid' && state.txStatus !== TxStatus.Failed) {
      return this.#backendPid(effect.column, request);
    }
    if (effect.kind === 'signal' && state.txStatus !== TxStatus.Failed) {
      return this.#signal(effect, request);
    }
    if (effect.kind === 'deallocate' && effect.name !== null) {
      return this.#deallocate(effect.name, request, state);
    }
    return request.end === 'query' ? this.#transactionControl(statement.tag, effect, state) : null;
  }

  /** What SET, RESET and SHOW of the proxy's own names answer; null: it is none of these. */
  #ownSetting(
    tag: string,
    effect: Effect,
    request: Request,
    state: SessionState,
  ): LocalAnswer | ProxyError | LaterAnswer | null {
    // A value for set_config() is the result of a query.
    const isOwn =
      effect.kind === 'show' ||
      (tag !== 'SELECT' &&
        (effect.kind === 'set' || effect.kind === 'reset') &&
        isProxySetting(effect.name));
    if (!isOwn) return null;
    this.#keepParsed(request);
    const runs = request.end === 'query' || request.executes > 0;
    if (effect.kind === 'set') return this.#own.set(effect, runs, state);
    if (effect.kind === 'reset') return this.#own.reset(effect, tag, runs, state);
    if (effect.name === 'tidemark.route') return this.#route();
    if (effect.name === 'tidemark.pins')
      return oneValue(effect.name, state.pins.reasons.join(', '));
    return this.#own.show(effect.name, this.#runner.coverMs, state);
  }

  /** A failed transaction that has no server any more: only its end is of use. */
  #withoutServer(effect: Effect | null, state: SessionState): LocalAnswer | ProxyError | null {
    if (!state.inTransaction || this.#runner.isAttached || this.#runner.deferred.length > 0) {
      return null;
    }
    if (this.#hasLostTransaction) {
      this.#hasLostTransaction = false;
      // Who wanted to take it back has what was wanted.
      if (effect?.kind !== 'rollback') return new ProxyError('transactionLost');
    }
    if (effect?.kind === 'commit' || effect?.kind === 'rollback') {
      state.endWithoutServer(false);
      return commandAnswer('ROLLBACK');
    }
    return new ProxyError('transactionAborted');
  }

  /** BEGIN is answered at once and sent with the first statement, when its class is known. */
  #transactionControl(tag: string, effect: Effect, state: SessionState): LocalAnswer | null {
    const { deferred, isAttached } = this.#runner;
    if (isAttached) return null;
    if (effect.kind === 'begin' && !state.inTransaction) {
      deferred.push(beginText(effect));
      state.txStatus = TxStatus.InTransaction;
      state.begin(effect);
      return commandAnswer(tag);
    }
    if (deferred.length === 0) return null;
    switch (effect.kind) {
      case 'set-transaction':
        deferred.push(`SET TRANSACTION ${modesText(effect)}`);
        state.setTransaction(effect);
        return commandAnswer('SET');
      case 'commit':
      case 'rollback':
        if (effect.chain) return null;
        deferred.length = 0;
        state.endWithoutServer(effect.kind === 'commit');
        return commandAnswer(effect.kind === 'commit' ? 'COMMIT' : 'ROLLBACK');
      default:
        return null;
    }
  }

  /** The names of protocol statements are known here only; others are for the server to know. */
  #deallocate(name: string, request: Request, state: SessionState): LocalAnswer | null {
    const runsOnce = request.end === 'query' || (request.end === 'sync' && request.executes === 1);
    // In a transaction it takes the snapshot, as most statements do.
    if (!runsOnce || state.inTransaction) return null;
    if (!this.#statements.remove(nameOnWire(name))) return null;
    this.#keepParsed(request);
    return commandAnswer('DEALLOCATE');
  }

  /** A statement that no server needs to know is kept all the same: it may be bound later. */
  #keepParsed(request: Request): void {
    for (const parsed of request.parsed) {
      if (parsed.text.name === '') this.#statements.unnamed = parsed;
      else this.#statements.add(parsed.text.name, parsed);
    }
  }

  /** A Parse of a name in use fails, which is for the server to say. */
  #isNameTaken(request: Request): boolean {
    return request.parsed.some(
      (parsed) =>
        parsed.text.name !== '' && this.#statements.classOf(parsed.text.name) !== undefined,
    );
  }

  /** The number that the client has got with its cancel key, and that notifications of its own bear. */
  #backendPid(column: string, request: Request): LocalAnswer | null {
    const isBound = request.end === 'query' || request.has(Frontend.Bind);
    if (!isBound && request.executes > 0) return null;
    this.#keepParsed(request);
    const columns = [{ name: column, typeOid: integerOid }];
    return { tag: 'SELECT 1', columns, rows: [[String(this.#pid)]] };
  }

  /**
   * A client knows other sessions by the process ids in their cancel keys. Null: it is no session of
   * this proxy, or none that its user may signal, which a server says in its way.
   */
  #signal(
    { action, pid, parameter, column }: SignalEffect,
    request: Request,
  ): LocalAnswer | ProxyError | LaterAnswer | null {
    const bind = request.first(Frontend.Bind);
    if (request.end !== 'query' && (bind === null || request.executes !== 1)) return null;
    const target =
      parameter === null || bind === null
        ? pid
        : boundInteger(bind.buffer, bind.start, bind.end, parameter);
    if (target === 'own' || target === this.#pid) {
      // A server whose query cancels itself says so itself.
      return action === 'terminate' ? new ProxyError('terminatedByCommand') : null;
    }
    if (target === null) return null;
    const { cancelKeys, others } = this.#context;
    const signalled = () => {
      this.#keepParsed(request);
      const columns = [{ name: column, typeOid: booleanOid }];
      return { tag: 'SELECT 1', columns, rows: [['t']] };
    };
    if (others.haveSession(target)) {
      return later(others.signal(target, this.#user, action), (isThere) =>
        isThere ? signalled() : null,
      );
    }
    return signalSession(cancelKeys, target, this.#user, action) ? signalled() : null;
  }

  #route(): LocalAnswer {
    const names = ['node', 'address', 'role', 'reason', 'waited_ms', 'staleness_ms'];
    const columns = names.map((name) => ({ name, typeOid: textOid }));
    const last = this.#runner.lastRoute;
    if (last === null) return { tag: 'SHOW', columns, rows: [] };
    const { name, host, port } = this.#context.cluster.nodes[last.node]!;
    const role = this.#context.monitor.nodes[last.node]!.role;
    const row = [
      name,
      `${host}:${port}`,
      role,
      last.reason,
      last.waitedMs.toFixed(1),
      Number.isFinite(last.stalenessMs) ? last.stalenessMs.toFixed(1) : null,
    ];
    return { tag: 'SHOW', columns, rows: [row] };
  }
}

/** An answer that follows from what another process says. */
function later<T>(said: Promise<T>, answer: (value: T) => LocalAnswer | null): LaterAnswer {
  return (done) => {
    let isWanted = true;
    void said.then((value) => {
      if (isWanted) done(answer(value));
    });
    return {
      cancel: () => {
        isWanted = false;
      },
    };
  };
}

/** A hint, or a SET among other statements, that says what nobody understands; else null. */
function refusalOf(request: Request): ProxyError | null {
  const { hint } = request;
  if (hint !== null && hint.settings.size > 0) {
    const change = changeByHint(hint);
    if (change instanceof ProxyError) return change;
  }
  if (!request.hasEffects) return null;
  if (request.classified !== null) {
    const refusal = refusalIn(request.classified);
    if (refusal !== null) return refusal;
  }
  for (let index = 0; index < request.count; index++) {
    const { executed } = request.at(index);
    const refusal = executed === null ? null : refusalIn(executed.classified);
    if (refusal !== null) return refusal;
  }
  return null;
}

function refusalIn({ statements }: Classified): ProxyError | null {
  for (const { effect } of statements) {
    const refusal = effect === null ? null : refusalOfEffect(effect);
    if (refusal !== null) return refusal;
  }
  return null;
}

/** The statement of a request that is nothing but one statement with an effect. */
function onlyStatement(request: Request, known: ClientStatements): StatementClass | null {
  if (request.end === 'query') {
    const statements = request.classified?.statements ?? [];
    return statements.length === 1 ? statements[0]! : null;
  }
  let only: StatementClass | null = null;
  for (let index = 0; index < request.count; index++) {
    const named = statementAt(request, index, known);
    if (named === null) continue;
    const statements = named?.classified.statements ?? [];
    const one = statements.length === 1 ? statements[0]! : null;
    if (one === null || one.effect === null || (only !== null && only !== one)) return null;
    only = one;
  }
  return only;
}

/** The statement that a message speaks of; null: it speaks of none; undefined: of one unknown. */
function statementAt(
  request: Request,
  index: number,
  known: ClientStatements,
): BoundStatement | undefined | null {
  // What is wrong with it a server says.
  const { type, buffer, start, end, parsed, executed, isBroken } = request.at(index);
  if (isBroken) return undefined;
  switch (type) {
    case Frontend.Parse:
      return parsed ?? undefined;
    case Frontend.Execute:
      return executed ?? undefined;
    case Frontend.Bind:
      return request.find(bindFields.read(buffer, start, end).statement, known);
    case Frontend.Describe:
    case Frontend.Close: {
      const { kind, name } = targetFields.read(buffer, start, end);
      if (kind !== TargetKind.Statement) return null;
      // To forget one is more than to answer.
      return type === Frontend.Close ? undefined : request.find(name, known);
    }
    default:
      return null;
  }
}

type SignalEffect = Extract<Effect, { kind: 'signal' }>;
type Modes = Extract<Effect, { kind: 'begin' | 'set-transaction' }>;

function modesText(modes: Modes): string {
  const words: string[] = [];
  if (modes.isolation !== null) words.push(`ISOLATION LEVEL ${modes.isolation.toUpperCase()}`);
  if (modes.readOnly !== null) words.push(modes.readOnly ? 'READ ONLY' : 'READ WRITE');
  if (modes.deferrable !== null) words.push(modes.deferrable ? 'DEFERRABLE' : 'NOT DEFERRABLE');
  return words.join(', ');
}

const beginText = (modes: Modes) => `BEGIN ${modesText(modes)}`.trim();
