/** What kept a connection to a server from being made. */
export type ConnectFailure =
  /** Nothing listens there, no route, no such host. */
  | 'unreachable'
  /** The login was not done in time. */
  | 'timeout'
  /** The server closed the connection during the login. */
  | 'closed'
  /** What answers there does not speak the protocol as it should. */
  | 'protocol'
  /** A method that is not supported, no password, or a server that cannot prove itself. */
  | 'authentication';

/** No connection, for a reason other than the server's own word. The message holds no secrets. */
export class ServerConnectError extends Error {
  readonly failure: ConnectFailure;

  constructor(failure: ConnectFailure, message: string) {
    super(message);
    this.name = 'ServerConnectError';
    this.failure = failure;
  }
}

/** The server answered the login with an error of its own. */
export class ServerLoginError extends Error {
  readonly sqlstate: string;
  /** The whole ErrorResponse as it came, so that a client can be told the truth. */
  readonly frame: Buffer;

  constructor(sqlstate: string, message: string, frame: Buffer) {
    super(message);
    this.name = 'ServerLoginError';
    this.sqlstate = sqlstate;
    this.frame = frame;
  }
}
