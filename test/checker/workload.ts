import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { consistencyLevels } from '../../src/config.ts';
import type { RawTarget } from '../support/raw-client.ts';
import type { Random } from './random.ts';
import { read, stalenessChoicesMs } from './reads.ts';
import { countError, Recorder } from './recorder.ts';
import { RegisterClient } from './register-client.ts';
import { type Entitlement, Session } from './session.ts';
import { changeSettings, dropToken } from './settings.ts';
import { TokenExchange } from './token-exchange.ts';
import { write } from './writes.ts';

/** Through which proxies, and what they give to who asks for nothing. */
export interface WorkloadOptions {
  readonly targets: readonly RawTarget[];
  readonly entitlement: Entitlement;
  readonly random: Random;
  /** Clients at one time. */
  readonly clients: number;
}

const retryPauseMs = 50;
const turnsMost = 300;
const asksForRoute = 0.02;

/** Clients that connect, read, write and pass tokens on, and connect anew, until told to stop. */
export class Workload {
  readonly recorder = new Recorder();
  readonly #options: WorkloadOptions;
  readonly #exchange = new TokenExchange();
  readonly #running: Promise<void>[] = [];
  #isOver = false;

  constructor(options: WorkloadOptions) {
    this.#options = options;
    for (let client = 0; client < options.clients; client++) {
      this.#running.push(this.#client(options.random.fork()));
    }
  }

  /** Resolves when everybody has finished what was under way. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#running);
  }

  async #client(random: Random): Promise<void> {
    while (!this.#isOver) {
      const session = await this.#connect(random);
      if (session === null) {
        await sleep(retryPauseMs);
        continue;
      }
      const turns = 1 + random.integer(turnsMost);
      for (let i = 0; i < turns && !this.#isOver && !session.isOver; i++) await this.#turn(session);
      session.client.end();
    }
  }

  async #connect(random: Random): Promise<Session | null> {
    const { targets } = this.#options;
    const proxy = random.integer(targets.length);
    const [options, entitlement] = this.#startup(random);
    try {
      const client = await RegisterClient.connect(targets[proxy]!, options);
      this.recorder.sessions += 1;
      const { recorder } = this;
      const number = recorder.sessions;
      const exchange = this.#exchange;
      return new Session({ number, proxy, client, random, recorder, exchange, entitlement });
    } catch {
      countError(this.recorder.otherErrors, 'login');
      return null;
    }
  }

  /** Some settings come with the startup packet. */
  #startup(random: Random): [string, Entitlement] {
    const words: string[] = random.chance(0.2) ? ['-c tidemark.report_lsn=on'] : [];
    let { entitlement } = this.#options;
    if (random.chance(0.4)) {
      const level = random.pick(consistencyLevels);
      words.push(`-c tidemark.consistency=${level}`);
      entitlement = { ...entitlement, level };
    }
    if (random.chance(0.2)) {
      const maxStalenessMs = random.pick(stalenessChoicesMs);
      words.push(`-c tidemark.max_staleness=${maxStalenessMs}ms`);
      entitlement = { ...entitlement, maxStalenessMs };
    }
    const token = random.chance(0.3) ? this.#exchange.find(random) : undefined;
    if (token !== undefined) {
      words.push(`-c tidemark.min_lsn=${token.text}`);
      entitlement = { ...entitlement, token };
    }
    return [words.join(' '), entitlement];
  }

  async #turn(session: Session): Promise<void> {
    const { random } = session;
    switch (random.weighted({ read: 76, write: 16, settings: 8 })) {
      case 'read':
        await read(session);
        if (!session.isOver && random.chance(asksForRoute)) await askForRoute(session);
        break;
      case 'write':
        await write(session);
        leaveReportedToken(session);
        break;
      case 'settings':
        await changeSettings(session);
        break;
    }
    if (session.isTokenRefused && !session.isOver) {
      session.isTokenRefused = false;
      await dropToken(session);
    }
  }
}

/** A commit may bring a token for all that came before it. */
function leaveReportedToken(session: Session): void {
  const text = session.client.takeReportedToken();
  if (text !== null) session.recordToken('reported token', performance.now(), text);
}

/** Of the session's last read: whether it had to wait for a replica. */
async function askForRoute({ client, recorder, lastLevel }: Session): Promise<void> {
  const { rows } = await client.simple('show tidemark.route');
  const [row] = rows;
  if (row === undefined) return;
  const counts = recorder.level(lastLevel);
  counts.asked += 1;
  if (Number(row[4]) > 0) counts.waited += 1;
}
