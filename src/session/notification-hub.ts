import pg from 'pg';
import type { NodeConfig } from '../config.ts';
import type { ServerLogin } from '../pool/cluster.ts';
import { notificationResponse } from '../protocol/backend.ts';
import { quoteName } from '../quote.ts';

const connectTimeoutMs = 5_000;
/** Empty queries that are answered only behind every notification of a commit before them. */
const syncRounds = 2;

/** A session that listens. */
export interface Subscriber {
  /** Of its cancel key: what its client knows as its backend's process id. */
  readonly pid: number;
  /** A NotificationResponse for it. */
  notified(message: Buffer): void;
  /** The connection that listens was lost: notifications may be. */
  notificationsLost(): void;
}

export interface NotificationHubOptions {
  /** The node to listen on, or null while there is no primary. */
  primary(): NodeConfig | null;
  /** By what number the client knows itself whose session has this backend of the primary now. */
  clientPidOf(backendPid: number): number | null;
}

/**
 * Listens on one server connection for all sessions of a database, so that LISTEN needs none of
 * their own. It is open while somebody listens.
 */
export class NotificationHub {
  readonly #options: NotificationHubOptions;
  readonly #channels = new Map<string, Set<Subscriber>>();
  /** Backends that are notifying, and by what number their clients know them. */
  readonly #notifiers = new Map<number, number>();
  #client: pg.Client | null = null;
  /** Sessions on their way to `#channels`. */
  #joining = 0;
  #node: NodeConfig | null = null;

  constructor(options: NotificationHubOptions) {
    this.#options = options;
  }

  get isListening(): boolean {
    return this.#channels.size + this.#joining > 0;
  }

  /**
   * `subscriber` hears of every commit after this resolves that notifies one of `channels`. Rejects
   * when the server cannot be reached or refuses.
   */
  async listen(
    subscriber: Subscriber,
    channels: readonly string[],
    login: ServerLogin,
  ): Promise<void> {
    this.#joining += 1;
    try {
      const client = this.#client ?? this.#connect(login);
      // Also where another has asked for it: that may not have been answered.
      await Promise.all(channels.map((channel) => client.query(`LISTEN ${quoteName(channel)}`)));
      // What its own transaction has notified it was told of by its own server connection.
      await this.#sync(client, syncRounds);
      if (this.#client !== client) throw new Error('the connection was lost');
      for (const channel of channels) {
        const subscribers = this.#channels.get(channel);
        if (subscribers === undefined) this.#channels.set(channel, new Set([subscriber]));
        else subscribers.add(subscriber);
      }
    } finally {
      this.#joining -= 1;
    }
  }

  unlisten(subscriber: Subscriber, channels: Iterable<string>): void {
    for (const channel of channels) {
      const subscribers = this.#channels.get(channel);
      if (subscribers?.delete(subscriber) !== true || subscribers.size > 0) continue;
      this.#channels.delete(channel);
      // Not while another may be on its way to it: heard in vain is better than not at all.
      if (this.#joining === 0)
        this.#client?.query(`UNLISTEN ${quoteName(channel)}`).catch(() => {});
    }
    if (this.#channels.size + this.#joining === 0) this.#disconnect();
  }

  /**
   * A transaction that notified was committed on backend `pid`, whose client knows it as `knownAs`.
   * Calls back when what it said has been passed on.
   */
  settle(pid: number, knownAs: number, done: () => void): void {
    const client = this.#client;
    if (client === null) {
      done();
      return;
    }
    this.#notifiers.set(pid, knownAs);
    const finish = () => {
      this.#notifiers.delete(pid);
      done();
    };
    this.#sync(client, syncRounds).then(finish, finish);
  }

  /** Perhaps another primary: then nobody can say what was missed. */
  primaryChanged(): void {
    const node = this.#options.primary();
    if (this.#client !== null && node !== null && node !== this.#node) this.#lose();
  }

  close(): void {
    this.#channels.clear();
    this.#disconnect();
  }

  /**
   * The listening backend was signalled before the notifying one answered its COMMIT. It looks at
   * the signal before it waits for the next message (ProcessClientReadInterrupt, postgres.c), hence
   * at the latest between the two rounds.
   */
  async #sync(client: pg.Client, rounds: number): Promise<void> {
    for (let round = 0; round < rounds; round++) await client.query('');
  }

  #connect({ user, password, database }: ServerLogin): pg.Client {
    const node = this.#options.primary();
    if (node === null) throw new Error('there is no primary');
    const client = new pg.Client({
      host: node.host,
      port: node.port,
      user,
      password,
      database,
      application_name: 'tidemark notifications',
      connectionTimeoutMillis: connectTimeoutMs,
      keepAlive: true,
    });
    this.#client = client;
    this.#node = node;
    const lost = () => {
      if (this.#client === client) this.#lose();
    };
    client.on('error', lost);
    client.on('end', lost);
    client.on('notification', ({ processId, channel, payload }) =>
      this.#deliver(processId, channel, payload ?? ''),
    );
    client.connect().catch(lost);
    return client;
  }

  #deliver(pid: number, channel: string, payload: string): void {
    // It may come before the backend's own answer, which tells its session that it has notified.
    const knownAs = this.#notifiers.get(pid) ?? this.#options.clientPidOf(pid) ?? pid;
    const message = notificationResponse(knownAs, channel, payload);
    for (const subscriber of [...(this.#channels.get(channel) ?? [])]) subscriber.notified(message);
  }

  #lose(): void {
    const subscribers = new Set([...this.#channels.values()].flatMap((some) => [...some]));
    this.#channels.clear();
    this.#disconnect();
    for (const subscriber of subscribers) subscriber.notificationsLost();
  }

  #disconnect(): void {
    const client = this.#client;
    this.#client = null;
    this.#notifiers.clear();
    client?.end().catch(() => {});
  }
}
