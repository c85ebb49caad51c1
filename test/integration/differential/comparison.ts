import type pg from 'pg';
import type { TestCluster } from '../../support/cluster.ts';
import { startTestProxy, type TestProxy } from '../../support/proxy.ts';
import { type Delivery, WireTrace, type WireTraceOptions } from '../../support/wire-trace.ts';
import { Others } from './others.ts';
import type { Script, Step } from './script.ts';

export const trustEverybody = [
  'local all all trust',
  'host all all 127.0.0.1/32 trust',
  'host replication all 127.0.0.1/32 trust',
];

const everyRunStartsWith = `
  DROP SCHEMA public CASCADE;
  CREATE SCHEMA public;
  CREATE TABLE public.t (id int PRIMARY KEY, v text);
  INSERT INTO public.t VALUES (1, 'one'), (2, 'two'), (3, NULL);
  GRANT USAGE ON SCHEMA public TO reader;
  GRANT SELECT ON public.t TO reader`;

/** Bytes beyond which sending in shreds takes too long. */
const shreddedBytesMax = 20_000;

/** What the two were told, by one way of sending. */
export interface Told {
  readonly how: string;
  readonly byPrimary: readonly string[];
  readonly byProxy: readonly string[];
}

interface Run {
  readonly through: 'primary' | 'proxy';
  readonly delivery: Delivery;
  readonly steps: readonly Step[];
}

/** Runs scripts on the primary itself and through a proxy, and compares what they are told. */
export class Comparison {
  readonly proxy: TestProxy;
  readonly primaryAddress: WireTraceOptions;
  readonly proxyAddress: WireTraceOptions;
  readonly #cluster: TestCluster;
  readonly #others: Others;
  readonly #admin: pg.Client;

  private constructor(
    cluster: TestCluster,
    proxy: TestProxy,
    others: Others,
    admin: pg.Client,
    addresses: readonly [WireTraceOptions, WireTraceOptions],
  ) {
    this.#cluster = cluster;
    this.proxy = proxy;
    this.#others = others;
    this.#admin = admin;
    [this.primaryAddress, this.proxyAddress] = addresses;
  }

  /** The cluster must trust everybody. */
  static async start(cluster: TestCluster): Promise<Comparison> {
    await cluster.primary.query('CREATE ROLE reader');
    await cluster.waitForCatchup();
    const proxy = await startTestProxy(cluster, {
      auth: 'trust',
      pool: { size: 2, statementsMax: 4, waitTimeoutMs: 10_000 },
      freshness: { waitTimeoutMs: 300 },
    });
    const { user, database } = cluster;
    const { host, port } = cluster.primary;
    const direct = { host, port, user, database };
    const proxied = { host: proxy.host, port: proxy.port, user, database };
    const others = await Others.open(proxied, cluster.replicas.length);
    return new Comparison(cluster, proxy, others, await proxy.client(), [direct, proxied]);
  }

  async stop(): Promise<void> {
    await this.#admin.end();
    await this.#others.close();
    await this.proxy.stop();
  }

  async *compare(script: Script): AsyncGenerator<Told> {
    const { steps } = script;
    const expected = await this.#trace(script, { through: 'primary', delivery: 'whole', steps });
    const whole = await this.#trace(script, { through: 'proxy', delivery: 'whole', steps });
    yield { how: 'step by step', byPrimary: expected, byProxy: whole };
    const bytes = steps.reduce((sum, step) => sum + step.bytes.length, 0);
    if (bytes <= shreddedBytesMax) {
      const shredded = await this.#trace(script, { through: 'proxy', delivery: 'shredded', steps });
      yield { how: 'a few bytes at a time', byPrimary: expected, byProxy: shredded };
    }
    if (script.stepwiseOnly !== undefined || steps.length === 1) return;
    const atOnce: Step = {
      bytes: Buffer.concat(steps.map((step) => step.bytes)),
      until: steps.map((step) => step.until).join(''),
    };
    const run = { delivery: 'whole', steps: [atOnce] } as const;
    const expectedAtOnce = await this.#trace(script, { through: 'primary', ...run });
    const pipelined = await this.#trace(script, { through: 'proxy', ...run });
    yield { how: 'all at once', byPrimary: expectedAtOnce, byProxy: pipelined };
  }

  /** Fresh tables on every server. The proxy must know: sessions share what it has prepared. */
  async startOver(): Promise<void> {
    await this.#admin.query(everyRunStartsWith);
    await this.#cluster.waitForCatchup();
  }

  /** Nobody else uses the proxy. */
  async beAlone(): Promise<void> {
    await this.#others.rest();
  }

  /** They take their turn, and keep what they get until their next. */
  async letOthersWork(): Promise<void> {
    await this.#others.changeShift();
  }

  async #trace(script: Script, { through, delivery, steps }: Run): Promise<string[]> {
    await this.startOver();
    if (script.pins) await this.beAlone();
    const { params = {}, minor = 0 } = script;
    const address = through === 'proxy' ? this.proxyAddress : this.primaryAddress;
    const client = await WireTrace.open({ ...address, params, minor });
    const lines = [...client.greeting.toSorted(), ...client.takeLines()];
    for (const [index, { bytes, until }] of steps.entries()) {
      if (through === 'proxy' && !script.pins && isFree(client, steps[index - 1])) {
        await this.#others.changeShift();
      }
      lines.push(`--- ${index}`, ...(await client.run(bytes, until, delivery)));
    }
    await client.close();
    lines.push(...client.takeLines());
    return lines;
  }
}

/** It holds no server connection: all it sent is answered, and no transaction is open. */
function isFree(client: WireTrace, previous: Step | undefined): boolean {
  const isAnswered = previous === undefined || previous.until.endsWith('Z');
  return isAnswered && client.status === 'I';
}
