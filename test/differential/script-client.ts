import { WireTrace, type WireTraceOptions } from '../support/wire-trace.ts';
import type { Message } from './message.ts';
import { PendingReplies } from './pending-replies.ts';

/** Longer than any statement of a script takes, on a machine with other things to do. */
const silenceMs = 15_000;

/** Sends messages of a script and waits for what they are answered by, whatever that is. */
export class ScriptClient {
  readonly #trace: WireTrace;
  readonly #pending = new PendingReplies();
  readonly #database: string;
  #settled: (() => void) | null = null;
  /** The server has not answered for too long. */
  isSilent = false;

  private constructor(trace: WireTrace, database: string) {
    this.#trace = trace;
    this.#database = database;
    trace.onMessage = (type) => {
      this.#pending.came(type);
      if (this.#pending.isEmpty) this.#settled?.();
    };
    trace.onClosed = () => this.#settled?.();
  }

  static async open(options: WireTraceOptions): Promise<ScriptClient> {
    return new ScriptClient(await WireTrace.open(options), options.database);
  }

  get isClosed(): boolean {
    return this.#trace.isClosed;
  }

  /** ParameterStatus of the login, and what else it was told. */
  greeting(): string[] {
    return [...this.#trace.greeting.toSorted(), ...this.takeLines()];
  }

  takeLines(): string[] {
    return this.#trace.takeLines().map((line) => line.replaceAll(this.#database, '{db}'));
  }

  /** Resolves when the server owes no reply. */
  async run(messages: readonly Message[], delivery: 'whole' | 'shredded'): Promise<string[]> {
    for (const { kind } of messages) this.#pending.sent(kind);
    const bytes = Buffer.concat(messages.map((message) => message.bytes(this.#database)));
    const sent = this.#trace.send(bytes, delivery);
    await this.#answered();
    await sent;
    return this.takeLines();
  }

  /** Terminate, and the end of the connection. */
  close(): Promise<void> {
    return this.#trace.close();
  }

  /** The server has been told, or has said, that this is the end. */
  closed(): Promise<void> {
    return this.#until(() => this.#trace.isClosed);
  }

  destroy(): void {
    this.#trace.destroy();
  }

  #answered(): Promise<void> {
    return this.#until(() => this.#pending.isEmpty);
  }

  #until(isDone: () => boolean): Promise<void> {
    if (isDone() || this.isClosed || this.isSilent) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.isSilent = true;
        this.#settled?.();
      }, silenceMs);
      this.#settled = () => {
        if (!isDone() && !this.isClosed && !this.isSilent) return;
        clearTimeout(timer);
        this.#settled = null;
        resolve();
      };
    });
  }
}
