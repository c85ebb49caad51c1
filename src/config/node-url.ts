import type { NodeConfig } from '../config.ts';
import { addressText } from './address.ts';

const form = 'postgres://user:password@host:5432/database';
const defaultPort = 5432;

/**
 * Reads the URL of a node. Problems are sentences that never repeat what may be part of a
 * password: a password with an unescaped / or @ ends up in any part of a URL.
 */
export function parseNodeUrl(text: string): NodeConfig | { problems: string[] } {
  if (!/^postgres(ql)?:\/\//i.test(text)) {
    return { problems: [`not a PostgreSQL URL: write ${form}`] };
  }
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return { problems: [explainInvalid(text)] };
  }
  if (url.username === '' && (url.pathname + url.search + url.hash).includes('@')) {
    return { problems: [escapeHint] };
  }
  const problems = urlProblems(url);
  const user = decode(url.username);
  const password = decode(url.password);
  const database = decode(url.pathname.slice(1));
  if (user === null || password === null || database === null) {
    problems.push('a % that is not an escape: write % itself as %25');
  }
  if (problems.length > 0 || user === null || password === null || database === null) {
    return { problems };
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  const port = url.port === '' ? defaultPort : Number(url.port);
  return {
    name: addressText({ host, port }),
    host,
    port,
    user,
    password,
    // As libpq does.
    database: database === '' ? user : database,
  };
}

const escapeHint =
  'not a valid URL: in a password write @ as %40, / as %2F, : as %3A, # as %23, ? as %3F, % as %25';

function explainInvalid(text: string): string {
  const authority = text.slice(text.indexOf('//') + 2).split(/[/?#]/, 1)[0]!;
  const host = authority.slice(authority.lastIndexOf('@') + 1);
  if (authority.includes('@') && host.includes(',')) {
    return 'several hosts in one URL: write one node for each of them';
  }
  if (authority.includes('@') && /:\d+$/.test(host)) {
    return `the port is out of range or the host is not valid: write ${form}, with a port of 1 to 65535`;
  }
  return `${escapeHint} (the form is ${form})`;
}

function urlProblems(url: URL): string[] {
  const problems: string[] = [];
  if (url.username === '') {
    problems.push(`no user: write ${form}`);
  }
  if (url.hostname === '') {
    problems.push(`no host: write ${form}`);
  } else if (url.hostname.includes(',')) {
    problems.push('several hosts in one URL: write one node for each of them');
  } else if (/%2f/i.test(url.hostname)) {
    problems.push('a Unix socket is not supported: write the host and port of the server');
  }
  if (url.port === '0') {
    problems.push(`port 0 is out of range: write 1 to 65535, as in ${form}`);
  }
  if (url.hash !== '') {
    problems.push('text after #: in a password write # as %23');
  }
  if (url.pathname.slice(1).includes('/')) {
    problems.push('more than a database name after the host: write / in a name as %2F');
  }
  for (const [key, value] of url.searchParams) {
    if (key !== 'sslmode') {
      problems.push(
        'a URL parameter that is not supported: only sslmode may follow the ? (in a password write ? as %3F)',
      );
    } else if (!['disable', 'allow', 'prefer'].includes(value)) {
      // Going on without encryption that was asked for would be worse than stopping.
      problems.push(
        'TLS to the nodes is not supported: write sslmode=disable, and keep them on a private network',
      );
    }
  }
  return problems;
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
