import type { SharedChange } from './shared-changes.ts';

/** The other processes of this program that serve clients: what has to be said to them. */
export interface OtherWorkers {
  /** A session that has this process id in its cancel key is one of theirs. */
  haveSession(pid: number): boolean;
  /** Resolves when the worker that gave the key out has dealt with the request, or is gone. */
  cancel(pid: number, secret: Buffer): Promise<void>;
  /** As pg_cancel_backend() or pg_terminate_backend(). False: `user` has no such session there. */
  signal(pid: number, user: string, action: 'cancel' | 'terminate'): Promise<boolean>;
  /** One of this worker's sessions has changed what all of them look at. */
  tell(change: SharedChange): void;
}

/** A process that serves all clients by itself. */
export const alone: OtherWorkers = {
  haveSession: () => false,
  cancel: async () => {},
  signal: async () => false,
  tell: () => {},
};
