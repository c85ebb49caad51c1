/** Why a server connection was closed; used by logs and metrics alike. */
export type DisconnectReason =
  | 'idle-timeout'
  | 'lifetime'
  | 'server-closed'
  | 'socket-error'
  | 'protocol-violation'
  | 'check-failed'
  | 'client-left'
  | 'session-state'
  | 'node-down'
  | 'database-wanted'
  | 'defaults-changed'
  | 'shutdown';
