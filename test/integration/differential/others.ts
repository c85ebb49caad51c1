import { WireTrace, type WireTraceOptions } from '../../support/wire-trace.ts';
import { B, CP, E, P, q, S, type Step, send } from './script.ts';

/** What other clients leave on every server connection: all of it must stay theirs. */
const leftovers: readonly Step[] = [
  // Any replica will do: two of them must not want the same one.
  q("SET tidemark.consistency TO 'eventual'"),
  q("SET application_name TO 'somebody else'"),
  q('SET search_path TO pg_catalog'),
  q("SET timezone TO 'Asia/Kathmandu'"),
  q("SET datestyle TO 'German'"),
  q("SET bytea_output TO 'escape'"),
  q("SET intervalstyle TO 'sql_standard'"),
  q('SET extra_float_digits TO -3'),
  q("SET client_min_messages TO 'error'"),
  q("SET my.own TO 'not yours'"),
  send('Z', P('s1', "select 'not yours' as s1"), P('s2', "select 'not yours' as s2"), S),
];

/**
 * The unnamed statement of theirs. Its portal is closed: the snapshot that it holds would keep a
 * replica from replaying what the primary has pruned (max_standby_streaming_delay).
 */
const unnamed = send('Z', P('', "select 'not yours' as unnamed"), B(), E(), CP(), S);

const commit = q('COMMIT');
const route = q('SHOW tidemark.route');

/** What lets a shift miss a node (it was down for a moment, or busy) passes by itself. */
const attemptsMax = 20;

interface Holder {
  readonly client: WireTrace;
  readonly begin: Step;
}

/**
 * Other sessions, in two shifts that each hold one server connection of every node. A change of
 * shift makes everybody else's next request go to another connection, on which a shift has just
 * been. It needs pools of exactly two connections.
 */
export class Others {
  readonly #shifts: readonly (readonly Holder[])[];
  #shift = 0;
  #isWorking = false;

  private constructor(shifts: readonly (readonly Holder[])[]) {
    this.#shifts = shifts;
  }

  static async open(address: WireTraceOptions, replicas: number): Promise<Others> {
    const shifts: Holder[][] = [];
    for (let shift = 0; shift < 2; shift++) {
      const holders: Holder[] = [];
      for (let node = 0; node <= replicas; node++) {
        const client = await WireTrace.open(address);
        for (const { bytes, until } of leftovers) await client.run(bytes, until);
        holders.push({ client, begin: q(node === 0 ? 'BEGIN' : 'BEGIN READ ONLY') });
      }
      shifts.push(holders);
    }
    return new Others(shifts);
  }

  async changeShift(): Promise<void> {
    const next = 1 - this.#shift;
    for (let attempt = 1; !(await this.#begin(next)); attempt++) {
      await this.#commit(next);
      if (attempt === attemptsMax) throw new Error('a shift does not get to every node');
    }
    if (this.#isWorking) await this.#commit(this.#shift);
    this.#shift = next;
    this.#isWorking = true;
  }

  /** Nobody holds a server connection any more. */
  async rest(): Promise<void> {
    if (!this.#isWorking) return;
    this.#isWorking = false;
    await this.#commit(this.#shift);
  }

  async close(): Promise<void> {
    for (const holders of this.#shifts) for (const { client } of holders) await client.close();
  }

  /** False: it does not hold one connection of every node, which would leave another with none. */
  async #begin(shift: number): Promise<boolean> {
    const holders = this.#shifts[shift]!;
    const nodes = new Set<string>();
    for (const { client, begin } of holders) {
      await client.run(begin.bytes, begin.until);
      const lines = await client.run(unnamed.bytes, unnamed.until);
      if (!lines.includes('ReadyForQuery T')) return false;
      const [node] = rowsOf(await client.run(route.bytes, route.until));
      nodes.add(node!.split(' | ')[0]!);
    }
    return nodes.size === holders.length;
  }

  async #commit(shift: number): Promise<void> {
    for (const { client } of this.#shifts[shift]!) await client.run(commit.bytes, commit.until);
  }
}

const rowsOf = (lines: readonly string[]) => lines.filter((line) => line.startsWith('DataRow '));
