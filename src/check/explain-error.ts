import { addressText } from '../config/address.ts';
import type { NodeConfig } from '../config.ts';

interface ServerError {
  readonly code?: string;
  readonly message?: string;
  readonly detail?: string;
}

/** Why a login to a node failed and what to do about it, in one sentence. */
export function explainLoginError(error: unknown, node: NodeConfig, user: string): string {
  const { code, message = String(error), detail } = error as ServerError;
  switch (code) {
    case 'ECONNREFUSED':
      return `nothing listens on ${addressText(node)}: is the server running, and on that port?`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `the host name ${node.host} cannot be resolved: check its spelling and the DNS`;
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'ETIMEDOUT':
      return `${addressText(node)} cannot be reached over the network: check routes and firewalls`;
    case 'ECONNRESET':
      return `${addressText(node)} closed the connection: is it a PostgreSQL server?`;
    case '28P01':
      return `the password for user ${user} is wrong, or the role does not exist or has no password`;
    case '28000':
      return `the server does not let user ${user} in: ${message} (see pg_hba.conf and the role's LOGIN)`;
    case '3D000':
      return `the database ${node.database} does not exist: name one that does in the URL`;
    case '42501':
      return `user ${user} may not connect to the database ${node.database}: GRANT CONNECT`;
    case '53300':
      return 'the server has no free connection: raise its max_connections or close some';
    case '57P03':
      return detail?.includes('Hot standby') === true
        ? 'it is a replica with hot_standby = off, which answers no queries: set it to on'
        : `the server does not accept connections yet: ${message}`;
  }
  if (/client password must be/i.test(message)) {
    return `the server asks for the password of user ${user}, and none is configured`;
  }
  return /timeout/i.test(message)
    ? `no answer from ${addressText(node)} in time: check routes and firewalls`
    : message;
}
