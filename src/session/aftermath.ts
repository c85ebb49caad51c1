import { ask, type TextRow } from '../pool/ask.ts';
import type { ServerLogin } from '../pool/cluster.ts';
import type { ServerConnection } from '../pool/server-connection.ts';
import { readCommitted } from '../pool/settings.ts';
import { readyForQueryIdle } from '../protocol/backend.ts';
import type { CommitReport } from './commit-report.ts';
import type { NotificationHub, Subscriber } from './notification-hub.ts';
import type { SessionState } from './session-state.ts';
import { settingsQuestion } from './settings-review.ts';

/** The server connection that the session has. */
export interface HeldServer {
  readonly server: ServerConnection;
  readonly isPrimary: boolean;
}

export interface AftermathOptions {
  readonly state: SessionState;
  readonly login: ServerLogin;
  readonly hub: NotificationHub;
  readonly subscriber: Subscriber;
  /** Null: the client is not told its token. */
  readonly report: CommitReport | null;
}

/**
 * What is left to do when a transaction has ended: before its client is told so, and before others
 * may have the server connection.
 */
export class Aftermath {
  readonly #state: SessionState;
  readonly #login: ServerLogin;
  readonly #hub: NotificationHub;
  readonly #subscriber: Subscriber;
  readonly #report: CommitReport | null;
  /** The commit is to be reported. */
  #reports = false;
  #listening: readonly string[] = [];
  #isAsking = false;
  /** The server did not answer what it was asked: to be asked again after the next transaction. */
  #wasRefused = false;
  #isOver = false;

  constructor({ state, login, hub, subscriber, report }: AftermathOptions) {
    this.#state = state;
    this.#login = login;
    this.#hub = hub;
    this.#subscriber = subscriber;
    this.#report = report;
  }

  /** ReadyForQuery (idle) has to wait for `beforeReady`. */
  holdsReady(mayHaveWritten: boolean): boolean {
    const { channels, hasNotified } = this.#state;
    this.#wasRefused = false;
    this.#reports = mayHaveWritten && this.#report !== null;
    return this.#reports || channels.areChanging || (hasNotified && channels.size > 0);
  }

  /** The server is being asked what the session left there. */
  get isAsking(): boolean {
    return this.#isAsking;
  }

  /** Nobody else may have the server connection now: what the session left there is not known. */
  get isOpen(): boolean {
    const { pins, areSettingsDoubtful } = this.#state;
    return this.#isAsking || pins.areDoubtful || areSettingsDoubtful;
  }

  /** `said` gets what the client is told: ReadyForQuery, and perhaps something in front of it. */
  beforeReady(server: ServerConnection, said: (messages: Buffer) => void): void {
    this.#changeChannels(() => {
      if (this.#state.channels.size > 0 && this.#state.hasNotified) {
        this.#settleNotified(server, () => this.#sayReady(said));
      } else {
        this.#sayReady(said);
      }
    });
  }

  /** True: `free` is called when it may be asked again whether others can have the connection. */
  keepsServer({ server, isPrimary }: HeldServer, free: () => void): boolean {
    const state = this.#state;
    if (state.hasNotified && this.#hub.isListening) {
      this.#settleNotified(server, free);
      return true;
    }
    state.hasNotified = false;
    if (state.areSettingsDoubtful) {
      this.#ask(server, settingsQuestion, (rows) => {
        state.settleSettings(rows, server);
        free();
      });
      return true;
    }
    if (!state.pins.areDoubtful) return false;
    if (this.#wasRefused) return true;
    const question = state.pins.question(server.prepared.clientNames, state.channels.shared);
    // A server in recovery answers nobody whose default is SERIALIZABLE.
    this.#ask(server, isPrimary ? question : `${readCommitted}; ${question}`, (rows) => {
      this.#wasRefused = isPrimary && rows === null;
      state.learn(state.pins.settle(rows), server);
      // A session must not be held to a replica: what a function left there goes with the connection.
      if (!isPrimary && (state.pins.size > 0 || rows === null)) {
        state.pins.clear();
        server.close('session-state');
      }
      free();
    });
    return true;
  }

  #ask(
    server: ServerConnection,
    question: string,
    answered: (rows: readonly TextRow[] | null) => void,
  ): void {
    this.#isAsking = true;
    ask(server, question, (rows) => {
      this.#isAsking = false;
      answered(rows);
    });
  }

  /** The session is over. */
  close(): void {
    this.#isOver = true;
    this.#report?.cancel();
    this.#hub.unlisten(this.#subscriber, this.#listening);
    this.#listening = [];
  }

  #changeChannels(changed: () => void): void {
    const { come, gone } = this.#state.channels.take();
    const left = this.#listening.filter((channel) => !gone.includes(channel));
    this.#listening = [...left, ...come];
    this.#hub.unlisten(this.#subscriber, gone);
    if (come.length === 0) {
      changed();
      return;
    }
    this.#hub.listen(this.#subscriber, come, this.#login).then(
      () => {
        if (this.#isOver) this.#hub.unlisten(this.#subscriber, come);
        else changed();
      },
      () => {
        if (!this.#isOver) this.#subscriber.notificationsLost();
      },
    );
  }

  /** What listeners are told of this commit bears the number by which the client knows itself. */
  #settleNotified(server: ServerConnection, done: () => void): void {
    this.#state.hasNotified = false;
    this.#hub.settle(server.pid, this.#subscriber.pid, () => {
      if (!this.#isOver) done();
    });
  }

  #sayReady(said: (messages: Buffer) => void): void {
    if (!this.#reports) said(readyForQueryIdle);
    else this.#report!.start(said);
  }
}
