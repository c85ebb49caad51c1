import type { ProcessMetrics } from '../admin/merged-metrics.ts';
import type { Readiness } from '../admin/readiness.ts';
import type { Credentials } from '../authentication.ts';
import type { NodeStatus } from '../banner.ts';
import type { Config } from '../config.ts';
import type { WorkerPlace } from '../session/cancel-keys.ts';
import type { SharedChange } from '../session/shared-changes.ts';

/** All that a worker needs to know. */
export interface WorkerTask {
  /** With its share of the limits. */
  readonly config: Config;
  readonly credentials: Credentials;
  readonly place: WorkerPlace;
}

export interface CancelRequest {
  readonly pid: number;
  readonly secret: Buffer;
}

export interface SignalRequest {
  readonly pid: number;
  readonly user: string;
  readonly action: 'cancel' | 'terminate';
}

/** What the supervisor asks of a worker. */
export interface WorkerQuestions {
  /** Answered when it serves; fails with words for people when it cannot. */
  start(task: WorkerTask): void;
  /** Answered when no client is left. */
  stop(graceful: boolean): void;
  metrics(): ProcessMetrics;
  readiness(isDraining: boolean): Readiness;
  nodes(): readonly NodeStatus[];
  cancel(request: CancelRequest): void;
  /** False: its user has no such session here. */
  signal(request: SignalRequest): boolean;
  /** Another worker has said this. */
  hear(change: SharedChange): void;
}

/** What a worker asks of the supervisor, who knows the others. */
export interface SupervisorQuestions {
  /** The first, once: the worker can be asked from now on. */
  attend(): void;
  /** It has the client that was handed over to it first of those it did not have. */
  taken(): void;
  /** One of its clients has gone. */
  left(): void;
  cancel(request: CancelRequest): void;
  signal(request: SignalRequest): boolean;
  tell(change: SharedChange): void;
}
