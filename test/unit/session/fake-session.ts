import type { ProxyError } from '../../../src/errors.ts';
import { createLogger } from '../../../src/log.ts';
import { Settings } from '../../../src/pool/settings.ts';
import { Classifier } from '../../../src/router/classifier.ts';
import { FallbackLimit } from '../../../src/session/fallback-limit.ts';
import { LoopTurns } from '../../../src/session/loop-turns.ts';
import { NotificationHub } from '../../../src/session/notification-hub.ts';
import type { Classify, Request } from '../../../src/session/request.ts';
import { RequestRunner } from '../../../src/session/request-runner.ts';
import { RouteCounts } from '../../../src/session/route-counts.ts';
import type { RunnerOwner } from '../../../src/session/runner-owner.ts';
import type { SessionContext } from '../../../src/session/session-context.ts';
import { SessionState } from '../../../src/session/session-state.ts';
import { ClientStatements } from '../../../src/session/statements.ts';
import { ToldParameters } from '../../../src/session/told-parameters.ts';
import { WriteFloor } from '../../../src/session/write-floor.ts';
import { frameTypes } from '../pool/fake-server.ts';
import { catalog } from '../router/catalog.ts';
import { type FakeNodes, type FakeServers, poolConfig } from './fake-cluster.ts';
import { freshnessConfig, readSettings } from './policies.ts';
import { takeMessages } from './take-messages.ts';

/** A session without its client: what would be written, and what it was told. */
export class Owner implements RunnerOwner {
  readonly isMidMessage = false;
  /** The client has sent more behind the request. */
  hasBegunNext = false;
  /** Said with the last failure. */
  lacksSync: boolean | null = null;
  readonly events: string[] = [];
  readonly chunks: Buffer[] = [];

  get types(): string {
    return frameTypes(Buffer.concat(this.chunks));
  }

  write(bytes: Buffer): boolean {
    this.chunks.push(Buffer.from(bytes));
    return true;
  }

  takeNotifications(): null {
    return null;
  }
  ready(messages: Buffer): void {
    this.chunks.push(messages);
  }
  sent(): void {}
  answered(): void {
    this.events.push('answered');
  }
  copyIn(): void {}
  refused(): void {
    this.events.push('refused');
  }
  failed(failure: Error, lacksSync: boolean): void {
    this.events.push(`failed ${(failure as ProxyError).code}`);
    this.lacksSync = lacksSync;
  }
  takesBack(): boolean {
    return !this.hasBegunNext;
  }
  cut(): void {
    this.events.push('cut');
  }
  gone(): void {
    this.events.push('gone');
  }
  endedBy({ sqlstate }: { sqlstate: string }): void {
    this.events.push(`ended by ${sqlstate}`);
  }
  drained(): void {}
}

/** What sessions share, on these nodes and servers. */
export function fakeContext(nodes: FakeNodes, servers: FakeServers): SessionContext {
  const classifier = new Classifier({ catalog });
  return {
    config: {
      pool: poolConfig,
      freshness: freshnessConfig,
      log: { statements: false },
    },
    cluster: servers.cluster,
    monitor: nodes.monitor,
    gate: nodes.gate,
    log: createLogger({ level: 'silent' }),
    routes: new RouteCounts(servers.pools.length),
    writes: new WriteFloor(),
    turns: new LoopTurns(() => performance.now()),
    fallbacks: new FallbackLimit(0),
    databases: {
      classifier: () => classifier,
      changed: () => {},
      notifications: () => new NotificationHub({ primary: () => null, clientPidOf: () => null }),
    },
  } as unknown as SessionContext;
}

export const login = { user: 'u', password: '', database: 'd' };

/** A session whose messages come from the test. */
export class FakeSession {
  readonly state = new SessionState(Settings.none, readSettings({ waitTimeoutMs: 0 }));
  readonly owner = new Owner();
  readonly client;
  readonly runner: RequestRunner;
  readonly #classify: Classify;

  constructor(context: SessionContext, { prepared }: FakeServers) {
    const classifier = context.databases.classifier(login.database);
    this.#classify = (buffer, start, end) => classifier.classify(buffer, start, end);
    this.client = {
      state: this.state,
      statements: new ClientStatements(prepared),
      told: new ToldParameters(new Map()),
      reportsLsn: false,
      subscriber: { pid: 1, notified: () => {}, notificationsLost: () => {} },
    };
    this.runner = new RequestRunner(context, login, this.client, this.owner);
  }

  request(...messages: Buffer[]): Request {
    return takeMessages(Buffer.concat(messages), this.client.statements, this.#classify);
  }
}
