import type { CancelKeys } from './cancel-keys.ts';

/** A session that others may signal. */
export interface Peer {
  readonly user: string;
  /** As pg_cancel_backend() or pg_terminate_backend(). */
  signal(action: 'cancel' | 'terminate'): void;
}

/** Who has a cancel key. */
export interface KeyHolder {
  /** Somebody knows the key. */
  cancel(): void;
  /** Whom other sessions may signal by the process id of the key; null: nobody may. */
  readonly peer: Peer | null;
}

/** Signals the session of this process id if it is one of `user`; false: there is none. */
export function signalSession(
  keys: CancelKeys<KeyHolder>,
  pid: number,
  user: string,
  action: 'cancel' | 'terminate',
): boolean {
  const peer = keys.holder(pid)?.peer ?? null;
  if (peer === null || peer.user !== user) return false;
  peer.signal(action);
  return true;
}
