import type { LostToken } from '../config.ts';
import { ProxyError } from '../errors.ts';
import type { Gate, Waiter } from '../lag/gate.ts';
import type { Lsn } from '../lag/lsn.ts';
import type { Monitor } from '../lag/monitor.ts';
import type { ClientToken } from './read-policy.ts';

/** What a client's token asks for: a position, or (lost) nothing any more; or why it is refused. */
export type TokenOutcome = Lsn | 'lost' | ProxyError;

/** Pause between two looks at whether a failover that a token speaks of has been noticed. */
const failoverPollMs = 50;

/** Judges clients' tokens, and waits for what it takes to judge them. */
export class TokenCheck {
  readonly #monitor: Monitor;
  readonly #gate: Gate;
  readonly #lostToken: LostToken;
  /** How long a token may stay unjudged, ms. */
  readonly #timeoutMs: number;

  constructor(monitor: Monitor, gate: Gate, lostToken: LostToken, timeoutMs: number) {
    this.#monitor = monitor;
    this.#gate = gate;
    this.#lostToken = lostToken;
    this.#timeoutMs = timeoutMs;
  }

  /** Null: it takes a newer sample of the primary, or news of a failover, to know. */
  now({ token, text }: ClientToken): TokenOutcome | null {
    const verdict = this.#monitor.judgeToken(token);
    switch (verdict.kind) {
      case 'usable':
        return verdict.minLsn;
      case 'lost':
        return this.#lostToken === 'warn' ? 'lost' : new ProxyError('tokenLost', text);
      case 'unknown-history':
        return new ProxyError('tokenOfUnknownTimeline', text);
      case 'other-system':
        return new ProxyError('tokenOfOtherSystem', text);
      case 'unproven':
        return null;
    }
  }

  /** Calls back once, never before this returns. */
  settle(clientToken: ClientToken, done: (outcome: TokenOutcome) => void): Waiter {
    const deadlineMs = this.#monitor.now() + this.#timeoutMs;
    let waiter: Waiter | null = null;
    let timer: NodeJS.Timeout | null = null;
    const ask = () => {
      waiter = this.#gate.waitForSample(this.#monitor.now(), deadlineMs, (sample) => {
        waiter = null;
        const outcome =
          this.now(clientToken) ?? this.#verdictAfter(sample, deadlineMs, clientToken);
        if (outcome === null) timer = setTimeout(ask, failoverPollMs);
        else done(outcome);
      });
    };
    ask();
    return {
      cancel: () => {
        waiter?.cancel();
        if (timer !== null) clearTimeout(timer);
      },
    };
  }

  /** It is not known, though the primary was asked; null: news of a failover may still come. */
  #verdictAfter(
    sample: Lsn | null,
    deadlineMs: number,
    { token, text }: ClientToken,
  ): ProxyError | null {
    if (sample === null) return new ProxyError('noSample', this.#timeoutMs);
    const verdict = this.#monitor.judgeToken(token);
    const isAhead = verdict.kind === 'unproven' && verdict.why === 'beyond-newest-sample';
    if (isAhead) return new ProxyError('tokenAhead', text);
    const isOverdue = this.#monitor.now() >= deadlineMs;
    return isOverdue ? new ProxyError('tokenOfUnknownTimeline', text) : null;
  }
}
