/** Severity of an ErrorResponse: ERROR keeps the connection, FATAL closes it. */
export type Severity = 'ERROR' | 'FATAL';

interface ErrorTemplate {
  readonly sqlstate: string;
  readonly severity: Severity;
  readonly message: string;
  readonly hint?: string;
  /** The function of PostgreSQL that raises it, where drivers look at that. */
  readonly routine?: string;
}

/**
 * Every error that the proxy itself raises. `%s` takes the arguments in order.
 * SQLSTATEs are those that PostgreSQL uses for the same trouble (appendix A of its manual).
 */
export const errorTemplates = {
  protocolViolation: {
    sqlstate: '08P01',
    severity: 'FATAL',
    message: '%s',
  },
  unsupportedProtocol: {
    sqlstate: '0A000',
    severity: 'FATAL',
    message: 'unsupported frontend protocol %s: server supports 3.0 to 3.2',
  },
  noUserName: {
    sqlstate: '28000',
    severity: 'FATAL',
    message: 'no PostgreSQL user name specified in startup packet',
  },
  passwordFailed: {
    sqlstate: '28P01',
    severity: 'FATAL',
    message: 'password authentication failed for user "%s"',
  },
  loginTimeout: {
    sqlstate: '08P01',
    severity: 'FATAL',
    message: 'canceling authentication due to timeout',
  },
  tooManyClients: {
    sqlstate: '53300',
    severity: 'FATAL',
    message: 'sorry, too many clients already (%s)',
    hint: 'Raise clients.max in the configuration of Tidemark.',
  },
  shuttingDown: {
    sqlstate: '57P01',
    severity: 'FATAL',
    message: 'terminating connection: Tidemark is shutting down',
  },
  terminatedByCommand: {
    sqlstate: '57P01',
    severity: 'FATAL',
    message: 'terminating connection due to administrator command',
  },
  idleInReset: {
    sqlstate: '57P01',
    severity: 'FATAL',
    message: 'terminating connection: the server connection that held its session objects was lost',
    hint: 'Reconnect. Objects such as temporary tables and held cursors live on one server connection and went with it.',
  },
  notificationsLost: {
    sqlstate: '57P01',
    severity: 'FATAL',
    message: 'terminating connection: notifications may have been lost (%s)',
    hint: 'Connect again, LISTEN again, and look for what was missed.',
  },
  noPrimary: {
    sqlstate: '57P03',
    severity: 'ERROR',
    message: 'no primary is available (waited %s ms)',
    hint: 'The statement was not sent to any server and can be retried. Tidemark uses the primary again as soon as it answers.',
  },
  poolTimeout: {
    sqlstate: '53300',
    severity: 'ERROR',
    message: 'no server connection became free within %s ms (pool of %s)',
    hint: 'Raise pool.size, or look for transactions that stay open.',
  },
  connectFailed: {
    sqlstate: '08006',
    severity: 'ERROR',
    message: 'could not connect to the server: %s',
    hint: 'The statement was not sent to any server and can be retried.',
  },
  serverLoginImpossible: {
    sqlstate: '28000',
    severity: 'ERROR',
    message: 'Tidemark cannot log in to the server: %s',
    hint: 'Give the user a password or server_password in the configuration of Tidemark.',
  },
  serverLost: {
    sqlstate: '08006',
    severity: 'ERROR',
    message: 'the connection to the server was lost while the statement ran',
    hint: 'Whether the statement took effect is unknown: check before repeating it.',
  },
  readLost: {
    sqlstate: '08006',
    severity: 'ERROR',
    message: 'the connection to the server was lost while the result was being sent',
    hint: 'The statement only read; it can be repeated.',
  },
  transactionLost: {
    sqlstate: '08006',
    severity: 'ERROR',
    message: 'the connection to the server was lost, and the transaction with it',
    hint: 'Nothing of the transaction took effect: ROLLBACK, and repeat it from its start.',
  },
  transactionAborted: {
    sqlstate: '25P02',
    severity: 'ERROR',
    message: 'current transaction is aborted, commands ignored until end of transaction block',
  },
  queryCanceled: {
    sqlstate: '57014',
    severity: 'ERROR',
    message: 'canceling statement due to user request',
  },
  unknownSetting: {
    sqlstate: '42704',
    severity: 'ERROR',
    message: 'unrecognized configuration parameter "%s"',
  },
  invalidSetting: {
    sqlstate: '22023',
    severity: 'ERROR',
    message: 'invalid value for parameter "%s": "%s"',
    hint: '%s',
  },
  reservedSetting: {
    sqlstate: '42602',
    severity: 'ERROR',
    message: 'invalid configuration parameter name "%s"',
    hint: '"tidemark" is a reserved prefix: see docs/consistency.md for the names behind it.',
  },
  readOnlySetting: {
    sqlstate: '55P02',
    severity: 'ERROR',
    message: 'parameter "%s" cannot be changed',
    hint: '%s',
  },
  notFreshInTime: {
    sqlstate: '57014',
    severity: 'ERROR',
    message: 'no replica became fresh enough within %s ms',
    hint: 'The read was not sent to any server and can be retried. SET tidemark.on_timeout = primary lets the primary answer instead.',
  },
  fallbackLimit: {
    sqlstate: '57014',
    severity: 'ERROR',
    message:
      'no replica became fresh enough within %s ms, and the primary already serves %s reads in their place',
    hint: 'The read was not sent to any server and can be retried. Raise freshness.wait_timeout_ms or freshness.fallback_reads_max, or look for why the replicas lag.',
  },
  tokenAhead: {
    sqlstate: '22023',
    severity: 'ERROR',
    message: 'token "%s" is ahead of the log of this cluster',
    hint: 'Use what SHOW tidemark.lsn or pg_current_wal_insert_lsn() of the same cluster has returned.',
  },
  tokenOfOtherSystem: {
    sqlstate: '22023',
    severity: 'ERROR',
    message: 'token "%s" comes from another database system',
    hint: 'Tokens are good for the cluster that has given them and its replicas.',
  },
  tokenOfUnknownTimeline: {
    sqlstate: '22023',
    severity: 'ERROR',
    message: 'token "%s" is of a timeline that this cluster does not know',
    hint: 'If a failover is under way, retry when it has finished.',
  },
  tokenLost: {
    sqlstate: '55000',
    severity: 'ERROR',
    message: 'what token "%s" stands for was lost in a failover',
    hint: 'The writes up to it are not all part of the database any more. RESET tidemark.min_lsn, read what is there, and repeat what is missing.',
  },
  noSample: {
    sqlstate: '57P03',
    severity: 'ERROR',
    message: 'the primary did not tell its log position within %s ms',
    hint: 'Tokens come from the primary. Retry when it answers again.',
  },
  notFreshHere: {
    sqlstate: '25001',
    severity: 'ERROR',
    message:
      'this READ ONLY transaction runs on a replica that is not proven fresh enough for this statement',
    hint: 'Ask for what its reads must see before its first statement, or outside it.',
  },
  settingsRefused: {
    sqlstate: '08006',
    severity: 'ERROR',
    message: 'the server refused the settings of this session: %s',
    hint: 'The statement was not executed. Look for a role or parameter that has changed on the server.',
  },
  invalidOption: {
    sqlstate: '42601',
    severity: 'FATAL',
    message: 'invalid command-line argument for server process: %s',
    hint: 'Tidemark takes -c name=value and --name=value in the connection option "options".',
  },
  noStatement: {
    sqlstate: '26000',
    severity: 'ERROR',
    message: 'prepared statement "%s" does not exist',
  },
  noUnnamedStatement: {
    sqlstate: '26000',
    severity: 'ERROR',
    message: 'unnamed prepared statement does not exist',
  },
  duplicateStatement: {
    sqlstate: '42P05',
    severity: 'ERROR',
    message: 'prepared statement "%s" already exists',
  },
  planChanged: {
    sqlstate: '0A000',
    severity: 'ERROR',
    message: 'cached plan must not change result type',
    routine: 'RevalidateCachedQuery',
  },
  notOnReplica: {
    sqlstate: '25006',
    severity: 'ERROR',
    message: 'this READ ONLY transaction runs on a replica, which cannot run this statement',
    hint: 'Run it as the first statement of the transaction, or outside it.',
  },
} as const satisfies Record<string, ErrorTemplate>;

export type ErrorName = keyof typeof errorTemplates;

/** An error for the client, with a true SQLSTATE and where possible a hint on what to do. */
export class ProxyError extends Error {
  readonly code: ErrorName;
  readonly sqlstate: string;
  readonly severity: Severity;
  readonly hint: string | undefined;
  readonly detail: string | undefined;
  readonly routine: string | undefined;

  constructor(code: ErrorName, ...values: readonly (string | number)[]) {
    const template: ErrorTemplate = errorTemplates[code];
    let next = 0;
    const fill = (text: string) => text.replace(/%s/g, () => String(values[next++] ?? ''));
    super(fill(template.message));
    this.name = 'ProxyError';
    this.code = code;
    this.sqlstate = template.sqlstate;
    this.severity = template.severity;
    this.routine = template.routine;
    this.hint = template.hint === undefined ? undefined : fill(template.hint);
  }

  /** The same error with what is known of the cause; never a secret. */
  withDetail(detail: string): ProxyError {
    return Object.assign(this, { detail });
  }
}
