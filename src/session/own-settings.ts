import { ProxyError } from '../errors.ts';
import type { Waiter } from '../lag/gate.ts';
import { noticeResponse } from '../protocol/backend.ts';
import type { Effect } from '../router/statement.ts';
import { tokenFor, tokenParameter } from './commit-report.ts';
import { commandAnswer, type LocalAnswer, oneValue } from './local-answer.ts';
import {
  isProxySetting,
  type PolicyChange,
  parseReadSetting,
  showReadSetting,
  textOfValue,
} from './read-policy.ts';
import { tokenCheckOf } from './request-placer.ts';
import type { SessionContext } from './session-context.ts';
import type { SessionState } from './session-state.ts';
import type { TokenCheck, TokenOutcome } from './token-check.ts';

/**
 * An answer that has to be waited for; null: a server has to give it. Calls back once, never before
 * it returns.
 */
export type LaterAnswer = (done: (answer: LocalAnswer | ProxyError | null) => void) => Waiter;

type SetEffect = Extract<Effect, { kind: 'set' }>;

const localOutsideTransaction = noticeResponse({
  severity: 'WARNING',
  sqlstate: '25P01',
  message: 'SET LOCAL can only be used in transaction blocks',
});

/** The settings whose names begin with `tidemark.`: no server ever hears of them. */
export class OwnSettings {
  readonly #context: SessionContext;
  readonly #tokens: TokenCheck;
  readonly #reportsLsn: boolean;

  constructor(context: SessionContext, reportsLsn: boolean) {
    this.#context = context;
    this.#tokens = tokenCheckOf(context);
    this.#reportsLsn = reportsLsn;
  }

  /** SET: `apply` false only says whether it would be accepted. */
  set(
    effect: SetEffect,
    apply: boolean,
    state: SessionState,
  ): LocalAnswer | ProxyError | LaterAnswer {
    const change = changeOf(effect);
    if (change instanceof ProxyError) return change;
    if (!apply) return commandAnswer('SET');
    if (effect.local && !state.inTransaction) {
      return { ...commandAnswer('SET'), notice: localOutsideTransaction };
    }
    const { minLsn } = change;
    if (minLsn == null) return this.#applied(effect, change, state);
    const finish = (outcome: TokenOutcome) =>
      this.#tokenApplied(effect, minLsn.text, change, outcome, state);
    const known = this.#tokens.now(minLsn);
    if (known !== null) return finish(known);
    return (done) => this.#tokens.settle(minLsn, (outcome) => done(finish(outcome)));
  }

  /** RESET, and SET ... TO DEFAULT. */
  reset(
    { name, local }: { readonly name: string; readonly local: boolean },
    tag: string,
    apply: boolean,
    state: SessionState,
  ): LocalAnswer | ProxyError {
    if (showReadSetting(name, state.reads.base) === null) return refusalOf(name);
    if (apply) state.resetOwn(name, local);
    return commandAnswer(tag);
  }

  /** SHOW. `coverMs`: what the session's token has to cover, as a moment of the monitor's clock. */
  show(name: string, coverMs: number, state: SessionState): LocalAnswer | ProxyError | LaterAnswer {
    if (name === tokenParameter) return this.#token(coverMs);
    if (name === 'tidemark.report_lsn') return oneValue(name, this.#reportsLsn ? 'on' : 'off');
    const value = showReadSetting(name, state.reads.current);
    return value === null ? new ProxyError('unknownSetting', name) : oneValue(name, value);
  }

  /** Of the present primary: while there is none, the newest sample is of one that may be gone. */
  #token(coverMs: number): LaterAnswer {
    const { gate, monitor, config } = this.#context;
    const { primaryWaitTimeoutMs } = config.freshness;
    return (done) => {
      const deadlineMs = monitor.now() + primaryWaitTimeoutMs;
      const fail = () => done(new ProxyError('noSample', primaryWaitTimeoutMs));
      const waitForSample = (): Waiter =>
        gate.waitForSample(coverMs, deadlineMs, (lsn) => {
          const token = lsn === null ? null : tokenFor(monitor, lsn);
          if (token !== null) done(oneValue(tokenParameter, token));
          else if (lsn === null || monitor.now() >= deadlineMs) fail();
          else waiter = waitForPrimary();
        });
      const waitForPrimary = (): Waiter =>
        gate.waitForPrimary(deadlineMs, (node) => {
          if (node === -1) fail();
          else waiter = waitForSample();
        });
      let waiter = waitForSample();
      return { cancel: () => waiter.cancel() };
    };
  }

  #tokenApplied(
    effect: SetEffect,
    text: string,
    change: PolicyChange,
    outcome: TokenOutcome,
    state: SessionState,
  ): LocalAnswer | ProxyError {
    if (outcome instanceof ProxyError) {
      if (outcome.code === 'tokenLost') this.#context.routes.lostHistory('token');
      return outcome;
    }
    if (outcome !== 'lost') return this.#applied(effect, change, state);
    this.#context.routes.lostHistory('token');
    const notice = noticeResponse({
      severity: 'WARNING',
      sqlstate: '01000',
      message: `what token "${text}" stands for was lost in a failover`,
      hint: 'Reads go on without it.',
    });
    return { ...this.#applied(effect, { minLsn: null }, state), notice };
  }

  #applied({ local }: SetEffect, change: PolicyChange, state: SessionState): LocalAnswer {
    state.setOwn(change, local);
    return commandAnswer('SET');
  }
}

/** Why a SET of a name of the proxy's would be refused, wherever it stands; null: it would not. */
export function refusalOfEffect(effect: Effect): ProxyError | null {
  if (effect.kind === 'several') {
    for (const one of effect.effects) {
      const refusal = refusalOfEffect(one);
      if (refusal !== null) return refusal;
    }
    return null;
  }
  if (effect.kind !== 'set' || !isProxySetting(effect.name)) return null;
  const change = changeOf(effect);
  return change instanceof ProxyError ? change : null;
}

function changeOf({ name, value }: SetEffect): PolicyChange | ProxyError {
  const change = parseReadSetting(name, textOfValue(value));
  return change instanceof ProxyError && change.code === 'reservedSetting'
    ? refusalOf(name)
    : change;
}

function refusalOf(name: string): ProxyError {
  switch (name) {
    case 'tidemark.lsn':
    case 'tidemark.route':
      return new ProxyError('readOnlySetting', name, 'It can be read with SHOW.');
    case 'tidemark.report_lsn':
      return new ProxyError('readOnlySetting', name, 'Give it among the connection options.');
    default:
      return new ProxyError('reservedSetting', name);
  }
}
