import type { Login } from '../support/login.ts';

/** A server of the user's. Its password comes out of a call only: no print of the options shows it. */
export interface NamedUrl {
  readonly name: string;
  /** The URL without its password. */
  readonly shown: string;
  readonly login: () => Login;
  /** For libpq, without a password. */
  readonly connection: string;
}

const defaultPort = 5432;

/**
 * `[NAME=]postgres://user:password@host:port/database?...`; the name is host:port by default.
 *
 * @throws Error that does not show the URL, which may hold a password
 */
export function parseNamedUrl(text: string): NamedUrl {
  const match = /^(?:([^=:/?@]+)=)?(postgres(?:ql)?:\/\/.*)$/s.exec(text);
  if (match === null || !URL.canParse(match[2]!))
    throw new Error('--url is [NAME=]postgres://user@host:port/database');
  const url = new URL(match[2]!);
  const password = decodeURIComponent(url.password);
  const { hostname, username, pathname } = url;
  if (hostname === '' || username === '' || pathname.length < 2) {
    throw new Error(
      '--url names a user, a host and a database: postgres://user@host:port/database',
    );
  }
  if (url.searchParams.has('password')) {
    throw new Error('--url takes the password before the @, or from PGPASSWORD');
  }
  const port = url.port === '' ? defaultPort : Number(url.port);
  url.password = '';
  return {
    name: match[1] ?? `${hostname}:${port}`,
    shown: url.href,
    connection: url.href,
    login: () => ({
      host: hostname.replace(/^\[|\]$/g, ''),
      port,
      user: decodeURIComponent(username),
      password: password === '' ? (process.env.PGPASSWORD ?? '') : password,
      database: decodeURIComponent(pathname.slice(1)),
    }),
  };
}
