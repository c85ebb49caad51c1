import { WireTrace, type WireTraceOptions } from '../support/wire-trace.ts';
import type { OtherAction } from './command.ts';
import { B, CP, E, type Message, P, Q, S } from './message.ts';

/** What it leaves on every server connection that it has been on: all of it must stay its own. */
const leftovers: readonly (readonly Message[])[] = [
  // Any replica will do.
  [Q("SET tidemark.consistency TO 'eventual'")],
  [Q("SET application_name TO 'somebody else'")],
  [Q('SET search_path TO pg_catalog')],
  [Q("SET timezone TO 'Asia/Kathmandu'")],
  [Q("SET datestyle TO 'German'")],
  [Q("SET bytea_output TO 'escape'")],
  [Q("SET intervalstyle TO 'sql_standard'")],
  [Q('SET extra_float_digits TO -3')],
  [Q("SET client_min_messages TO 'error'")],
  [Q("SET my.x TO 'not yours'")],
  [P('s1', "select 'not yours' as s1"), P('s2', "select 'not yours' as s2"), S],
];

/** Without its portal, whose snapshot a replica would wait for (max_standby_streaming_delay). */
const unnamed = [P('', "select 'not yours' as unnamed"), B(), E(), CP(), S];

const actions: Record<OtherAction, readonly (readonly Message[])[]> = {
  reads: [[B('s1'), E(), S], unnamed],
  writes: [[Q('CREATE TABLE IF NOT EXISTS elsewhere.o (n int)')], unnamed],
  fails: [[Q('SELECT 1/0')], [B('s2'), E(), B('missing'), E(), S]],
  'holds the primary': [[Q('BEGIN')], [Q('SELECT 1')], unnamed],
  'holds a replica': [[Q('BEGIN READ ONLY')], [Q('SELECT 1')], unnamed],
  'lets go': [[Q('COMMIT')]],
};

/** Another client of the same proxy, database and user, that keeps no locks that a script wants. */
export class OtherSession {
  readonly #client: WireTrace;

  private constructor(client: WireTrace) {
    this.#client = client;
  }

  static async open(address: WireTraceOptions): Promise<OtherSession> {
    const session = new OtherSession(await WireTrace.open(address));
    await session.#run([[Q('CREATE SCHEMA IF NOT EXISTS elsewhere')], ...leftovers]);
    return session;
  }

  async act(action: OtherAction): Promise<void> {
    // It holds one server connection at most.
    if (this.#client.status !== 'I') await this.#run(actions['lets go']);
    if (action !== 'lets go') await this.#run(actions[action]);
  }

  async rest(): Promise<void> {
    await this.act('lets go');
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  async #run(requests: readonly (readonly Message[])[]): Promise<void> {
    for (const messages of requests) {
      await this.#client.run(Buffer.concat(messages.map((message) => message.bytes(''))), 'Z');
    }
  }
}
