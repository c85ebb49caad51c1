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
