import type { PoolConfig } from '../../../src/config.ts';
import type { Arrived, Gate } from '../../../src/lag/gate.ts';
import type { Monitor } from '../../../src/lag/monitor.ts';
import type { NodeRole } from '../../../src/lag/node-state.ts';
import type { ReadRequirement } from '../../../src/lag/read-requirement.ts';
import type { Cluster } from '../../../src/pool/cluster.ts';
import { Pool } from '../../../src/pool/pool.ts';
import { PreparedTexts } from '../../../src/pool/prepared.ts';
import { SequenceInterest } from '../../../src/pool/sequence-interest.ts';
import { type FakeServer, fakeServer } from '../pool/fake-server.ts';

export const poolConfig: PoolConfig = {
  size: 1,
  waitTimeoutMs: 1_000,
  connectTimeoutMs: 500,
  idleTimeoutMs: 60_000,
  lifetimeMs: 600_000,
  checkAfterIdleMs: 60_000,
  statementsMax: 10,
  sharing: true,
};

/** What the monitor and the gate say is in the test's hands. */
export class FakeNodes {
  readonly nodes: { node: number; role: NodeRole; generation: number }[];
  readonly eligible = new Set<number>();
  readonly nudged: number[] = [];
  /** Requirements that nodes were held against. */
  readonly asked = new Set<ReadRequirement>();
  /** What `hopeless` answers. */
  isHopeless = false;
  /** Who waits: for a replica that meets a requirement, or (null) for a primary. */
  waiting: { requirement: ReadRequirement | null; deadlineMs: number; done: Arrived }[] = [];

  constructor(roles: readonly NodeRole[]) {
    this.nodes = roles.map((role, node) => ({ node, role, generation: 1 }));
    for (const { node, role } of this.nodes) if (role === 'replica') this.eligible.add(node);
  }

  get monitor(): Monitor {
    return {
      nodes: this.nodes,
      now: () => performance.now(),
      primary: () => this.nodes.findIndex(({ role }) => role === 'primary'),
      isEligible: (node: number, requirement: ReadRequirement) => {
        this.asked.add(requirement);
        return this.eligible.has(node);
      },
      epoch: 1,
      stalenessMs: () => 0,
      nudge: (node: number) => {
        this.nudged.push(node);
      },
    } as unknown as Monitor;
  }

  get gate(): Gate {
    const wait = (requirement: ReadRequirement | null, deadlineMs: number, done: Arrived) => {
      const entry = { requirement, deadlineMs, done };
      this.waiting.push(entry);
      return {
        cancel: () => {
          this.waiting = this.waiting.filter((other) => other !== entry);
        },
      };
    };
    return {
      wait,
      waitForPrimary: (deadlineMs: number, done: Arrived) => wait(null, deadlineMs, done),
      hopeless: () => this.isHopeless,
    } as unknown as Gate;
  }

  arrive(node: number): void {
    this.waiting.shift()!.done(node);
  }
}

/** Pools whose connects are answered by the test. */
export class FakeServers {
  readonly pools: Pool[] = [];
  readonly pending: { resolve(server: FakeServer): void; reject(error: Error): void }[][] = [];
  readonly opened: FakeServer[][] = [];
  readonly #config: PoolConfig;
  readonly prepared = new PreparedTexts();
  readonly sequences = new SequenceInterest();

  constructor(nodes: number, config: Partial<PoolConfig> = {}) {
    this.#config = { ...poolConfig, ...config };
    for (let node = 0; node < nodes; node++) {
      this.pending.push([]);
      this.opened.push([]);
      const connect = () =>
        new Promise<FakeServer['connection']>((resolve, reject) => {
          this.pending[node]!.push({ resolve: (server) => resolve(server.connection), reject });
        });
      this.pools.push(new Pool({ connect, config: this.#config, now: () => performance.now() }));
    }
  }

  get cluster(): Cluster {
    return {
      nodes: this.pools.map((_, node) => ({ name: `n${node}`, host: 'localhost', port: 1 })),
      config: this.#config,
      prepared: this.prepared,
      sequences: this.sequences,
      pool: (node: number) => this.pools[node],
    } as unknown as Cluster;
  }

  async accept(node: number): Promise<FakeServer> {
    const server = fakeServer(performance.now());
    this.opened[node]!.push(server);
    this.pending[node]!.shift()!.resolve(server);
    await settle();
    return server;
  }

  async refuse(node: number, error = new Error('no route')): Promise<void> {
    this.pending[node]!.shift()!.reject(error);
    await settle();
  }
}

export async function settle(): Promise<void> {
  for (let hops = 0; hops < 8; hops++) await null;
}
