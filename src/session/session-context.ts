import type { Config } from '../config.ts';
import type { Gate } from '../lag/gate.ts';
import type { Monitor } from '../lag/monitor.ts';
import type { Logger } from '../log.ts';
import type { Cluster } from '../pool/cluster.ts';
import type { BasePolicies } from './base-policies.ts';
import type { CancelKeys } from './cancel-keys.ts';
import type { Databases } from './databases.ts';
import type { FallbackLimit } from './fallback-limit.ts';
import type { KeyHolder } from './key-holder.ts';
import type { LoginTemplates } from './login-templates.ts';
import type { LoopTurns } from './loop-turns.ts';
import type { OtherWorkers } from './other-workers.ts';
import type { Paces } from './pace.ts';
import type { RouteCounts } from './route-counts.ts';
import type { SharedChanges } from './shared-changes.ts';
import type { WriteFloor } from './write-floor.ts';

/** What all sessions of a process share. */
export interface SessionContext {
  readonly config: Config;
  readonly cluster: Cluster;
  readonly monitor: Monitor;
  readonly gate: Gate;
  readonly log: Logger;
  readonly routes: RouteCounts;
  readonly templates: LoginTemplates;
  readonly databases: Databases;
  readonly policies: BasePolicies;
  readonly fallbacks: FallbackLimit;
  readonly writes: WriteFloor;
  /** Who goes by which process id. */
  readonly cancelKeys: CancelKeys<KeyHolder>;
  readonly paces: Paces;
  readonly turns: LoopTurns;
  readonly changes: SharedChanges;
  readonly others: OtherWorkers;
  /** Password with which a user's server connections log in; empty where none is known. */
  serverPassword(user: string): string;
}
